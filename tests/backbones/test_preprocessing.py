import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from skcnn.backbones import Preprocessing, check_channels, check_pixel_range

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# resize, crop and interpolation of published weights; the last pads with black
SIZES = [
    (256, 224, "bilinear"),
    (232, 224, "bilinear"),
    (342, 299, "bilinear"),
    (236, 224, "bicubic"),
    (384, 384, "bicubic"),
    (200, 224, "bilinear"),
]
UINT8_MEAN, UINT8_MAX, FLOAT_MEAN = 0.01, 2, 0.35  # grey levels, as documented


def make(resize, crop, interpolation="bilinear"):
    return Preprocessing((crop, crop), resize, interpolation, MEAN, STD)


def preset(resize, crop, interpolation):
    mode = InterpolationMode(interpolation)
    return ImageClassification(
        crop_size=crop, resize_size=resize, interpolation=mode, mean=MEAN, std=STD
    )


def as_batch(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def grey_levels(batch):
    """Undo the normalisation."""
    scale, shift = (torch.tensor(v)[:, None, None] for v in (STD, MEAN))
    return (batch * scale + shift) * 255


@pytest.fixture(scope="module")
def photographs(data_dir):
    files = sorted((data_dir / "images" / "imagenet200").glob("*.jpg"))[::25]
    return [Image.open(file).convert("RGB") for file in files]


@pytest.fixture
def odd_images(rng):
    """Small images of sizes where roundings differ, grey or not."""
    shapes = [(37, 61, 3), (61, 37, 3), (64, 64, 3), (1, 9, 3), (65, 64, 3), (45, 33)]
    return [Image.fromarray(rng.integers(0, 256, s, "uint8")) for s in shapes]


@pytest.mark.parametrize(("resize", "crop", "interpolation"), SIZES)
def test_images_of_pil_get_the_pixels_of_torchvision(
    photographs, resize, crop, interpolation
):
    mode = InterpolationMode(interpolation)
    reference = transforms.Compose(
        [transforms.Resize(resize, mode), transforms.CenterCrop(crop)]
    )
    ours = make(resize, crop, interpolation)
    for image in photographs:
        assert ours.resize_image(image).tobytes() == reference(image).tobytes()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(20, 17), (21, 18), (16, 21), (64, 64)])
def test_odd_sizes_are_rounded_as_torchvision_does(
    odd_images, resize, crop, interpolation
):
    mode = InterpolationMode(interpolation)
    reference = transforms.Compose(
        [transforms.Resize(resize, mode), transforms.CenterCrop(crop)]
    )
    for image in odd_images:
        ours = make(resize, crop, interpolation).resize_image(image)
        assert ours.mode == image.mode
        assert ours.size == (crop, crop)
        assert ours.tobytes() == reference(image).tobytes()


@pytest.mark.parametrize(("resize", "crop", "interpolation"), SIZES)
def test_tensors_are_near_torchvision_on_pil(photographs, resize, crop, interpolation):
    reference = preset(resize, crop, interpolation)
    ours = make(resize, crop, interpolation)
    differences = {torch.uint8: [], torch.float32: []}
    for image in photographs:
        expected = grey_levels(reference(image))
        for pixels in (as_batch(image), as_batch(image) / 255):
            resized = ours.resize_batch(pixels)
            assert resized.dtype == pixels.dtype
            difference = grey_levels(ours.normalize(resized)) - expected
            differences[pixels.dtype].append(difference.abs().flatten())
    uint8, floats = (torch.cat(values) for values in differences.values())
    assert uint8.mean() <= UINT8_MEAN
    assert uint8.max() <= UINT8_MAX + 1e-3
    assert floats.mean() <= FLOAT_MEAN


def test_channels_last_stay_channels_last(photographs):
    batch = as_batch(photographs[0]).expand(2, -1, -1, -1)
    batch = batch.contiguous(memory_format=torch.channels_last)
    resized = make(48, 40).resize_batch(batch)
    normalized = make(48, 40).normalize(
        resized.contiguous(memory_format=torch.channels_last)
    )
    assert normalized.is_contiguous(memory_format=torch.channels_last)


def test_batches_are_their_images(rng):
    batch = torch.from_numpy(rng.integers(0, 256, (5, 3, 40, 50), "uint8"))
    ours = make(36, 32)
    whole = ours.normalize(ours.resize_batch(batch))
    one_by_one = [ours.normalize(ours.resize_batch(image[None])) for image in batch]
    assert torch.equal(whole, torch.cat(one_by_one))


@pytest.mark.parametrize("size", [(32, 32), (24, 32), (32, 24)])
def test_an_image_of_the_given_size_is_not_touched(rng, size):
    pixels = rng.integers(0, 256, (*size, 3), "uint8")
    ours = make(256, 224).with_image_size(size)
    assert ours.resize_image(Image.fromarray(pixels)).tobytes() == pixels.tobytes()
    assert torch.equal(ours.resize_batch(as_batch(pixels)), as_batch(pixels))


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (10, 11), (32, 33), (1, 200)])
@pytest.mark.parametrize("size", [(32, 32), (24, 32), (32, 24)])
def test_an_image_covers_the_given_size_in_its_own_aspect_ratio(shape, size):
    ours = make(256, 224).with_image_size(size)
    height, width = ours.resized_size(*shape)
    assert (height == size[0] and width >= size[1]) or (
        width == size[1] and height >= size[0]
    )
    scale = max(size[0] / shape[0], size[1] / shape[1])
    assert abs(height - shape[0] * scale) <= 1
    assert abs(width - shape[1] * scale) <= 1


@pytest.mark.parametrize("shape", [(200_000, 1), (1, 200_000)])
def test_an_image_that_becomes_too_large_before_the_crop_is_an_error(shape):
    ours = make(256, 224)
    words = f"{shape[0]} x {shape[1]} pixels .* {256 * shape[0]:,} x {256 * shape[1]:,}"
    with pytest.raises(OverflowError, match=f"^has {words}"):
        ours.resize_image(Image.new("L", shape[::-1]))
    with pytest.raises(ValueError, match=f"^X has images of {words}"):
        ours.resize_batch(torch.zeros(1, 1, *shape, dtype=torch.uint8))


def test_a_square_size_is_a_resize_of_the_short_side(photographs):
    image = photographs[0]
    expected = make(48, 48).resize_image(image)
    given = make(256, 224).with_image_size(48)
    assert given.resize_image(image).tobytes() == expected.tobytes()
    assert given.mean == MEAN


def test_both_sides_are_resized_where_both_are_given(photographs):
    squashed = Preprocessing((40, 40), (40, 40), "bilinear", MEAN, STD)
    reference = transforms.Resize((40, 40))(photographs[0])
    assert squashed.resize_image(photographs[0]).tobytes() == reference.tobytes()


@pytest.mark.parametrize(
    ("resize", "crop", "side"),
    [(256, (224, 224), 256), ((50, 60), (40, 40), 60), (None, (24, 32), 32)],
)
def test_short_side_is_enough_for_the_resize(resize, crop, side):
    assert Preprocessing(crop, resize, "bilinear", MEAN, STD).short_side == side


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_dtypes_with_the_same_pixels_give_the_same(rng, interpolation):
    ours = make(36, 32, interpolation)
    uint8 = torch.from_numpy(rng.integers(0, 256, (2, 3, 40, 50), "uint8"))

    def run(batch):
        return ours.normalize(ours.resize_batch(batch))

    for integers in (torch.int16, torch.int32, torch.int64, torch.uint32):
        assert torch.equal(run(uint8.to(integers)), run(uint8))
    floats = run(uint8 / 255)
    for same in (uint8.to(torch.int32) * 257).to(torch.uint16), (uint8.double() / 255):
        torch.testing.assert_close(run(same), floats, rtol=0, atol=1e-5)
    step = 1 / 255 / min(STD)
    assert (floats - run(uint8)).abs().mean() < 0.5 * step


def test_bools_are_black_and_white(rng):
    mask = torch.from_numpy(rng.integers(0, 2, (2, 3, 40, 50)).astype(bool))
    ours = make(36, 32)
    floats = ours.normalize(ours.resize_batch(mask.float()))
    assert torch.equal(ours.normalize(ours.resize_batch(mask)), floats)
    assert torch.equal(ours.normalize(mask), ours.normalize(mask.float()))


def test_sixteen_bits_are_scaled_before_the_resize_and_without_one():
    white = torch.full((1, 3, 32, 32), 65535, dtype=torch.uint16)
    ours = make(None, 32, "bicubic")
    expected = ours.normalize(torch.ones(1, 3, 32, 32))
    torch.testing.assert_close(ours.normalize(white), expected)
    torch.testing.assert_close(ours.normalize(ours.resize_batch(white)), expected)


def test_a_bicubic_filter_does_not_leave_the_range():
    edge = torch.zeros(1, 1, 40, 40)
    edge[..., 20:] = 1
    resized = make(60, 60, "bicubic").resize_batch(edge)
    assert resized.min() == 0
    assert resized.max() == 1


def test_normalize_is_torchvisions(rng):
    batch = torch.from_numpy(rng.integers(0, 256, (2, 3, 8, 8), "uint8"))
    expected = transforms.Normalize(MEAN, STD)(batch / 255)
    torch.testing.assert_close(make(8, 8).normalize(batch), expected)


def test_grey_is_repeated_for_an_rgb_network(rng):
    grey = torch.from_numpy(rng.integers(0, 256, (2, 1, 8, 8), "uint8"))
    ours = make(8, 8)
    assert torch.equal(ours.normalize(grey), ours.normalize(grey.repeat(1, 3, 1, 1)))


def test_grey_stays_grey_for_a_grey_network():
    ours = Preprocessing((8, 8), None, "bilinear", (0.5,), (0.5,))
    assert ours.normalize(torch.rand(2, 1, 8, 8)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_dtype_is_the_one_asked_for(dtype):
    batch = torch.rand(2, 3, 8, 8)
    normalized = make(8, 8).normalize(batch, dtype)
    assert normalized.dtype == dtype
    assert torch.equal(normalized, make(8, 8).normalize(batch).to(dtype))


def test_pixels_are_not_changed_in_place(rng):
    batch = torch.from_numpy(rng.random((2, 3, 32, 32), "float32"))
    before = batch.clone()
    ours = make(256, 224).with_image_size(32)
    ours.normalize(ours.resize_batch(batch))
    assert torch.equal(batch, before)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_an_rgb_network_takes_rgb_and_grey(n_channels):
    check_channels(n_channels, 3, "resnet18")


@pytest.mark.parametrize(("n_channels", "expected"), [(2, 3), (4, 3), (3, 1), (1, 4)])
def test_other_channels_are_an_error_that_names_both(n_channels, expected):
    with pytest.raises(ValueError, match=rf"{n_channels} channels.* takes {expected}"):
        check_channels(n_channels, expected, "resnet18")


@pytest.mark.parametrize(
    "batch",
    [
        torch.tensor([0, 255], dtype=torch.uint8),
        torch.tensor([0, 65535], dtype=torch.int32).to(torch.uint16),
        torch.tensor([False, True]),
        torch.tensor([0, 255]),
        torch.tensor([0, 255], dtype=torch.int16),
        torch.tensor([0, 255], dtype=torch.uint32),
        torch.tensor([0.0, 1.0]),
        torch.tensor([0.0, 1.0], dtype=torch.float16),
        torch.tensor([0.0, 1.0], dtype=torch.float64),
    ],
    ids=lambda batch: str(batch.dtype),
)
def test_pixels_in_the_range_of_their_dtype_pass(batch):
    check_pixel_range(batch)


@pytest.mark.parametrize(
    "batch",
    [
        torch.tensor([0, 256]),
        torch.tensor([-1, 5]),
        torch.tensor([0, 300], dtype=torch.uint32),
        torch.tensor([0, 2**63], dtype=torch.uint64),
        torch.tensor([-1, 5], dtype=torch.int8),
        torch.tensor([0.0, 1.5]),
        torch.tensor([0.0, 255.0], dtype=torch.float64),
        torch.tensor([-1e-3, 1.0]),
        torch.tensor([0.0, torch.nan]),
        torch.tensor([0.0, torch.inf]),
        torch.tensor([0.0, 2.0], dtype=torch.float16),
    ],
    ids=lambda batch: f"{batch.dtype}-{batch.tolist()}",
)
def test_pixels_outside_are_an_error_that_says_what_came(batch):
    with pytest.raises(ValueError, match=r"X has pixels from .* to .*uint8"):
        check_pixel_range(batch)
