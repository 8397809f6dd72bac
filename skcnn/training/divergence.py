"""Errors about diverging training."""

from math import isfinite

from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import get_total_norm


def check_finite(value, name, net):
    """Raise a ValueError if a number of the last epoch is not finite.

    Parameters
    ----------
    value : float
        Number to check.

    name : str
        Name of the number in the message.

    net : Net
        Net in training.
    """
    if not isfinite(value):
        raise ValueError(
            f"The {name} became {value} in epoch {len(net.history)}. Lower lr (it is "
            f"{net.lr}) or weight_decay."
        )


def check_network(net):
    """Raise a ValueError if the network diverged in the last step.

    The loss after the last step is not computed, so weights and batch-norm statistics
    are checked. The squares of the weights must not overflow.

    Parameters
    ----------
    net : Net
        Net after training.
    """
    weights = [w.detach() for w in net.module_.parameters() if w.requires_grad]
    check_finite(get_total_norm(weights).item(), "norm of the weights", net)
    statistics = [
        buffer
        for layer in net.module_.modules()
        if isinstance(layer, _NormBase) and layer.track_running_stats
        for buffer in (layer.running_mean, layer.running_var)
    ]
    size = get_total_norm(statistics, norm_type=1).item()
    check_finite(size, "sum of the batch-norm statistics", net)
