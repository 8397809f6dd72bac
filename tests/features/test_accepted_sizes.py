"""Which sizes of images a network takes."""

import numpy as np
import pytest
import torch
from torch import nn

from skcnn.features import FeatureExtractor, explain_refused_shape


def make(module, n_axes=2):
    return FeatureExtractor(
        module.eval(),
        ["penultimate"],
        pooling="avg",
        n_axes=n_axes,
        device=torch.device("cpu"),
        precision="float32",
        compile=False,
        fill=False,
    )


class Branching(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, kernel_size)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        assert x.shape[1] == 1, "one channel"
        return self.head(self.conv(x).mean((2, 3)))


def refuse(extractor, shape, **parameters):
    """Return the message that a shape is refused with."""
    with (
        pytest.raises(ValueError, match="net ") as caught,
        explain_refused_shape(extractor, shape, "net", **parameters),
    ):
        extractor(torch.zeros(1, *shape))
    return str(caught.value)


@pytest.mark.parametrize("published", [None, 20, 100])
@pytest.mark.parametrize("kernel_size", [2, 7, 13])
@pytest.mark.parametrize("traced", [True, False])
def test_the_smallest_size_is_found(kernel_size, published, traced):
    module = Branching(kernel_size)
    if traced:
        module = nn.Sequential(*module.children(), nn.Conv2d(2, 2, 1))[::2]
    extractor = make(module)
    for side in (1, kernel_size - 1):
        message = refuse(extractor, (1, side, side), published_side=published)
        wanted = f"at least {kernel_size} x {kernel_size}, got {side} x {side}"
        assert f"net takes images of {wanted}" in message
    extractor(torch.zeros(1, 1, kernel_size, kernel_size))


def test_sizes_are_searched_along_all_axes():
    extractor = make(nn.Sequential(nn.Conv1d(1, 2, 9), nn.Conv1d(2, 1, 1)), n_axes=1)
    assert "samples of at least 9, got 4" in refuse(extractor, (1, 4))
    extractor = make(nn.Sequential(nn.Conv3d(1, 2, 5), nn.Conv3d(2, 1, 1)), n_axes=3)
    assert "at least 5 x 5 x 5, got 4 x 8 x 8" in refuse(extractor, (1, 4, 8, 8))


def test_the_only_size_is_said_to_be_it():
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Linear(3, 2))
    extractor = make(module)
    for side in (2, 9):
        message = refuse(extractor, (1, side, side), published_side=4)
        assert message == (
            f"net takes images of 4 x 4 only, got {side} x {side}. Resize the images."
        )


def test_what_has_nothing_to_do_with_the_size_is_quoted():
    extractor = make(Branching(3))
    message = refuse(extractor, (3, 8, 8))
    assert "cannot take samples of shape (3, 8, 8), channels first: one chan" in message
    flat = make(nn.Sequential(nn.Flatten(), nn.Linear(49, 3), nn.Linear(3, 2)))
    assert "shapes cannot be multiplied" in refuse(flat, (1, 8, 8))


def test_other_errors_pass():
    extractor = make(Branching(3))
    for error in (RuntimeError("not the shape"), AssertionError("no"), OSError("disk")):
        with (
            pytest.raises(type(error), match=str(error)),
            explain_refused_shape(extractor, (1, 8, 8), "net"),
        ):
            raise error


def test_a_dry_run_has_shapes_and_no_numbers():
    extractor = make(Branching(3))
    (output,) = extractor.dry_run()((1, 9, 9))
    assert output.device.type == "meta"
    assert output.shape == (1, 2)
    weight = extractor.network.network.conv.weight
    assert weight.device.type == "cpu"
    assert np.isfinite(extractor(torch.zeros(1, 1, 9, 9))[0].numpy()).all()
