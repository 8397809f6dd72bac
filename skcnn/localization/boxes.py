"""Boxes: validation, and conversion between lists and data frames."""

import numpy as np

SIDES = ["x_min", "y_min", "x_max", "y_max"]
TOLERANCE = 1.0  # pixels by which a box may exceed its image


def check_boxes(boxes, name="boxes", image_size=None):
    """Validate boxes and return them as an array.

    Parameters
    ----------
    boxes : array-like of shape (k, 4) or (4,)
        Left, top, right and bottom side of each box, in pixels; k may be 0.

    name : str, default="boxes"
        Name of the boxes in messages.

    image_size : tuple of int or None, default=None
        Width and height of the image, which boxes may exceed by one pixel.

    Returns
    -------
    ndarray of shape (k, 4), float64
        The boxes.

    Raises
    ------
    ValueError
        If the shape is wrong, a coordinate is not finite, or a box is empty, reversed
        or outside its image.

    Examples
    --------
    >>> from skcnn.localization import check_boxes
    >>> check_boxes([[10, 20, 5, 40]])
    Traceback (most recent call last):
        ...
    ValueError: boxes has [10.0, 20.0, 5.0, 40.0] in row 0, expected x_min < x_max ...
    """
    array = np.asarray(boxes, dtype=np.float64)
    array = array.reshape(0, 4) if array.size == 0 else np.atleast_2d(array)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(
            f"{name} has shape {array.shape}, expected (k, 4): x_min, y_min, x_max and "
            "y_max of each box, in pixels."
        )
    _refuse(~np.isfinite(array).all(axis=1), array, name, "finite numbers. Drop it.")
    is_flat = (array[:, 2:] <= array[:, :2]).any(axis=1)
    order = (
        "x_min < x_max and y_min < y_max. For boxes with a width and height, pass "
        "x_min + width and y_min + height."
    )
    _refuse(is_flat, array, name, order)
    if image_size is not None:
        limits = np.array(image_size, dtype=float) + TOLERANCE
        is_out = (array[:, :2] < -TOLERANCE) | (array[:, 2:] > limits)
        inside = f"a box inside its image of {image_size[0]} x {image_size[1]} pixels"
        _refuse(is_out.any(axis=1), array, name, f"{inside} (width x height). Clip it.")
    return array


def _refuse(is_wrong, boxes, name, expected):
    """Raise a ValueError about the first wrong box, if any."""
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise ValueError(
            f"{name} has {boxes[row].tolist()} in row {row}, expected {expected}"
        )


def check_box_targets(y, n_images=None, name="y"):
    """Validate the boxes of images and return them as a list of dicts.

    Parameters
    ----------
    y : list of array-like, list of dict, ndarray of shape (n, 4) or data frame
        Boxes of each image, of shape (k, 4); or dicts with `boxes` and, optionally,
        `labels` and `scores`; or the frame of :func:`stack_boxes`, with images numbered
        from 0. An array of shape (n, 4) has one box for each image.

    n_images : int or None, default=None
        Number of images of X.

    name : str, default="y"
        Name of y in messages.

    Returns
    -------
    list of dict
        Dicts with `boxes`, `labels` (0 if none are given) and, if given, `scores`.

    Raises
    ------
    ValueError, TypeError
        If y has another type, a box is not valid, or lengths differ.
    """
    if hasattr(y, "columns"):
        last = y["image"].max() if n_images is None else n_images - 1
        y = unstack_boxes(y, range(int(last) + 1))
    if y is None or isinstance(y, (str, dict)) or not hasattr(y, "__len__"):
        raise TypeError(
            f"{name} is {'None' if y is None else 'a ' + type(y).__name__}, expected a "
            "list with an array of shape (k, 4) or a dict for each image."
        )
    if n_images is not None and len(y) != n_images:
        raise ValueError(
            f"{name} has boxes of {len(y)} images, but X has {n_images}. Images "
            "without boxes need an empty array."
        )
    return [_check_target(target, f"{name}[{i}]") for i, target in enumerate(y)]


def _check_target(target, name):
    """Return the boxes, labels and scores of one image, validated."""
    if not isinstance(target, dict):
        target = {"boxes": target}
    if "boxes" not in target:
        raise ValueError(
            f"{name} has the keys {sorted(target)}, expected 'boxes' and 'labels'."
        )
    boxes = check_boxes(target["boxes"], f"{name}['boxes']")
    checked = {"boxes": boxes, "labels": np.zeros(len(boxes), dtype=int)}
    for key in ("labels", "scores"):
        if target.get(key) is not None:
            checked[key] = np.asarray(target[key]).reshape(-1)
            if len(checked[key]) != len(boxes):
                raise ValueError(
                    f"{name} has {len(boxes)} boxes and {len(checked[key])} {key}, "
                    "expected one for each box."
                )
    return checked


def stack_boxes(y, images=None):
    """Stack the boxes of all images in one data frame (needs pandas).

    Parameters
    ----------
    y : list of array-like or list of dict
        Boxes of each image: arrays of shape (k, 4), or dicts with "boxes" and "labels".

    images : array-like of shape (n_images,) or None, default=None
        Names of the images. None numbers them from 0.

    Returns
    -------
    pandas.DataFrame
        A row for each box: `image`, `label`, `x_min`, `y_min`, `x_max`, `y_max` and, if
        given, `score`. Images without boxes have no row.

    Raises
    ------
    ValueError, TypeError
        If y is not valid, or `images` has another length.

    Examples
    --------
    >>> from skcnn.localization import stack_boxes, unstack_boxes
    >>> frame = stack_boxes([{"boxes": [[0, 0, 8, 9]], "labels": ["ant"]}, []])
    >>> frame
       image label  x_min  y_min  x_max  y_max
    0      0   ant    0.0    0.0    8.0    9.0
    >>> unstack_boxes(frame, [0, 1])[1]["boxes"].shape
    (0, 4)
    """
    import pandas as pd

    y = check_box_targets(y)
    images = range(len(y)) if images is None else images
    if len(images) != len(y):
        raise ValueError(f"images has {len(images)} names, but y has {len(y)} images.")
    columns = {
        "image": [
            image for image, t in zip(images, y, strict=True) for _ in t["boxes"]
        ],
        "label": [label for target in y for label in target["labels"]],
    }
    sides = np.concatenate([np.empty((0, 4)), *(target["boxes"] for target in y)])
    columns |= dict(zip(SIDES, sides.T, strict=True))
    if y and all("scores" in target for target in y):
        columns["score"] = np.concatenate([target["scores"] for target in y])
    return pd.DataFrame(columns)


def unstack_boxes(frame, images):
    """Return the boxes of a data frame as a list with one entry per image.

    Unlike the data frame, the list can be split by image in cross-validation.

    Parameters
    ----------
    frame : pandas.DataFrame
        A row for each box: `image`, `x_min`, `y_min`, `x_max`, `y_max` and, optionally,
        `label` and `score`.

    images : array-like of shape (n_images,)
        Names of all images, in the order of X, including images without boxes.

    Returns
    -------
    list of dict
        `boxes`, `labels` and, if given, `scores` of each image.

    Raises
    ------
    ValueError
        If a column is missing, or the frame has images that are not in `images`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skcnn.localization import unstack_boxes
    >>> sides = {"x_min": [0.0], "y_min": [0.0], "x_max": [8.0], "y_max": [9.0]}
    >>> y = unstack_boxes(pd.DataFrame({"image": ["a"], **sides}), ["a", "b"])
    >>> [target["boxes"].shape for target in y]
    [(1, 4), (0, 4)]
    """
    missing = [name for name in ["image", *SIDES] if name not in frame.columns]
    if missing:
        raise ValueError(
            f"The data frame has no column {missing[0]!r}, expected 'image', "
            f"{', '.join(map(repr, SIDES))} and, optionally, 'label' and 'score'."
        )
    images = list(images)
    groups = dict(iter(frame.groupby("image")))
    unknown = [image for image in groups if image not in images]
    if unknown:
        raise ValueError(
            f"The data frame has boxes of image {unknown[0]!r}, which is not among the "
            f"{len(images)} images. Pass the names of all images of X."
        )
    return [_unstack(groups.get(image, frame.iloc[:0])) for image in images]


def _unstack(rows):
    """Return the boxes of one image from its rows."""
    target = {"boxes": rows[SIDES].to_numpy(dtype=float)}
    for column, key in (("label", "labels"), ("score", "scores")):
        if column in rows:
            target[key] = rows[column].to_numpy()
    return _check_target(target, "frame")
