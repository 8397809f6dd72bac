from collections import Counter

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import fx, nn

from skcnn.backbones import cut_network
from skcnn.backbones.folding import SamePadded, fold_norms


def randomized(network):
    """Return a network with statistics that are of a size, evaluating."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and "conv" not in name:
            tensor.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def is_norm(part):
    return isinstance(part, nn.modules.batchnorm._BatchNorm)


@pytest.fixture(scope="module")
def mobilenet():
    return randomized(timm.create_model("tf_mobilenetv3_small_minimal_100"))


@pytest.mark.parametrize("layer", ["blocks.2.0.conv_dw", "blocks.2", "flatten"])
@pytest.mark.parametrize("size", [(64, 64), (47, 33)])
def test_networks_of_timm_are_folded(mobilenet, layer, size):
    kept = {}
    hook = mobilenet.get_submodule(layer).register_forward_hook(
        lambda part, args, out: kept.update(out=out.clone())
    )
    batch = torch.rand(2, 3, *size)
    with torch.inference_mode():
        mobilenet(batch)
        hook.remove()
        cut = cut_network(mobilenet, [layer])
        torch.testing.assert_close(cut(batch)[0], kept["out"], rtol=1e-4, atol=1e-4)
    classes = Counter(type(part) for part in cut.modules())
    assert classes[SamePadded] == classes[Conv2dSame] > 0  # each of which is in one
    assert not any(map(is_norm, cut.modules()))


def folded(*layers):
    network = fx.symbolic_trace(randomized(nn.Sequential(*layers)))
    fold_norms(network)
    return network


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_a_normalisation_behind_a_convolution_is_folded(n_axes):
    conv = getattr(nn, f"Conv{n_axes}d")(2, 3, 3)
    norm = getattr(nn, f"BatchNorm{n_axes}d")(3)
    batch = torch.rand(2, 2, *[5] * n_axes)
    expected = randomized(nn.Sequential(conv, norm, nn.ReLU()))(batch)
    network = folded(conv, norm, nn.ReLU())
    torch.testing.assert_close(network(batch), expected)
    assert not any(map(is_norm, network.modules()))


@pytest.mark.parametrize(
    "layers",
    [
        (nn.ReLU(), nn.BatchNorm2d(2)),
        (nn.ConvTranspose2d(2, 3, 3), nn.BatchNorm2d(3)),
        (nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)),
        (nn.Conv2d(2, 3, 3), nn.SyncBatchNorm(3)),
    ],
)
def test_any_other_normalisation_stays(layers):
    assert any(map(is_norm, folded(*layers).modules()))


@pytest.mark.parametrize("kernel_size", [1, 2, 3, (5, 3)])
@pytest.mark.parametrize("stride", [1, 2, 3, (2, 1)])
def test_a_padding_that_is_uneven_is_computed_without_a_copy(kernel_size, stride):
    for dilation in (1, 2):
        conv = Conv2dSame(2, 4, kernel_size, stride, dilation=dilation, groups=2)
        for size in [(8, 8), (7, 9), (2, 1), (11, 6)]:
            batch = torch.rand(2, 2, *size)
            torch.testing.assert_close(SamePadded(conv)(batch), conv(batch))
