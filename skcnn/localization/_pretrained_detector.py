"""Detector that runs a torchvision network with weights from a file."""

from os import PathLike

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.validation import check_is_fitted

from .._base.parameter_constraints import COUNT, PROBABILITY
from ..backbones import WeightsError, check_pixel_range, read_state_dict
from ..backbones.preprocessing import as_uint8_or_float
from ..runtime import check_device
from .detector import DetectorMixin
from .image_sequence import ImageSequence


class PretrainedDetector(DetectorMixin, BaseEstimator):
    """Detector that runs a torchvision network with weights from a file.

    X is an array of images, ``(n, H, W)`` or ``(n, H, W, C)``, or a sequence of image
    files, PIL images or arrays of any size.

    Parameters
    ----------
    name : str
        Name of a network of :mod:`torchvision.models.detection`, such as
        "fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn" or "ssd300_vgg16".
    weights : str or path-like
        Safetensors or state-dict file, read without running code.
    labels : array-like of shape (n_classes,) or None, default=None
        Labels of the outputs, the background first. None uses their indices.
    n_classes : int, default=91
        Number of classes including the background, if `labels` is None. Weights
        trained on COCO have 91.
    threshold : float, default=0.5
        Minimum score, in [0, 1), of the boxes that `predict` returns.
    device : str or torch.device, default="auto"
        Device of the network, as for :class:`~skcnn.CNNFeatureTransformer`.

    Attributes
    ----------
    module_ : torch.nn.Module
        Network.

    See Also
    --------
    SlidingWindowDetector : Detector that is trained by `fit`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import torch
    >>> from torchvision.models import detection
    >>> from skcnn.localization import PretrainedDetector
    >>> name, options = "ssdlite320_mobilenet_v3_large", {"weights_backbone": None}
    >>> network = detection.ssdlite320_mobilenet_v3_large(num_classes=3, **options)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(network.state_dict(), f"{folder}/weights.pt")
    ...     labels = ["background", "ant", "bee"]
    ...     detector = PretrainedDetector(name, f"{folder}/weights.pt", labels=labels)
    ...     y = detector.fit().predict(np.zeros((1, 64, 64, 3), np.uint8))
    >>> sorted(y[0])
    ['boxes', 'labels', 'scores']
    """

    _parameter_constraints = {
        "name": [str],
        "weights": [str, PathLike],
        "labels": ["array-like", None],
        "n_classes": [COUNT],
        "threshold": [PROBABILITY],
        "device": [str, torch.device],
    }

    def __init__(
        self, name, weights, *, labels=None, n_classes=91, threshold=0.5, device="auto"
    ):
        self.name = name
        self.weights = weights
        self.labels = labels
        self.n_classes = n_classes
        self.threshold = threshold
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X=None, y=None):
        """Load the network; nothing is learnt.

        Parameters
        ----------
        X : object, default=None
            Ignored.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The detector.

        Raises
        ------
        ValueError
            If `name` is unknown.

        skcnn.backbones.WeightsError
            If the weights file cannot be read, or is for another network.
        """
        from torchvision.models import detection, get_model, list_models

        names = list_models(detection)
        if self.name not in names:
            raise ValueError(
                f"name={self.name!r} is not a detection network of torchvision. Choose "
                f"one of {names}."
            )
        n_classes = self.n_classes if self.labels is None else len(self.labels)
        options = {"weights": None, "weights_backbone": None, "num_classes": n_classes}
        network = get_model(self.name, **options)
        try:
            network.load_state_dict(read_state_dict(self.weights))
        except RuntimeError as error:
            raise WeightsError(
                f"{self.weights} does not hold the weights of {self.name} with "
                f"{n_classes} classes. Set n_classes, or labels, to the classes it was "
                f"trained on: {error}"
            ) from error
        self.module_ = network.eval().to(check_device(self.device))
        return self

    @torch.inference_mode()
    def _detect(self, X, threshold):
        """Return the detections with a score of at least `threshold`."""
        check_is_fitted(self)
        device = next(self.module_.parameters()).device
        images = ImageSequence(self, X)
        batches = ([_as_input(image).to(device)] for image in images)
        return [self._select(self.module_(batch)[0], threshold) for batch in batches]

    def _select(self, output, threshold):
        """Return the network's detections with a sufficient score, as arrays."""
        found = {
            name: output[name].cpu().numpy() for name in ("boxes", "labels", "scores")
        }
        low, high = np.split(found["boxes"], 2, axis=1)
        kept = (found["scores"] >= threshold) & (low < high).all(axis=1)
        found = {name: values[kept] for name, values in found.items()}
        if self.labels is not None:
            found["labels"] = np.asarray(self.labels)[found["labels"]]
        return found

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")


def _as_input(image):
    """Convert an image, (H, W, C), to the networks' input: (3, H, W) in [0, 1]."""
    pixels = torch.as_tensor(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
    check_pixel_range(pixels)
    pixels = as_uint8_or_float(pixels)
    highest = 255 if pixels.dtype == torch.uint8 else 1
    return (pixels / highest).expand(3, -1, -1)
