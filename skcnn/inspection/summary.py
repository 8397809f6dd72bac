"""Tables of the layers of a network: shapes, parameters, costs and receptive fields."""

from html import escape
from itertools import groupby
from typing import NamedTuple

from .._base.backbone_parameter import known_backbone, needs_fit
from ..backbones import layer_table
from ..backbones.layer_nodes import inside
from ..runtime import usual_torch
from .layer_costs import LayerCosts, count_costs
from .networks import find_estimator
from .trial import blank_samples, n_words_of, train_trial

MAX_ROWS = 40  # of a table by default
HEADER = (
    "layer",
    "output shape",
    "parameters",
    "multiply-adds",
    "receptive field",
    "trainable",
    "if fully connected",
)


class LayerSummary(NamedTuple):
    """One row of a summary.

    Parameters
    ----------
    name : str
        Name of the layer, or of a block of layers.

    output_shape : tuple of int or None
        Shape of the output for one sample, channels first.

    n_parameters : int
        Number of parameters.

    n_multiply_adds : int or None
        Number of multiply-adds for one sample, in convolutions, fully connected layers
        and attention. None if it depends on the sample.

    receptive_field : tuple of int or None
        Number of pixels that a position depends on, along each axis of the input.

    trainable : bool, "partly" or None
        Whether `fit` changes the parameters; None without parameters.

    n_dense_weights : int or None
        Number of weights if its convolutions were fully connected layers with the same
        inputs and outputs. None without convolutions.
    """

    name: str
    output_shape: tuple | None
    n_parameters: int
    n_multiply_adds: int | None
    receptive_field: tuple | None
    trainable: bool | str | None
    n_dense_weights: int | None


class NetworkSummary:
    """Table of the layers of a network, returned by :func:`skcnn.summary`.

    Parameters
    ----------
    title : str
        Name of the estimator and its network.
    layers : list of LayerSummary
        Rows of the table.
    n_parameters, n_trainable : int
        Numbers of all parameters, and of those that `fit` changes.
    n_multiply_adds : int or None
        Number of multiply-adds for one sample.
    epoch_seconds : float or None
        Seconds for a training epoch or, for a transformer, for `transform`.
    notes : list of str
        Remarks on how the numbers were obtained.

    Examples
    --------
    >>> import skcnn
    >>> network = skcnn.CNNClassifier("lenet5", image_shape=(28, 28))
    >>> table = skcnn.summary(network)
    >>> table.n_parameters
    61026
    >>> int(table.to_frame().loc["0", "n_parameters"])
    156
    """

    def __init__(
        self,
        title,
        layers,
        n_parameters,
        n_trainable,
        n_multiply_adds,
        epoch_seconds,
        notes,
    ):
        self.title = title
        self.layers = layers
        self.n_parameters = n_parameters
        self.n_trainable = n_trainable
        self.n_multiply_adds = n_multiply_adds
        self.epoch_seconds = epoch_seconds
        self.notes = notes

    def to_frame(self):
        """Return the layers as a data frame (needs pandas).

        Returns
        -------
        pandas.DataFrame
            A row for each layer, with its name as index and the fields of
            `LayerSummary` as columns.
        """
        import pandas as pd

        return pd.DataFrame(self.layers).set_index("name").convert_dtypes()

    def __str__(self):
        rows = [HEADER, *map(_in_words, self.layers)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([self.title, lines[0], rule, *lines[1:], rule, *self._totals])

    __repr__ = __str__

    def _repr_html_(self):
        """Return the table as HTML, for notebooks."""

        def row(cells, tag):
            return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells)

        body = "".join(row(_in_words(layer), "td") for layer in self.layers)
        totals = "<br>".join(map(escape, self._totals))
        return (
            f"<table><caption>{escape(self.title)}</caption><thead>"
            f"{row(HEADER, 'th')}</thead><tbody>{body}</tbody></table><p>{totals}</p>"
        )

    @property
    def _totals(self):
        """Lines below the table."""
        lines = [f"Parameters: {self.n_parameters:,}, trainable: {self.n_trainable:,}"]
        if self.n_multiply_adds is not None:
            lines.append(f"Multiply-adds of one sample: {self.n_multiply_adds:,}")
        if self.epoch_seconds is not None:
            lines.append(f"One epoch: {self.epoch_seconds:.3g} s")
        return lines + self.notes


def summary(est, X=None, y=None, *, depth="auto"):
    """Describe the network of an estimator, layer by layer.

    Parameters
    ----------
    est : estimator
        Estimator or transformer of this package, fitted or not, or a pipeline or
        search with one.
    X : array-like, sequence of image files or of str, default=None
        Training data. If given, a copy of the estimator is trained on a few batches to
        estimate the time of an epoch. Before `fit`, X is needed to determine shapes,
        unless `image_shape` or the backbone does.
    y : array-like or None, default=None
        Targets. If None, an unfitted classifier is assumed to have two classes, an
        unfitted regressor one output.
    depth : int, "auto" or None, default="auto"
        Maximum depth of the names of layers: 1 merges "layer1.0.conv1" and
        "layer1.0.bn1" into "layer1". None shows all layers; "auto" is the largest
        depth with at most 40 rows, at least 1.

    Returns
    -------
    skcnn.inspection.NetworkSummary
        Table of the layers, shown as text or in notebooks; `to_frame()` converts it to
        a data frame.

    Raises
    ------
    TypeError
        If `est` contains no network of this package.

    ValueError
        If the shapes are not known, or X is not valid.

    Examples
    --------
    >>> import skcnn
    >>> network = skcnn.CNNClassifier("lenet5", image_shape=(28, 28))
    >>> table = skcnn.summary(network)
    >>> table.layers[1].name, table.layers[1].output_shape, table.layers[1].n_parameters
    ('0', (6, 28, 28), 156)
    >>> table.layers[1].n_multiply_adds, table.layers[1].n_dense_weights
    (117600, 3687936)
    """
    found = find_estimator(est)
    if found is None:
        raise TypeError(
            f"{type(est).__name__} has no network of skcnn, expected an estimator of "
            "skcnn, or a Pipeline or search with one."
        )
    estimator, seconds, notes = found.estimator, None, []
    is_known = estimator.__sklearn_is_fitted__() or _is_pretrained(found)
    if X is not None or not is_known:
        given = blank_samples(estimator) if X is None else _prepare(found, X, y)
        trial, seconds, notes = train_trial(estimator, given, y, is_blank=X is None)
        estimator = estimator if is_known else trial
    elif hasattr(estimator, "history_"):
        seconds = sum(estimator.history_[:, "dur"]) / len(estimator.history_)
        notes = ["The time is the mean over the epochs of fit."]
    return _describe(estimator, X, depth, seconds, notes)


def _is_pretrained(found):
    """Return whether the network of a transformer is known before `fit`."""
    return found.is_transformer and not needs_fit(found.estimator)


def _prepare(found, X, y):
    """Transform X by the steps before the network; fit copies of unfitted steps."""
    if not found.before:
        return X
    from sklearn.base import clone
    from sklearn.utils.validation import _is_fitted

    for step in found.before:
        is_fitted = _is_fitted(step)
        X = step.transform(X) if is_fitted else clone(step).fit_transform(X, y)
    return X


@usual_torch()
def _describe(estimator, X, depth, seconds, notes):
    """Return the summary of an estimator whose network is known."""
    module, input_shape, is_trained = _find_network(estimator, X)
    costs = count_costs(module, input_shape)
    layers = _list_layers(module, input_shape, costs, is_trained)
    layers = _merge(layers, _find_depth(layers) if depth == "auto" else depth)
    n_parameters = sum(p.numel() for p in module.parameters())
    n_trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    total = costs and sum(cost.n_multiply_adds for cost in costs.values())
    title = f"{type(estimator).__name__}: {type(module).__name__}"
    return NetworkSummary(
        title, layers, n_parameters, n_trainable * is_trained, total, seconds, notes
    )


def _find_network(estimator, X):
    """Return the network, the shape of a sample, and whether `fit` trains it."""
    if hasattr(estimator, "layer"):  # a transformer
        backbone = known_backbone(estimator)
        is_trained = hasattr(estimator, "estimator_")
        return backbone.module, backbone.input_shape, is_trained
    if hasattr(estimator, "vocabulary_"):
        return estimator.module_, (n_words_of(estimator, X),), True
    return estimator.module_, estimator._input.input_shape(estimator), True


def _list_layers(module, input_shape, costs, is_trained):
    """Return a row for each innermost layer, in order of execution."""
    parts = dict(module.named_modules())
    table = _without_containers(layer_table(module, input_shape), parts)
    if costs is not None:
        positions = {name: position for position, name in enumerate(costs)}
        table.sort(key=lambda row: positions.get(row.name, -1))
    rows = []
    for row in table:
        cost = costs and costs.get(row.name, LayerCosts(0, 0))
        is_input = row.output_shape == input_shape and row.name not in parts
        rows.append(
            LayerSummary(
                "input" if is_input and not rows else row.name,
                row.output_shape,
                row.n_parameters,
                cost and cost.n_multiply_adds,
                row.receptive_field,
                _are_trainable(parts.get(row.name), is_trained),
                (cost and cost.n_dense_weights) or None,
            )
        )
    return rows


def _without_containers(table, parts):
    """Return the rows of layers that do not contain others with parameters."""
    names = [row.name for row in table]
    whole = [name for name in names if _is_whole(parts.get(name))]
    return [
        row
        for row in table
        if len(inside(row.name, whole)) == (row.name in whole)
        and (row.name in whole or inside(row.name, names) == [row.name])
        and not any(inside(name, [row.name]) for name in whole if name != row.name)
    ]


def _is_whole(part):
    """Return whether a part has parameters, all of them its own."""
    if part is None:
        return False
    n_own = sum(1 for _ in part.parameters(recurse=False))
    return 0 < n_own == sum(1 for _ in part.parameters())


def _are_trainable(part, is_trained):
    """Return whether `fit` changes the parameters of a part."""
    kinds = {p.requires_grad and is_trained for p in part.parameters()} if part else ()
    return _one_of(kinds)


def _one_of(kinds):
    """Combine several values of `trainable`: True, False, "partly" or None."""
    kinds = set(kinds) - {None}
    return "partly" if len(kinds) > 1 else next(iter(kinds), None)


def _find_depth(layers):
    """Return the largest depth of names with at most `MAX_ROWS` rows, at least 1."""
    deepest = max((layer.name.count(".") + 1 for layer in layers), default=1)
    depths = range(deepest, 1, -1)
    return next((d for d in depths if len(_merge(layers, d)) <= MAX_ROWS), 1)


def _merge(layers, depth):
    """Merge layers whose names agree up to a depth."""
    if depth is None:
        return layers
    groups = groupby(layers, lambda row: ".".join(row.name.split(".")[:depth]))
    return [_merge_rows(name, list(rows)) for name, rows in groups]


def _merge_rows(name, rows):
    """Merge layers into one row."""
    counts = [row.n_multiply_adds for row in rows]
    return LayerSummary(
        name,
        rows[-1].output_shape,
        sum(row.n_parameters for row in rows),
        None if None in counts else sum(counts),
        rows[-1].receptive_field,
        _one_of(row.trainable for row in rows),
        sum(row.n_dense_weights or 0 for row in rows) or None,
    )


def _in_words(layer):
    """Return the cells of a row as text."""
    trainable = {True: "yes", False: "no", None: ""}.get(layer.trainable, "partly")
    counts = (layer.n_parameters, layer.n_multiply_adds, layer.n_dense_weights)
    parameters, multiply_adds, dense = (f"{n:,}" if n else "" for n in counts)
    output, field = map(_join, (layer.output_shape, layer.receptive_field))
    return layer.name, output, parameters, multiply_adds, field, trainable, dense


def _join(shape):
    return "" if shape is None else "×".join(map(str, shape))
