"""Dropout that can be given a random generator of its own."""

from torch import nn


class Dropout(nn.Module):
    """Dropout of units or of whole feature maps.

    It leaves out all positions of a feature map together, so on ``(n, c)`` it
    is the dropout of units and on ``(n, c, h, w)`` that of maps.

    Parameters
    ----------
    p : float
        Probability that a unit or map is set to zero, in [0, 1). The others are
        multiplied by ``1 / (1 - p)``.

    Attributes
    ----------
    generator : torch.Generator or None
        Where random numbers come from, on the device of the network; None is
        torch's global generator.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15, 2014. J. Tompson et al., "Efficient object
    localization using convolutional networks", CVPR 2015, for whole maps.
    """

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.generator = None

    def forward(self, x):
        """Return `x`, in training with some maps or units left out."""
        if not self.training or self.p == 0:
            return x
        return x * self.draw(x)

    def draw(self, x):
        """Draw which maps or units are left out.

        Parameters
        ----------
        x : torch.Tensor of shape (n, n_channels, ...)
            What comes in.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, 1, ...)
            What `x` is multiplied by: 0 or ``1 / (1 - p)``.
        """
        shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
        keep = x.new_empty(shape).bernoulli_(1 - self.p, generator=self.generator)
        return keep.div_(1 - self.p)

    def extra_repr(self):
        """Describe the layer in the printed network."""
        return f"p={self.p}"
