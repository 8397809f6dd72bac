"""Residual networks for small images."""

from torch import nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two convolutions of 3 × 3 and a shortcut without parameters.

    If the block halves the feature maps and doubles their number, the shortcut takes
    every second pixel and pads with zeros (option A of the paper).

    Parameters
    ----------
    in_channels, out_channels : int
        Number of feature maps of the input and of the output.

    stride : int, default=1
        Stride of the first convolution and of the shortcut.
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.n_added = out_channels - in_channels

    def forward(self, x):
        """Map ``(n, in_channels, h, w)`` to ``(n, out_channels, h', w')``."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))

    def shortcut(self, x):
        """Return `x` in the shape of the output of the convolutions."""
        if self.stride == 1 and not self.n_added:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.n_added // 2
        return F.pad(x, (0, 0, 0, 0, before, self.n_added - before))


class CIFARResNet(nn.Module):
    """Residual network for images of about 32 × 32 pixels.

    Names and shapes of its parameters are those of the published CIFAR-10
    networks with 20, 32, 44 and 56 layers.

    Parameters
    ----------
    input_shape : tuple of int
        ``(n_channels, height, width)`` of one image.

    n_outputs : int
        Number of outputs per image.

    depth : int, default=20
        Number of layers with weights, ``6 * n + 2``.

    Raises
    ------
    ValueError
        If there are not two spatial axes, or no network has that depth.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image
    recognition", section 4.2, CVPR 2016.
    """

    def __init__(self, input_shape, n_outputs, *, depth=20):
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(
                f"resnet{depth} takes images with two spatial axes, got samples of "
                f"shape {tuple(input_shape[1:])}. Use architecture='convnet', which "
                "takes one, two or three."
            )
        n_blocks, rest = divmod(depth - 2, 6)
        if rest or n_blocks < 1:
            raise ValueError(f"depth must be 6 * n + 2, for example 20, got {depth}.")
        self.conv1 = nn.Conv2d(input_shape[0], WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = self._make_layer(WIDTHS[0], WIDTHS[0], n_blocks, stride=1)
        self.layer2 = self._make_layer(WIDTHS[0], WIDTHS[1], n_blocks, stride=2)
        self.layer3 = self._make_layer(WIDTHS[1], WIDTHS[2], n_blocks, stride=2)
        self.linear = nn.Linear(WIDTHS[2], n_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _make_layer(in_channels, out_channels, n_blocks, stride):
        first = BasicBlock(in_channels, out_channels, stride)
        rest = [BasicBlock(out_channels, out_channels) for _ in range(n_blocks - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, x):
        """Map ``(n, n_channels, h, w)`` to ``(n, n_outputs)``."""
        x = F.relu(self.bn1(self.conv1(x)))  # (n, 16, h, w)
        x = self.layer3(self.layer2(self.layer1(x)))  # (n, 64, h / 4, w / 4)
        return self.linear(x.mean(dim=(2, 3)))
