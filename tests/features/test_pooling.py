"""Pooling over positions."""

import pytest
import torch

from skcnn.features import POOLINGS, pool


def maps(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("spatial", [(5,), (3, 4), (2, 3, 2)])
def test_one_value_for_each_channel_that_positions_may_swap(pooling, spatial):
    x = maps(4, 6, *spatial)
    features = pool(x, pooling, len(spatial))
    assert features.shape == (4, 6)
    torch.testing.assert_close(features, pool(x.flip(-1), pooling, len(spatial)))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_constant_maps_keep_their_value(pooling):
    torch.testing.assert_close(
        pool(torch.full((1, 2, 3, 3), 0.7), pooling, 2), torch.full((1, 2), 0.7)
    )


def test_poolings_are_in_their_order():
    x = maps(3, 5, 4, 4)
    avg, gem, max_ = (pool(x, name, 2) for name in ("avg", "gem", "max"))
    assert ((avg < gem) & (gem < max_)).all()
    torch.testing.assert_close(pool(x, "avgmax", 2), (avg + max_) / 2)
    torch.testing.assert_close(gem, x.pow(3).mean((2, 3)).pow(1 / 3))


def test_negative_values_leave_gem_a_number():
    assert torch.isfinite(pool(-maps(2, 3, 4, 4), "gem", 2)).all()


@pytest.mark.parametrize("pooling", [*POOLINGS, None])
def test_rows_stay_as_they_are(pooling):
    x = maps(3, 5)
    assert torch.equal(pool(x, pooling, 2), x)
    assert pool(x[:, 0], pooling, 2).shape == (3, 1)


def test_without_pooling_all_values_are_kept():
    x = maps(3, 5, 2, 2)
    assert torch.equal(pool(x, None, 2), x.reshape(3, 20))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_tokens_and_maps_with_channels_last_are_pooled_over_positions(pooling):
    x = maps(3, 6, 4, 4)
    expected = pool(x, pooling, 2)
    last = x.permute(0, 2, 3, 1)
    torch.testing.assert_close(pool(last, pooling, 2, channel_axes=(-1,)), expected)
    torch.testing.assert_close(pool(last.flatten(1, 2), pooling, 2), expected)
    first = x.flatten(2)
    torch.testing.assert_close(pool(first, pooling, 2, channel_axes=(1,)), expected)


def test_several_axes_of_channels_are_flattened_in_their_order():
    heads = maps(3, 5, 2, 4)  # tokens, heads and what each of them holds
    found = pool(heads, "avg", 2, channel_axes=(2, 3))
    torch.testing.assert_close(found, heads.mean(1).flatten(1))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2, 2)])
def test_a_pooling_that_is_not_known_is_an_error(shape):
    with pytest.raises(
        ValueError, match=r"pooling='mean' is not known.*'avgmax', 'gem'"
    ):
        pool(maps(*shape), "mean", 2)


def test_half_precision_is_summed_in_single():
    x = maps(1, 2, 64, 64).bfloat16()
    features = pool(x, "avg", 2)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, x.float().mean((2, 3)))
