"""Loss functions that torch does not provide."""

from torch import nn


class BinaryCrossEntropy(nn.BCEWithLogitsLoss):
    """Binary cross-entropy of logits with label smoothing.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Fraction of the target, in [0, 1), that is spread over absence and presence.

    reduction : {"mean", "none"}, default="mean"
        Reduction of the losses; "none" returns the loss of each label.
    """

    def __init__(self, label_smoothing=0.0, reduction="mean"):
        super().__init__(reduction=reduction)
        self.label_smoothing = label_smoothing

    def forward(self, outputs, targets):
        """Return the loss.

        Parameters
        ----------
        outputs : torch.Tensor of shape (n, n_labels)
            Logits.

        targets : torch.Tensor of shape (n, n_labels)
            Probabilities of presence.

        Returns
        -------
        torch.Tensor
            Mean loss, or the losses of shape (n, n_labels).
        """
        if self.label_smoothing:
            targets = targets.lerp(targets.new_tensor(0.5), self.label_smoothing)
        return super().forward(outputs, targets)
