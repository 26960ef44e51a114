"""One decoder: the same pixels in training, evaluation, `predict` and each signature of the exported model."""

import io
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.data import decoding, folder, load, pipeline, pixels
from supcon_tf.data.findings import findings
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:24, :32]
RGB = np.stack([COLUMNS * 8, ROWS * 10, (ROWS + COLUMNS) * 4], axis=-1).astype(np.uint8)
NOISE = RNG.integers(0, 256, RGB.shape).astype(np.uint8)
RGBA = np.dstack([RGB, np.where(ROWS < 12, 0, 255)]).astype(np.uint8)
SIXTEEN = (COLUMNS * 2000 + ROWS).astype(np.uint16)


def content(image, kind, **options):
    if isinstance(image, np.ndarray):
        image = PIL.Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def on_a_larger_canvas(gif):
    """Returns a GIF whose only frame does not cover its canvas of 48x48."""
    return gif[:6] + (48).to_bytes(2, "little") * 2 + gif[10:]


def palette(image, kind, **options):
    return content(PIL.Image.fromarray(image).quantize(16), kind, **options)


FORMATS = {
    "jpeg": content(NOISE, "JPEG"),
    "jpeg-progressive": content(NOISE, "JPEG", progressive=True),
    "jpeg-grey": content(NOISE[..., 0], "JPEG"),
    "jpeg-cmyk": content(PIL.Image.fromarray(NOISE).convert("CMYK"), "JPEG"),
    "png": content(NOISE, "PNG"),
    "png-grey": content(NOISE[..., 0], "PNG"),
    "png-alpha": content(RGBA, "PNG"),
    "png-palette": palette(NOISE, "PNG"),
    "png-transparent-palette": palette(NOISE, "PNG", transparency=3),
    "png-black-and-white": content(PIL.Image.fromarray(NOISE).convert("1"), "PNG"),
    "png-16": content(SIXTEEN, "PNG"),
    "gif": palette(NOISE, "GIF"),
    "gif-transparent": content(RGBA, "GIF"),
    "gif-animated": content(RGB, "GIF", save_all=True, append_images=[PIL.Image.fromarray(255 - RGB)]),
    "gif-larger-canvas": on_a_larger_canvas(palette(NOISE, "GIF")),
    "bmp": content(NOISE, "BMP"),
    "bmp-palette": palette(NOISE, "BMP"),
    "bmp-grey": content(NOISE[..., 0], "BMP"),
    "webp": content(NOISE, "WEBP"),
    "webp-alpha": content(RGBA, "WEBP"),
    "tiff": content(NOISE, "TIFF"),
    "tiff-cmyk": content(PIL.Image.fromarray(NOISE).convert("CMYK"), "TIFF"),
    "tiff-16": content(SIXTEEN, "TIFF"),
    "ppm": content(NOISE, "PPM"),
    "pgm-16": content(SIXTEEN, "PPM"),
}


class Pixels(tf.Module):
    """A model whose embedding is the image, and whose most probable class is its brightest pixel."""

    def __call__(self, images, training=False):
        return self.embed(images)

    def embed(self, images):
        return tf.reshape(tf.cast(images, tf.float32), [-1, SIDE * SIDE * images.shape[-1]])


SIDE = 16


def view(images):
    """Returns the corner of an image, whose pixels are not resized."""
    images = images[..., :SIDE, :SIDE, :]
    return tf.ensure_shape(images, [*images.shape[:-3], SIDE, SIDE, images.shape[-1]])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The formats as a prepared folder, one class and one image each, and once more for the test."""
    root = tmp_path_factory.mktemp("formats")
    for split in ("train", "test"):
        for name, data in FORMATS.items():
            path = root / "pictures" / split / name / "image"
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
    tfds.disable_progress_bar()
    builder = folder.builder(str(root / "pictures"), labels=True, on_bad_image="stop", data_dir=str(root / "data"))
    builder.download_and_prepare()
    names = tuple(builder.info.features["label"].names)
    return load.ImageData(builder, "image", "label", names, (None, None, 3), "train", None, "test")


@pytest.fixture(scope="module")
def pixels_of(prepared):
    """Format → the corner that training sees, uint8 `[SIDE, SIDE, 3]`."""
    images, epochs = TrainingImages(prepared), StepSchedule(batch_size=1, images=len(FORMATS), epochs=1)
    batches = pipeline.training_batches(images, lambda image, seed: {"views": view(image)[tf.newaxis]}, epochs, seed=0)
    return {prepared.class_names[int(batch["labels"][0])]: batch["views"][0, 0].numpy() for batch in batches}


def test_training_sees_the_pixels_of_every_format(pixels_of):
    assert pixels_of.keys() == FORMATS.keys()
    for name in ("png", "bmp", "tiff", "ppm"):
        np.testing.assert_array_equal(pixels_of[name], view(NOISE), err_msg=name)
    for name in ("png-alpha", "webp-alpha"):
        assert np.ptp(pixels_of[name]) > 100, name


def test_evaluation_sees_what_training_sees(prepared, pixels_of):
    for batch in pipeline.evaluation_batches(prepared, "test", view, 1):
        name = prepared.class_names[int(batch["labels"][0])]
        np.testing.assert_array_equal(batch["views"][0, 0], pixels_of[name], err_msg=name)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_or_png_decodes_alike_with_and_without_a_check(channels):
    for name, data in FORMATS.items():
        converted = tf.constant(pixels.encode(data))
        checked = pixels.decode_image(converted, channels)
        assert checked.shape[2] == channels
        if (name, channels) != ("jpeg-cmyk", 1):
            np.testing.assert_array_equal(checked, pixels.decode_image(converted, channels, checked=False), name)


def test_grey_of_a_jpeg_of_four_colours_is_that_of_its_rgb():
    data = tf.constant(FORMATS["jpeg-cmyk"])
    expected = tf.image.rgb_to_grayscale(pixels.decode_image(data, 3))
    np.testing.assert_array_equal(pixels.decode_image(data, 1), expected)


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith(("jpeg", "png"))])
def test_what_tensorflow_may_decode_otherwise_is_refused_unconverted(name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        pixels.decode_image(tf.constant(FORMATS[name]), 3)


def png_of(width, height, colour=2):
    """Returns a PNG of one colour, a thousandth of its pixels' size."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\x55" * ((3 if colour == 2 else 1) * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(kind, body):
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, colour, 0, 0, 0])
    return pixels.PNG + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def declaring(data, width, height):
    """Returns a JPEG whose header declares another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


def test_height_and_width_are_read_without_decoding():
    for width, height in ((3, 5), (10_500, 16_000), (60_000, 60_000)):
        jpeg = declaring(content(RGB, "JPEG"), width, height)
        assert pixels.stored_shape(tf.constant(jpeg)).numpy().tolist() == [height, width, 3]
    assert pixels.stored_shape(tf.constant(png_of(70, 2))).numpy().tolist() == [2, 70, 0]
    for data in (b"", b"x", pixels.PNG, FORMATS["gif"], FORMATS["bmp"]):
        assert not np.any(pixels.stored_shape(tf.constant(data)))


def test_more_pixels_than_the_limit_are_refused_before_decoding():
    for declared in ((5_793, 5_793), (60_000, 60_000)):
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            pixels.decode_image(tf.constant(declaring(content(RGB, "JPEG"), *declared)), 3)
        assert decoding.is_about_decoding(error.value)
    for size in ((0, 0), (2**31, 1), (2**32 - 1, 2**32 - 1)):
        header = pixels.PNG + b"\0\0\0\rIHDR" + b"".join(side.to_bytes(4, "big") for side in size) + b"\x08\2\0\0\0"
        with pytest.raises(tf.errors.InvalidArgumentError):
            pixels.decode_image(tf.constant(header + b"\0" * 99), 3)


def test_a_large_image_becomes_smaller_by_averaging(monkeypatch):
    monkeypatch.setattr(pixels, "LIMIT", 700)  # RGB has 768 pixels
    monkeypatch.setattr(pixels, "SMALLER", 200)
    for kind in ("PNG", "TIFF"):
        smaller = pixels.decode_image(tf.constant(pixels.encode(content(RGB, kind))), 3).numpy()
        expected = RGB.reshape(12, 2, 16, 2, 3).mean(axis=(1, 3))
        assert smaller.shape == (12, 16, 3) and np.abs(smaller - expected).max() <= 1


def test_a_huge_image_is_refused_with_its_reason():
    one_row = png_of(178_956_971, 1, colour=0)
    for data in (one_row, declaring(content(RGB, "JPEG"), 60_000, 60_000)):
        with pytest.raises(PIL.Image.DecompressionBombError) as error:
            pixels.encode(data)
        assert pixels.reason(error.value) == "more than 178,956,970 pixels"


def test_one_bad_image_of_a_batch_does_not_harm_the_others():
    encoded = [content(np.full((SIDE, SIDE, 3), i, np.uint8), "PNG") if i % 3 else b"bad" for i in range(11)]
    decode = tf.function(
        lambda batch: pixels.decode_each(
            batch, lambda data: view(pixels.decode_image(data, 3)), tf.zeros([SIDE, SIDE, 3], tf.uint8)
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    for batch in (encoded, [data for data in encoded if data != b"bad"], [b""], []):
        images, valid = decode(tf.constant(batch, tf.string))
        assert images.shape == (len(batch), SIDE, SIDE, 3)
        assert valid.numpy().tolist() == [data.startswith(pixels.PNG) for data in batch]
        for image, data in zip(images.numpy(), batch):
            expected = view(pixels.decode_image(data, 3)) if data.startswith(pixels.PNG) else 0
            np.testing.assert_array_equal(image, np.broadcast_to(expected, image.shape))


def test_a_postscript_file_is_not_given_to_another_program():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(ValueError, match="a PostScript file"):
        pixels.encode(eps)


def test_jpegs_that_libjpeg_warns_of_are_used_without_its_words_and_counted(tmp_path, capfd):
    """Every decoding of such a file would print a line, without its name, in the middle of the progress line."""
    for number in range(40):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        jpeg = content(RGB // 2 + np.uint8(number), "JPEG")
        path.write_bytes(jpeg[:-2] + b"\0\x11\x22" * 40 + jpeg[-2:] if number in (3, 36) else jpeg)
    tfds.disable_progress_bar()
    builder = folder.builder(
        str(tmp_path / "pictures"), labels=True, on_bad_image="stop", data_dir=str(tmp_path / "data")
    )
    builder.download_and_prepare()
    found = builder.as_dataset(split="all", decoders=tfds.decode.PartialDecoding({"image": True}))
    kept = {example["image"].numpy().tobytes() for example in found}
    assert len(kept) == 40 and "Corrupt" not in capfd.readouterr().err
    for number in (2, 3):
        with open(tmp_path / "pictures" / "ab"[number % 2] / f"{number:02}.jpg", "rb") as file:
            assert pixels.decode_image(file.read(), 3).numpy().tobytes() in kept
    capfd.readouterr()
    assert any("JPEG files with bytes that do not belong to them: 2, e.g. " in line for line in findings(builder))


@pytest.mark.parametrize(("kind", "divisor", "full"), [("PNG", 256, 0), ("TIFF", 16, 1)])
def test_images_of_16_bits_that_do_not_fill_them_are_mentioned(tmp_path, kind, divisor, full):
    for number in range(4):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(SIXTEEN // (1 if number < full else divisor), kind))
    tfds.disable_progress_bar()
    builder = folder.builder(
        str(tmp_path / "pictures"), labels=True, on_bad_image="stop", data_dir=str(tmp_path / "data")
    )
    builder.download_and_prepare()
    *_, line = findings(builder)
    peak = np.percentile(SIXTEEN // divisor, 99, method="higher")
    assert f"hardly use values above {peak}: {4 - full} of 4 images" in line
    assert line.endswith(f"multiply their values by {divisor}")


def test_neither_transparency_nor_a_hot_pixel_hides_that_images_are_dark():
    dark = np.full((20, 30, 2), 4000, np.uint16)
    dark[3, 4, 0] = 65535
    dark[..., 1] = 65535
    assert pixels.convert(tf.io.encode_png(dark).numpy()).peak == 4000
    assert pixels.convert(tf.io.encode_png(dark[..., :1]).numpy()).peak == 4000


def test_full_images_of_16_bits_are_not_mentioned(prepared):
    assert not any("16 bits" in line for line in findings(prepared.builder))
