"""Folding of batch normalisation into convolutions, including timm's layers.

Networks with few multiplications spend a large part of their time on normalisation and
padded copies, not on convolutions.
"""

from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_norms(network):
    """Fold the batch normalisation of a traced network into its convolutions.

    Parameters
    ----------
    network : torch.fx.GraphModule
        Network in evaluation mode, each of whose layers with weights runs once. It is
        modified in place.
    """
    norms, convolutions = _classes(network)
    parts = dict(network.named_modules())
    for node in list(network.graph.nodes):
        before = _convolution_before(node, parts, norms, convolutions)
        if before is None:
            continue
        norm = parts[node.target]
        conv = fuse_conv_bn_eval(parts[before.target], norm)
        network.set_submodule(before.target, conv)
        if type(norm) in NORMS:
            node.replace_all_uses_with(before)
            network.graph.erase_node(node)
        else:  # timm's includes an activation
            network.set_submodule(node.target, norm.act)
    for name, part in list(network.named_modules()):
        if type(part) in convolutions and type(part) not in CONVOLUTIONS:
            network.set_submodule(name, SamePadded(part))
    network.delete_all_unused_submodules()
    network.recompile()


def _classes(network):
    """Return the classes of norms and of convolutions, with those of timm if used."""
    if not any(type(part).__module__.startswith("timm.") for part in network.modules()):
        return NORMS, CONVOLUTIONS
    from timm.layers import BatchNormAct2d, Conv2dSame

    return (*NORMS, BatchNormAct2d), (*CONVOLUTIONS, Conv2dSame)


def _convolution_before(node, parts, norms, convolutions):
    """Return the convolution that a normalisation can be folded into, if any."""
    if node.op != "call_module" or type(parts[node.target]) not in norms:
        return None
    norm, before = parts[node.target], node.all_input_nodes[0]
    is_used_once = before.op == "call_module" and len(before.users) == 1
    drops_nothing = isinstance(getattr(norm, "drop", nn.Identity()), nn.Identity)
    if not is_used_once or norm.running_mean is None or not drops_nothing:
        return None
    return before if type(parts[before.target]) in convolutions else None


class SamePadded(nn.Module):
    """Convolution of timm that pads the end of an axis more than its start.

    Even padding needs no copy of the image. Both ends are padded so far that the
    outputs include those of the uneven padding; the other outputs are dropped.

    Parameters
    ----------
    conv : timm.layers.Conv2dSame
        Convolution.
    """

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        """Map (n, n_in, h, w) to (n, n_out, ceil(h / stride), ceil(w / stride))."""
        conv = self.conv
        options = zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
        pads, steps = zip(*map(_even_padding, x.shape[2:], options), strict=True)
        output = F.conv2d(
            x, conv.weight, conv.bias, conv.stride, pads, conv.dilation, conv.groups
        )
        return output[:, :, steps[0], steps[1]]


def _even_padding(side, options):
    """Return the even padding of an axis, and the slice of outputs to keep."""
    kernel_size, stride, dilation = options
    n_steps = -(-side // stride)
    reach = (n_steps - 1) * stride + (kernel_size - 1) * dilation + 1
    missing = max(0, reach - side)
    start, end = missing // 2, missing - missing // 2
    n_skipped = -(-(end - start) // stride)
    return start + n_skipped * stride, slice(n_skipped, n_skipped + n_steps)
