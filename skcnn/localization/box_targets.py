"""Targets of box regression: one box per image, and optionally its class."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from ..data.augmentation import make_box_augmentation
from .average_precision import paired_iou

N_SIDES = 4


class BoxLoss(nn.Module):
    """Generalised intersection-over-union loss [1]_ plus cross-entropy of classes.

    Parameters
    ----------
    reduction : {"mean", "none"}, default="mean"
        Whether to average the losses.

    References
    ----------
    .. [1] H. Rezatofighi et al., "Generalized intersection over union: a metric and a
       loss for bounding box regression", CVPR 2019.
    """

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, outputs, targets):
        """Return the loss of (n, 4 + n_classes) against (n, 5): box and class code."""
        from torchvision.ops import generalized_box_iou_loss

        boxes, logits = outputs[:, :N_SIDES], outputs[:, N_SIDES:]
        losses = generalized_box_iou_loss(boxes, targets[:, :N_SIDES])
        if logits.shape[1]:
            codes = targets[:, N_SIDES].long()
            losses = losses + nn.functional.cross_entropy(
                logits, codes, reduction="none"
            )
        return losses.mean() if self.reduction == "mean" else losses


@dataclass(frozen=True)
class BoxTargets:
    """Boxes in fractions of the width and height, and codes of their classes.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    n_classes: int

    multi_output = True
    criterion = BoxLoss
    criterion_parameters = ()
    make_augmentation = staticmethod(make_box_augmentation)

    @staticmethod
    def checks(y):
        """Return options of scikit-learn's validation of y."""
        return {"multi_output": True, "y_numeric": True}

    @classmethod
    def learn(cls, estimator, y, weights):
        """Return the targets for the classes of an estimator."""
        return cls(len(estimator.classes_))

    def update(self, y, weights):
        """Return the targets unchanged, as further data add no classes."""
        return self

    @property
    def n_outputs(self):
        """Number of outputs of the network; a single class adds none."""
        return N_SIDES + (self.n_classes if self.n_classes > 1 else 0)

    def encode(self, y):
        """Return y as it is, (n_samples, 5)."""
        return y

    def strata(self, targets):
        """Return None: samples are held out at random."""
        return None

    def score(self, outputs, targets, weights):
        """Return the mean intersection over union."""
        overlap = paired_iou(outputs[:, :N_SIDES], targets[:, :N_SIDES])
        return float(np.average(overlap, weights=weights))
