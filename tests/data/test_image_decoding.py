import gc
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps

from skcnn.data.image_decoding import (
    DRAFT_GAP,
    MIN_DRAFT_SIDE,
    TRANSPOSES,
    ImageFileError,
    as_pil_image,
    decode_image,
)

DAMAGED = {
    "broken.png": "not an image",
    "broken_data_stream.png": "damaged",
    "decompression_bomb.gif": "pixels, the limit of PIL",
    "decompression_bomb.ico": "pixels, the limit of PIL",
    "made_bomb_30000x30000_1bit.png": "pixels, the limit of PIL",
    "made_empty.jpg": "empty",
    "made_text_named.jpg": "not an image",
    "made_truncated_hopper.jpg": "truncated",
}
SIXTEEN_BIT = {
    "16bit.cropped.tif",
    "hopper_16bit.pgm",
    "i_trns.png",
    "made_16bit_gray_hopper.png",
}
ANIMATED = {"apng_mode_16bit.png", "dispose_bgnd_rgba.gif", "iss634.webp"}
N_ODD = 45
# Orientation 6, and a resolution in letters where a fraction belongs.
ODD_EXIF = (
    b"Exif\0\0II*\0\x08\0\0\0"
    + struct.pack("<H", 2)
    + struct.pack("<HHII", 0x112, 3, 1, 6)
    + struct.pack("<HHI4s", 0x11A, 2, 4, b"odd\0")
    + bytes(4)
)


@pytest.fixture
def odd_images(data_dir):
    return data_dir / "odd_images"


@pytest.fixture
def photo(data_dir):
    """A real photograph with detail, 1200 x 900."""
    names = sorted((data_dir / "images/hymenoptera/val/ants").iterdir())[:12]
    canvas = Image.new("RGB", (1200, 900))
    for index, name in enumerate(names):
        with Image.open(name) as image:
            tile = ImageOps.fit(image.convert("RGB"), (300, 300))
        canvas.paste(tile, (300 * (index % 4), 300 * (index // 4)))
    return canvas


@pytest.fixture
def gradient(rng):
    """An image whose eight orientations all differ."""
    return Image.fromarray(rng.integers(0, 256, (24, 16, 3), dtype=np.uint8))


def encode(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def as_array(image):
    return np.asarray(image).astype(int)


def as_pil_reads(path, mode="RGB"):
    with Image.open(path) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)


def test_every_odd_image_is_either_good_or_damaged(odd_images):
    names = {path.name for path in odd_images.iterdir()}
    assert len(names) == N_ODD
    assert names >= set(DAMAGED) | SIXTEEN_BIT | ANIMATED


def test_odd_images_of_8_bits_are_read_as_pil_converts_them(odd_images):
    paths = [p for p in odd_images.iterdir() if p.name not in {*DAMAGED, *SIXTEEN_BIT}]
    for path in paths:
        for mode in ("RGB", "L"):
            image, expected = decode_image(path, mode), as_pil_reads(path, mode)
            assert (image.mode, image.size) == (mode, expected.size), path.name
            assert np.array_equal(image, expected), path.name


def test_odd_images_of_16_bits_are_scaled_by_their_range(odd_images):
    for name in SIXTEEN_BIT:
        with Image.open(odd_images / name) as image:
            expected = np.rint(np.asarray(image) / 65535 * 255)
            if "transparency" in image.info:
                expected[np.asarray(image) == image.info["transparency"]] = 255
        for mode in ("L", "RGB"):
            pixels = as_array(decode_image(odd_images / name, mode))
            assert np.array_equal(pixels.reshape(*expected.shape, -1)[..., 0], expected)


@pytest.mark.parametrize(("name", "words"), DAMAGED.items())
def test_damaged_images_are_errors_that_name_them(odd_images, name, words):
    path = odd_images / name
    with pytest.raises(ImageFileError, match=words) as caught:
        decode_image(path)
    assert repr(str(path)) in str(caught.value)


def test_animations_show_their_first_frame_and_say_so(odd_images):
    for path in odd_images.iterdir():
        if path.name not in DAMAGED:
            image = decode_image(path)
            assert image.info["is_animated"] == (path.name in ANIMATED), path.name


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_read(format):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in colours)
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(first, format, save_all=True, append_images=others, **options)
    image = decode_image(data)
    assert image.info["is_animated"]
    assert image.getpixel((4, 4)) == colours[0]


def test_a_photograph_with_a_preview_is_no_animation(gradient):
    data = encode(gradient, "MPO", save_all=True, append_images=[gradient])
    assert not decode_image(data).info["is_animated"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_orientation_is_applied(gradient, tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / "image"
    gradient.save(path, format, exif=exif)
    image = decode_image(path)
    assert image.size == ((24, 16) if orientation > 4 else (16, 24))
    assert np.array_equal(image, as_pil_reads(path))
    assert np.array_equal(decode_image(as_pil_source(path)), image)


def as_pil_source(path):
    """Return a PIL image that was read, its orientation not applied by its reader."""
    with Image.open(path) as image:
        image.load()
    return image


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_applied_where_other_tags_are_odd(gradient, format):
    data = encode(gradient, format, exif=ODD_EXIF)
    plain = encode(gradient, format)
    expected = decode_image(plain).transpose(TRANSPOSES[6])
    assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff", b"nonsense"])
def test_exif_that_cannot_be_read_is_left_aside(gradient, exif):
    image = gradient.copy()
    image.info["exif"] = exif
    assert np.array_equal(decode_image(image), gradient)


@pytest.mark.parametrize("mode", Image.MODES)
@pytest.mark.parametrize("wanted", ["RGB", "L"])
def test_every_mode_of_pil_is_converted_and_turned(mode, wanted):
    source = Image.new(mode, (4, 3))
    source.info["exif"] = ODD_EXIF
    image = decode_image(source, wanted)
    assert (image.mode, image.size) == (wanted, (3, 4))


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (None, [(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)]),
        (0, [(255, 255, 255), (200, 0, 0), (0, 200, 0), (0, 0, 200)]),
        (b"\xff\0\x33", [(0, 0, 0), (255, 255, 255), (204, 244, 204), (0, 0, 200)]),
    ],
)
def test_palettes_are_seen_on_white(alpha, expected):
    palette = Image.new("P", (4, 1))
    palette.putdata(range(4))
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    if alpha is not None:
        palette.info["transparency"] = alpha
    for source in (palette, encode(palette)):
        assert np.array_equal(decode_image(source), [expected])


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (200, 0, 100, 255), (200, 0, 100)),
        ("RGBA", (200, 0, 100, 0), (255, 255, 255)),
        ("RGBA", (200, 0, 100, 51), (244, 204, 224)),
        ("LA", (100, 51), (224, 224, 224)),
        ("LA", (100, 0), (255, 255, 255)),
    ],
)
def test_alpha_is_composited_on_white(mode, colour, expected):
    image = Image.new(mode, (2, 2), colour)
    for source in (image, encode(image), encode(image, "TIFF")):
        assert decode_image(source).getpixel((0, 0)) == expected
        grey = round(np.dot(expected, [0.299, 0.587, 0.114]))
        assert decode_image(source, "L").getpixel((1, 1)) == grey


def test_black_ink_is_black():
    ink = Image.new("CMYK", (16, 16), (0, 0, 0, 255))
    assert np.array_equal(decode_image(encode(ink, "JPEG")), np.zeros((16, 16, 3)))


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("I;16", "PNG"),
        ("I;16", "TIFF"),
        ("I;16B", "TIFF"),
        ("I;16", "PPM"),
        ("I", "PPM"),
        ("I;16", None),
    ],
)
def test_16_bits_are_scaled_and_never_clipped(mode, format):
    values = np.array([[0, 128, 129, 257, 300, 32768, 65406, 65407, 65535]])
    dtype = {"I": np.int32, "I;16": "<u2", "I;16B": ">u2"}[mode]
    image = Image.fromarray(values.astype(dtype))
    source = image if format is None else encode(image, format)
    expected = [[0, 0, 1, 1, 1, 128, 254, 255, 255]]
    assert np.array_equal(decode_image(source, "L"), expected)


def test_dark_images_of_16_bits_stay_dark():
    image = Image.fromarray(np.full((2, 2), 200, dtype=np.uint16))
    for source in (image, encode(image), encode(image, "PPM"), encode(image, "TIFF")):
        assert decode_image(source, "L").getextrema() == (1, 1)


@pytest.mark.parametrize("low_high", [(0, 256), (-1, 3), (0, 70_000)])
def test_wide_integers_of_unknown_range_are_an_error(low_high):
    image = Image.fromarray(np.array([low_high], dtype=np.int32))
    words = "from {} to {}.*Save it with 8 or 16 bits".format(*low_high)
    for source in (image, encode(image, "TIFF")):
        with pytest.raises(ImageFileError, match=words):
            decode_image(source)


def test_wide_integers_up_to_255_are_taken_as_they_are():
    values = np.array([[0, 1, 254, 255]], dtype=np.int32)
    assert np.array_equal(decode_image(Image.fromarray(values), "L"), values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 0.25], [0, 64]),
        ([0.0, 1.0, 255.0], [0, 1, 255]),
        ([3.0, 200.0], [3, 200]),
    ],
)
def test_floats_are_fractions_or_whole_numbers(values, expected):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    for source in (image, encode(image, "TIFF")):
        assert np.array_equal(decode_image(source, "L"), [expected])


@pytest.mark.parametrize(
    "values", [(0, 1.5), (-0.1, 1), (0.5, 200), (0, 256), (0, np.nan), (0, np.inf)]
)
def test_floats_of_unknown_range_are_an_error(values):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    with pytest.raises(ImageFileError, match=r"floating-point .* Rescale it"):
        decode_image(image)


def test_an_open_image_gives_the_pixels_of_its_file(odd_images):
    for path in odd_images.iterdir():
        if path.name not in DAMAGED:
            with Image.open(path) as image:
                assert np.array_equal(decode_image(image), decode_image(path)), path


def test_a_damaged_second_frame_does_no_harm(gradient):
    first, second = gradient.quantize(), gradient.rotate(180).quantize()
    start = len(encode(first, "GIF"))
    whole = encode(first, "GIF", save_all=True, append_images=[second])
    expected = decode_image(whole)
    assert start < len(whole) - 100
    for end in range(start + 40, len(whole)):
        assert np.array_equal(decode_image(whole[:end]), expected), end


class OwnPath:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_all_sources_of_one_image_give_equal_pixels(gradient, tmp_path):
    path = tmp_path / "image.png"
    gradient.save(path)
    sources = [path, str(path), OwnPath(path), path.read_bytes(), gradient]
    for source in sources:
        assert np.array_equal(decode_image(source), gradient)


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "I;16"])
def test_a_pil_image_is_left_as_it_is(mode):
    source = Image.new(mode, (4, 3), 1)
    transparent = (1, 1, 1) if mode == "RGB" else 0
    source.info.update(transparency=transparent, exif=ODD_EXIF)
    before = (source.mode, source.size, dict(source.info), source.tobytes())
    decoded = decode_image(source)
    decoded.paste(9, (0, 0, 2, 2))
    assert (source.mode, source.size, source.info, source.tobytes()) == before


def test_missing_files_are_errors_that_say_so(tmp_path):
    with pytest.raises(
        ImageFileError, match=r"no\.jpg' does not exist\. Check the path"
    ):
        decode_image(tmp_path / "no.jpg")
    with pytest.raises(ImageFileError, match=r"'~/no.jpg' does .*not expanded"):
        decode_image("~/no.jpg")


def test_a_folder_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ImageFileError, match="is a folder"):
        decode_image(tmp_path)


def test_what_cannot_be_read_is_an_error_that_says_why(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    file = tmp_path / "file"
    file.touch()
    for path in (link, file / "image.jpg", tmp_path / ("x" * 1000)):
        with pytest.raises(ImageFileError, match="cannot be read"):
            decode_image(path)
    for path in ("a\0b.jpg", Path("a\ud800.jpg")):
        with pytest.raises(ImageFileError, match="NUL or an unpaired surrogate"):
            decode_image(path)
    if Path("/proc/self/mem").exists():  # opens, and its first byte cannot be read
        with pytest.raises(ImageFileError, match="cannot be read: Input/output"):
            decode_image("/proc/self/mem")


@pytest.mark.parametrize("format", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_files_cut_short_are_errors(gradient, tmp_path, format):
    data = encode(gradient, format)
    path = tmp_path / "image"
    for share in (0.95, 0.5, 0.05):
        path.write_bytes(data[: int(share * len(data))])
        for source in (path, path.read_bytes()):
            with pytest.raises(ImageFileError, match=r"damaged|not an image|empty"):
                decode_image(source)


@pytest.mark.parametrize("place", ["header", "pixels"])
def test_bad_checksums_are_errors(gradient, place):
    data = bytearray(encode(gradient))
    data[29 if place == "header" else data.index(b"IDAT") + 40] ^= 1
    with pytest.raises(
        ImageFileError, match=r"Encoded image of .* (damaged|is not an image)"
    ):
        decode_image(bytes(data))


def test_the_pixel_limit_is_an_error_before_pixels_are_read(gradient, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 16 - 1)
    whole = encode(gradient)
    header_only = whole[: whole.index(b"IDAT") + 4]
    for source in (whole, header_only, gradient):
        with pytest.raises(ImageFileError, match="more than 383 pixels, the limit"):
            decode_image(source)


@pytest.mark.parametrize("limit", [None, 24 * 16])
def test_images_up_to_the_limit_are_read(gradient, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert np.array_equal(decode_image(encode(gradient)), gradient)


def test_the_settings_of_pil_stay_as_they_are(odd_images):
    limit, truncated = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    for path in odd_images.iterdir():
        if path.name not in DAMAGED:
            decode_image(path)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert truncated == ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_files_are_closed_whether_good_or_damaged(odd_images):
    gc.collect()
    before = os.listdir("/proc/self/fd")
    for path in odd_images.iterdir():
        try:
            kept = decode_image(path)
        except ImageFileError as error:
            kept = error
        assert os.listdir("/proc/self/fd") == before, (path.name, kept)


def test_a_large_jpeg_is_reduced_and_looks_the_same(photo):
    data = encode(photo.resize((2400, 1800)), "JPEG", quality=90)
    whole, reduced = decode_image(data), decode_image(data, short_side=400)
    assert (whole.size, reduced.size) == ((2400, 1800), (1200, 900))
    small = [as_array(image.resize((532, 400))) for image in (whole, reduced)]
    assert np.abs(small[0] - small[1]).mean() < 1
    assert np.abs(small[0] - small[1]).max() < 16


@pytest.mark.parametrize("format", ["JPEG", "MPO"])
def test_a_jpeg_is_never_reduced_below_the_gap(gradient, format):
    for width in (200, 1100, 2300, 4200):
        data = encode(gradient.resize((width, 2100)), format)
        short = min(width, 2100)
        for short_side in (1, 200, 255, 257, 300, 520, 530):
            size = decode_image(data, short_side=short_side).size
            wanted = max(DRAFT_GAP * short_side, MIN_DRAFT_SIDE)
            assert min(size) >= min(short, wanted)
            assert min(size) == short or short >= 2 * wanted


def test_a_jpeg_that_is_not_much_larger_is_read_as_pil_reads_it(photo, tmp_path):
    path = tmp_path / "image.jpg"
    photo.save(path, quality=90)
    for short_side in (1, 900 // (2 * DRAFT_GAP) + 1):
        image = decode_image(path, short_side=short_side)
        assert np.array_equal(image, as_pil_reads(path))


def test_other_formats_are_never_reduced(gradient):
    for format in ("PNG", "WEBP", "TIFF"):
        assert decode_image(encode(gradient, format), short_side=1).size == (16, 24)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (1, 5), (1, 5, 1)])
def test_an_array_is_read_by_the_range_of_its_dtype(rng, shape):
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    arrays = {
        "uint8": pixels,
        "int64": pixels.astype(np.int64),
        "uint16": pixels.astype(np.uint16) * 257,
        "float": pixels / 255,
        "float32": torch.from_numpy(pixels / np.float32(255)),
        "channels first": np.moveaxis(pixels, -1, 0) if len(shape) == 3 else pixels,
    }
    for kind, array in arrays.items():
        read = np.asarray(as_pil_image(array))
        assert np.array_equal(read.reshape(shape), pixels), kind
    mask = pixels.reshape(*shape[:2], -1)[..., 0] > 99
    assert np.array_equal(as_pil_image(mask), 255 * mask)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 5), 200.0), r"200 to 200, but float64 pixels lie in 0 to 1\."),
        (np.full((4, 5), np.nan), "pixels from nan"),
        (np.full((4, 5), -1), r"int64 pixels lie in 0 to 255\."),
        (np.zeros((4, 5, 4), np.uint8), "neither 1 nor 3 channels"),
        (np.zeros((0, 5), np.uint8), "no pixels"),
    ],
)
def test_an_array_out_of_range_is_an_error(array, words):
    with pytest.raises(ImageFileError, match=words):
        as_pil_image(array)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_or_device_is_an_error_at_once(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero"):
        with pytest.raises(ImageFileError, match="' is a pipe or device"):
            decode_image(path)


def test_formats_that_start_programs_are_refused(tmp_path):
    path = tmp_path / "drawing.jpg"
    Image.new("L", (8, 8)).save(path, "EPS")
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageFileError, match=r"PIL can decode\. Convert it"):
            decode_image(source)
