import copy
import pickle

import pytest
import torch
from sklearn.base import clone
from torch.nn import functional as F

from skcnn.data import MEMORY_FORMATS
from skcnn.data.augmentation import (
    AUGMENTATIONS,
    PRESETS,
    ColorJitter,
    Cutout,
    HorizontalFlip,
    Mix,
    Mixup,
    Noise,
    RandomResizedCrop,
    Rotation,
    Scale,
    Scaling,
    Shift,
    make_augmentation,
    mix_targets,
)
from skcnn.data.augmentation.warping import Sequence, identities, warp

SHAPES = [
    (40, 1, 30),
    (40, 6, 31),
    (40, 1, 8, 8),
    (40, 3, 9, 12),
    (20, 1, 5, 6, 7),
    (20, 3, 4, 9, 8),
]
LARGE_SHAPES = [(64, 3, 900), (64, 1, 28, 28), (130, 3, 33, 32), (8, 2, 20, 20, 20)]


def names_for(shape):
    """Return the presets and names that there are for samples of a shape."""
    n_axes = len(shape) - 2
    names = [name for name, step in AUGMENTATIONS.items() if n_axes in step.n_axes]
    return [*PRESETS, *names]


CASES = [(name, shape) for shape in SHAPES for name in names_for(shape)]
INSTANCES = [cls() for cls in dict.fromkeys(AUGMENTATIONS.values())]
over_cases = pytest.mark.parametrize(("name", "shape"), CASES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_batch(shape, dtype=torch.float32):
    batch = torch.randn(shape, generator=generator(99), dtype=dtype)
    return batch.contiguous(memory_format=memory_format(batch))


def memory_format(batch):
    return MEMORY_FORMATS.get(batch.ndim, torch.contiguous_format)


def augment(augmentation, batch, seed=0):
    return make_augmentation(augmentation, batch.ndim - 2)(batch, generator(seed))[0]


def ramp(*shape, axis=-1):
    """Return images whose values are the positions along an axis."""
    position = torch.arange(float(shape[axis]))
    return position.movedim(0, -1).view(-1, *(1,) * (-axis - 1)).expand(shape)


# ---- what holds for all


@over_cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_becomes_another_of_its_kind_and_is_left_alone(name, shape, dtype):
    batch = make_batch(shape, dtype)
    before = batch.clone()
    out = augment(name, batch)
    assert (out.shape, out.dtype) == (batch.shape, dtype)
    assert out.is_contiguous(memory_format=memory_format(batch))
    assert torch.equal(batch, before)
    assert not torch.equal(out, batch)
    assert torch.isfinite(out).all()


@over_cases
def test_the_generator_alone_decides(name, shape):
    batch = make_batch(shape)
    before = torch.get_rng_state()
    assert torch.equal(augment(name, batch), augment(name, batch))
    assert not torch.equal(augment(name, batch), augment(name, batch, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


@over_cases
def test_two_batches_in_a_row_are_augmented_differently(name, shape):
    batch, source = make_batch(shape), generator()
    apply = make_augmentation(name, len(shape) - 2)
    assert not torch.equal(apply(batch, source)[0], apply(batch, source)[0])


@pytest.mark.parametrize(
    ("name", "shape"), [(n, shape) for shape in LARGE_SHAPES for n in names_for(shape)]
)
def test_the_number_of_threads_changes_no_bit(name, shape):
    batch = make_batch(shape)
    n_threads = torch.get_num_threads()
    try:
        outs = []
        for n in (1, 2):
            torch.set_num_threads(n)
            outs.append(augment(name, batch))
    finally:
        torch.set_num_threads(n_threads)
    assert torch.equal(*outs)


@pytest.mark.parametrize("shape", [(1, 3, 1), (1, 3, 1, 1), (1, 3, 1, 1, 1)])
def test_one_sample_of_one_pixel_will_do(shape):
    for name in names_for(shape):
        assert augment(name, torch.ones(shape)).shape == shape


@pytest.mark.parametrize(("name", "shape"), [c for c in CASES if c[0] != "mixup"])
def test_samples_are_augmented_differently(name, shape):
    one = make_batch((1, *shape[1:]))
    batch = one.expand(shape).contiguous(memory_format=memory_format(one))
    assert len(augment(name, batch).unique(dim=0)) > 1


@pytest.mark.parametrize("step", INSTANCES, ids=repr)
def test_instances_are_values(step):
    assert eval(repr(step)) == step
    for copied in (
        clone(step, safe=False),
        copy.deepcopy(step),
        pickle.loads(pickle.dumps(step)),
    ):
        assert copied == step
        assert vars(copied) == vars(step)


# ---- flip


def test_a_flip_mirrors_the_last_axis_of_about_a_share_p_of_the_samples():
    batch = make_batch((400, 3, 4, 6))
    out = HorizontalFlip(p=0.3)(batch, generator())
    mirrored = (out == batch.flip(-1)).flatten(1).all(1)
    kept = (out == batch).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("p", [0, 1])
def test_a_flip_can_be_for_all_or_none(p):
    batch = make_batch((50, 1, 4, 6))
    expected = batch.flip(-1) if p else batch
    assert torch.equal(HorizontalFlip(p)(batch, generator()), expected)


# ---- shift


def shifted(sample, offsets):
    """Return a sample shifted, its edges repeated."""
    for axis, offset in enumerate(offsets, start=1):
        side = sample.shape[axis]
        index = (torch.arange(side) + offset).clamp(0, side - 1)
        sample = sample.index_select(axis, index)
    return sample


@pytest.mark.parametrize(
    ("shape", "max_shift"),
    [((3, 12), (2,)), ((1, 8, 16), (1, 2)), ((3, 9, 4), (1, 0)), ((2, 8, 4, 16), 3)],
)
def test_a_shift_moves_by_every_number_of_whole_pixels_up_to_its_limit(
    shape, max_shift
):
    if isinstance(max_shift, int):
        limits = [max_shift] * (len(shape) - 1)
    else:
        limits, max_shift = max_shift, 1 / 8
    sample = make_batch((1, *shape))[0]
    batch = sample.expand(3000, *shape)
    seen = {row.numpy().tobytes() for row in Shift(max_shift)(batch, generator())}
    expected = {
        shifted(sample, offsets).contiguous().numpy().tobytes()
        for offsets in torch.cartesian_prod(
            *(torch.arange(-limit, limit + 1) for limit in limits)
        ).view(-1, len(limits))
    }
    assert seen == expected


def test_a_shift_is_at_most_one_less_than_the_side():
    batch = ramp(300, 1, 4)
    out = Shift(max_shift=100)(batch, generator())
    assert out[:, 0, 0].unique().tolist() == [0, 1, 2, 3]


def test_shift_as_a_matrix_is_the_same_shift():
    for shape in ((30, 2, 20), (30, 2, 9, 16), (30, 2, 8, 9, 16)):
        batch = make_batch(shape)
        warped = Sequence(Shift())(batch, generator())
        torch.testing.assert_close(
            warped, Shift()(batch, generator()), atol=1e-4, rtol=0
        )


# ---- affine maps


@pytest.mark.parametrize("shape", [(4, 2, 9, 12), (4, 2, 5, 6, 7)])
def test_warping_agrees_with_affine_grid(shape):
    batch, n_axes = make_batch(shape), len(shape) - 2
    theta = torch.eye(n_axes, n_axes + 1) + 0.2 * torch.randn(
        4, n_axes, n_axes + 1, generator=generator()
    )
    grid = F.affine_grid(theta, shape, align_corners=False)
    expected = F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    half = torch.tensor([*shape[:1:-1], 2.0]) / 2  # from -1 to 1 into pixels
    matrices = identities(batch)
    matrices[:, :-1] = theta * half[:-1, None] / half
    torch.testing.assert_close(warp(batch, matrices), expected, atol=1e-5, rtol=0)


def test_a_signal_is_sampled_between_its_values():
    signal = torch.tensor([[[0.0, 10.0, 20.0, 30.0]]])
    matrices = identities(signal)
    matrices[:, 0, 1] = 0.25
    expected = torch.tensor([[[2.5, 12.5, 22.5, 30.0]]])
    torch.testing.assert_close(warp(signal, matrices), expected)


@pytest.mark.parametrize("shape", [(4, 1, 7, 7), (4, 2, 3, 6, 6)])
def test_a_quarter_turn_is_rot90(shape):
    batch = make_batch(shape)
    matrices = Rotation(0)._matrices(batch, generator())
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    matrices[:, :2, :2] = turn
    expected = torch.rot90(batch, 1, (-2, -1)), torch.rot90(batch, -1, (-2, -1))
    out = warp(batch, matrices)
    errors = [(out - turned).abs().max().item() for turned in expected]
    assert min(errors) < 1e-5


def test_rotations_keep_lengths_and_cover_their_range():
    batch = torch.zeros(2000, 1, 4, 9)
    matrices = Rotation(degrees=30)._matrices(batch, generator())
    linear = matrices[:, :2, :2]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(2000, 2, 2))
    angles = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    assert angles.abs().max() <= 30.001
    assert angles.min() < -28
    assert angles.max() > 28


def test_a_rotated_disc_stays_a_disc_on_images_that_are_not_square():
    y, x = torch.meshgrid(
        torch.arange(40.0) - 19.5, torch.arange(80.0) - 39.5, indexing="ij"
    )
    disc = torch.exp(-(x**2 + y**2) / 50).expand(8, 1, 40, 80)
    out = Rotation(degrees=90)(disc, generator())
    torch.testing.assert_close(out, disc, atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(300, 1, 50), (300, 2, 8, 50), (300, 1, 4, 4, 50)])
def test_scale_stretches_a_ramp_around_its_centre_within_its_range(shape):
    out = Scale(scale=(1.25, 2.0))(ramp(*shape), generator())
    slopes = 1 / out.diff()
    assert slopes.min() >= 1.25 - 1e-3
    assert slopes.max() <= 2 + 1e-3
    assert slopes.max() - slopes.min() > 0.7
    centre = out[..., 24:26].mean(-1)
    torch.testing.assert_close(centre, torch.full_like(centre, 24.5))


@pytest.mark.parametrize("shape", [(300, 1, 50), (300, 2, 8, 50), (300, 1, 4, 4, 50)])
def test_a_resized_crop_is_a_window_within_the_sample(shape):
    out = RandomResizedCrop(scale=(0.3, 0.6))(ramp(*shape), generator())
    slopes = out.diff()[..., 1:-1]
    share = slopes ** (len(shape) - 2)
    assert share.min() >= 0.3 - 1e-3
    assert share.max() <= 0.6 + 1e-3
    starts = out[:, 0].flatten(1)[:, 0]
    assert starts.min() >= 0
    assert out.max() <= 49 + 1e-3
    assert starts.max() - starts.min() > 10


@pytest.mark.parametrize(
    "step", [Rotation(0), Scale((1, 1)), RandomResizedCrop((1, 1)), Shift(0)], ids=repr
)
def test_affine_maps_without_strength_leave_batches_as_they_are(step):
    batch = make_batch((10, 3, 11, 13))
    torch.testing.assert_close(step(batch, generator()), batch, atol=1e-4, rtol=0)


def test_affine_neighbours_are_interpolated_once():
    spec = ["flip", "shift", "rotation", Scale(), "noise", "rotation"]
    steps = make_augmentation(spec, 2).steps
    kinds = [type(step) for step in steps]
    assert kinds == [HorizontalFlip, Sequence, Noise, Rotation]


@pytest.mark.parametrize("shape", [(20, 1, 60), (20, 1, 40, 60), (5, 1, 20, 24, 28)])
def test_joined_maps_are_what_they_are_one_after_the_other(shape):
    position = torch.stack(
        torch.meshgrid(*(torch.arange(float(s)) for s in shape[2:]), indexing="ij")
    )
    batch = torch.sin(position / 6).sum(0).expand(shape)
    steps = [Scale((1.1, 1.3)), Shift(0.1), Scale((0.9, 1.0))]
    one_by_one, source = batch, generator()
    for step in steps:
        one_by_one = step(one_by_one, source)
    inner = tuple(slice(s // 4, -(s // 4)) for s in shape[2:])
    torch.testing.assert_close(
        augment(steps, batch)[(..., *inner)],
        one_by_one[(..., *inner)],
        atol=0.02,
        rtol=0,
    )


# ---- values


def test_brightness_adds_one_value_to_each_sample():
    batch = make_batch((500, 3, 4, 5))
    out = ColorJitter(0.5, 0, 0)(batch, generator())
    added = (out - batch).flatten(1)
    torch.testing.assert_close(added, added[:, :1].expand_as(added))
    assert 0.45 < added.abs().max() <= 0.5 + 1e-5


@pytest.mark.parametrize("shape", [(500, 1, 4, 5), (500, 3, 4, 5), (500, 2, 3, 4, 5)])
def test_contrast_keeps_the_mean_and_scales_the_rest(shape):
    batch = make_batch(shape)
    out = ColorJitter(0, 0.4, 0)(batch, generator())
    means = out.flatten(1).mean(1), batch.flatten(1).mean(1)
    torch.testing.assert_close(*means, atol=1e-5, rtol=0)
    factors = out.flatten(1).std(1) / batch.flatten(1).std(1)
    assert 0.6 - 1e-3 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4 + 1e-3


def test_saturation_keeps_the_grey_image_and_scales_the_colours():
    batch = make_batch((500, 3, 4, 5))
    out = ColorJitter(0, 0, 1)(batch, generator())
    grey, expected = out.mean(1, keepdim=True), batch.mean(1, keepdim=True)
    torch.testing.assert_close(grey, expected, atol=1e-5, rtol=0)
    factors = (out - grey).flatten(1).std(1) / (batch - expected).flatten(1).std(1)
    assert factors.min() < 0.1
    assert factors.max() > 1.9


def test_saturation_is_for_three_channels():
    batch = make_batch((20, 2, 4, 5))
    out = ColorJitter(0, 0, 1)(batch, generator())
    torch.testing.assert_close(out, batch)


def test_noise_is_normal_with_its_standard_deviation():
    noise = Noise(std=0.3)(torch.zeros(50, 2, 30, 30), generator())
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert (noise.abs() < 0.3).float().mean().item() == pytest.approx(0.683, abs=0.01)


def test_scaling_gives_each_channel_of_each_signal_a_factor():
    batch = make_batch((800, 3, 20))
    factors = Scaling(std=0.2)(batch, generator()) / batch
    torch.testing.assert_close(factors, factors[..., :1].expand_as(factors))
    assert factors[..., 0].mean().item() == pytest.approx(1, abs=0.02)
    assert factors[..., 0].std().item() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [((3, 12), 0.25, 3), ((1, 8, 12), 4, 16), ((2, 4, 6, 8), 0.5, 24)],
)
def test_cutout_sets_a_box_to_zero_in_all_channels(shape, size, box):
    batch = torch.ones(400, *shape)
    cut = Cutout(size)(batch, generator()) == 0
    assert torch.equal(cut, cut[:, :1].expand_as(cut))
    n_cut = cut[:, 0].flatten(1).sum(1)
    assert n_cut.max() == box
    assert 0 < n_cut.min() < box
    assert cut.any(0).all()  # it may be anywhere
    for axis in range(2, batch.ndim):
        line = cut.movedim(axis, 1).flatten(2).any(2).int()
        assert (line.diff(dim=1).abs().sum(1) <= 2).all()  # one run a sample


def test_cutout_leaves_the_rest():
    batch = make_batch((50, 3, 8, 8))
    out = Cutout()(batch, generator())
    assert ((out == batch) | (out == 0)).all()


# ---- mixup


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_shares_follow_the_beta_distribution(alpha):
    _, mix = Mixup(alpha)(torch.zeros(20000, 1, 1), generator())
    assert ((mix.share >= 0) & (mix.share <= 1)).all()
    expected = torch.distributions.Beta(alpha, alpha).variance.item()
    assert mix.share.mean().item() == pytest.approx(0.5, abs=0.01)
    assert mix.share.var().item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_are_mixed_by_their_shares(shape):
    batch = make_batch(shape)
    out, (partner, share) = Mixup(1.0)(batch, generator())
    assert torch.equal(partner.sort().values, torch.arange(len(batch)))
    share = share.view(-1, *(1,) * (batch.ndim - 1))
    torch.testing.assert_close(out, share * batch + (1 - share) * batch[partner])


def make_mix(n):
    return Mixup(1.0)(torch.zeros(n, 1, 1), generator())[1]


def weighted_loss(criterion, outputs, targets):
    """Return the mean of the weighted losses, as the training loop does."""
    terms = targets if isinstance(targets, list) else [targets]
    return sum(
        (
            weight * criterion(outputs, y, reduction="none").view(len(y), -1).mean(1)
        ).mean()
        for y, weight in terms
    )


def test_the_loss_of_mixed_classes_is_that_of_mixed_probabilities():
    outputs = make_batch((30, 4, 1))[..., 0]
    y, mix = torch.randint(4, (30,), generator=generator()), make_mix(30)
    one_hot, share = F.one_hot(y, 4).float(), mix.share[:, None]
    mixed = share * one_hot + (1 - share) * one_hot[mix.partner]
    torch.testing.assert_close(
        weighted_loss(F.cross_entropy, outputs, mix_targets(y, mix)),
        F.cross_entropy(outputs, mixed),
    )


def test_weights_stay_with_their_samples():
    y, mix = torch.arange(30), make_mix(30)
    weights = torch.rand(30, generator=generator())
    (own, own_weight), (other, other_weight) = mix_targets((y, weights), mix)
    torch.testing.assert_close(own_weight, mix.share * weights[own])
    torch.testing.assert_close(other_weight, (1 - mix.share) * weights[other])


@pytest.mark.parametrize("shape", [(30,), (30, 3)])
def test_values_are_mixed_themselves(shape):
    y, mix = torch.randn(shape, generator=generator()), make_mix(30)
    mixed, weights = mix_targets(y, mix)
    share = mix.share.view(-1, *(1,) * (y.ndim - 1))
    torch.testing.assert_close(mixed, share * y + (1 - share) * y[mix.partner])
    torch.testing.assert_close(weights, torch.ones(30))


def test_weighted_values_have_the_gradient_of_the_weighted_squared_errors():
    y, mix = torch.randn(30, 2, generator=generator()), make_mix(30)
    weights = 0.1 + torch.rand(30, generator=generator())
    outputs = torch.zeros(30, 2, requires_grad=True)
    pairs = [
        (y, mix.share * weights),
        (y[mix.partner], (1 - mix.share) * weights[mix.partner]),
    ]
    gradients = [
        torch.autograd.grad(weighted_loss(F.mse_loss, outputs, targets), outputs)[0]
        for targets in (mix_targets((y, weights), mix), pairs)
    ]
    torch.testing.assert_close(*gradients)


def test_values_without_weight_are_mixed_by_their_shares():
    y, mix = torch.randn(30, generator=generator()), make_mix(30)
    mixed, weights = mix_targets((y, torch.zeros(30)), mix)
    torch.testing.assert_close(mixed, mix_targets(y, mix)[0])
    assert not weights.any()


def test_targets_stay_where_nothing_was_mixed():
    y = torch.arange(5)
    assert mix_targets(y, None) is y


def test_mixup_is_known_to_the_caller_wherever_it_stands():
    batch = make_batch((20, 3, 8, 8))
    for spec in ("mixup", ["mixup", "noise"], ["standard", Mixup(1.0)]):
        out, mix = make_augmentation(spec, 2)(batch, generator())
        assert isinstance(mix, Mix)
        assert out.shape == batch.shape


# ---- names, lists, functions


def test_none_and_empty_lists_change_nothing():
    batch = make_batch((5, 3, 8, 8))
    for spec in (None, [], ()):
        out, mix = make_augmentation(spec, 2)(batch, generator())
        assert out is batch
        assert mix is None


def test_lists_apply_in_their_order():
    batch = make_batch((5, 3, 8, 8))
    spec = [lambda b, g: b + 1, HorizontalFlip(p=1), lambda b, g: 2 * b]
    torch.testing.assert_close(augment(spec, batch), 2 * (batch + 1).flip(-1))


def test_a_name_is_its_instance_and_a_preset_its_list():
    batch = make_batch((30, 3, 9, 9))
    assert torch.equal(augment("rotation", batch), augment([Rotation()], batch))
    assert torch.equal(augment("strong", batch), augment(PRESETS["strong"][2], batch))
    assert torch.equal(
        augment(["standard", "noise"], batch),
        augment((*PRESETS["standard"][2], Noise()), batch),
    )


def test_a_function_draws_from_the_generator():
    batch = make_batch((5, 3, 8, 8))

    def add_noise(batch, generator):
        return batch + torch.randn(batch.shape, generator=generator)

    assert torch.equal(augment(add_noise, batch), augment([add_noise], batch))


def test_light_is_for_what_changes_its_meaning_in_the_mirror():
    batch = ramp(200, 1, 6, 6)
    assert (augment("light", batch).diff() > -1e-3).all()
    assert (augment("standard", batch).diff() < -1e-3).any()


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_an_unknown_name_lists_those_that_there_are(n_axes):
    with pytest.raises(ValueError, match="'flop' is not known") as error:
        make_augmentation("flop", n_axes)
    quoted = {name for name in AUGMENTATIONS if f"'{name}'" in str(error.value)}
    assert quoted == {
        name for name, step in AUGMENTATIONS.items() if n_axes in step.n_axes
    }
    assert all(f"'{name}'" in str(error.value) for name in PRESETS)


@pytest.mark.parametrize(
    ("spec", "n_axes", "message"),
    [
        ("flip", 1, "'flip' does not exist for signals"),
        (Rotation(), 1, r"Rotation\(degrees=15.0\) does not exist for signals"),
        (["shift", "scaling"], 2, "'scaling' does not exist for images"),
        (["light", Scaling()], 3, "does not exist for volumes or clips"),
        (["mixup", "noise", Mixup(1.0)], 2, "more than one Mixup"),
    ],
)
def test_what_does_not_go_together_is_an_error(spec, n_axes, message):
    with pytest.raises(ValueError, match=message):
        make_augmentation(spec, n_axes)


@pytest.mark.parametrize("spec", [Shift, [Shift], 3, [0.5], {"flip": 1}])
def test_what_is_no_augmentation_is_a_type_error(spec):
    with pytest.raises(TypeError, match=r"is not a name, instance, function or list"):
        make_augmentation(spec, 2)


@pytest.mark.parametrize(
    "function",
    [
        lambda batch, generator: batch[1:],
        lambda batch, generator: batch.double(),
        lambda batch, generator: None,
    ],
)
def test_a_function_that_returns_something_else_is_named(function):
    with pytest.raises(ValueError, match=r"lambda.*expected the same shape"):
        augment(function, make_batch((5, 3, 8, 8)))


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (HorizontalFlip, "p", 1.5),
        (Shift, "max_shift", -1),
        (Shift, "max_shift", 1.5),
        (Rotation, "degrees", 200),
        (Scale, "scale", 0.9),
        (Scale, "scale", (1.1, 0.9)),
        (Scale, "scale", (0, 1)),
        (RandomResizedCrop, "scale", (0.5, 2)),
        (ColorJitter, "brightness", -0.1),
        (ColorJitter, "contrast", 2),
        (Scaling, "std", -1),
        (Cutout, "size", 2.0),
        (Mixup, "alpha", 0),
    ],
)
def test_parameters_out_of_range_are_errors_that_name_them(cls, name, value):
    with pytest.raises(ValueError, match=f"^{name}=|^{name} == "):
        cls(**{name: value})


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_waits_for_the_device_or_leaves_it(shape):
    batch = torch.empty(shape, device="meta")  # has no values to wait for
    for name in names_for(shape):
        if name != "mixup":  # whose beta distribution needs values
            out, _ = make_augmentation(name, len(shape) - 2)(batch, None)
            assert out.device == batch.device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("shape", SHAPES)
def test_batches_on_a_gpu_stay_there(shape):
    batch = make_batch(shape).cuda()
    source = torch.Generator("cuda").manual_seed(0)
    for name in names_for(shape):
        out, _ = make_augmentation(name, len(shape) - 2)(batch, source)
        assert (out.shape, out.dtype) == (batch.shape, batch.dtype)
        assert out.device == batch.device
        assert out.is_contiguous(memory_format=memory_format(batch))
