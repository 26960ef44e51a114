"""From the content of an image file to pixels: one way for training, evaluation and serving.

TensorFlow decodes JPEG and PNG, inside the exported model too. `convert` turns any other image into a PNG first, when a
folder is prepared and in `predict`. So each sees the same pixels.
"""

import contextlib
import io
import logging
import math
import warnings
from typing import Any, Callable, ContextManager, NamedTuple, Optional, Tuple

import numpy as np
import PIL.Image
import tensorflow as tf

from supcon_tf.data.decoder_messages import libjpeg_warnings
from supcon_tf.data.look_alikes import thumbnail
from supcon_tf.data.unreadable import JPEG, PNG, describe

warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # `LARGEST` is the limit
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else it prints what an error says better

LIMIT = 1 << 25  # largest number of pixels that is decoded whole: 33.5 megapixels, 100 MB in colour
SMALLER = 1 << 23  # number of pixels to which larger images are shrunk, so that they do not slow training down
LARGEST = 178_956_970  # largest number of pixels that is made smaller, which is also Pillow's limit
# Pillow's readers that run no other program. Its reader of EPS starts Ghostscript.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP")
COPY_QUALITY = 95  # of the JPEGs that `training_copy` writes
AT_A_TIME = 2  # images of a batch that the exported model decodes side by side


class Converted(NamedTuple):
    """A JPEG or PNG that TensorFlow decodes.

    Attributes:
      content: content of the file.
      peak: what 99% of the values of an image of 16 bits do not exceed; None for an image of 8 bits.
      flawed: whether the file was a JPEG that libjpeg decodes with a warning.
      is_smaller: whether this is a smaller copy, see `training_copy`.
      thumbnail: see `look_alikes.thumbnail`.
    """

    content: bytes
    peak: Optional[int] = None
    flawed: bool = False
    is_smaller: bool = False
    thumbnail: Optional[np.ndarray] = None


@tf.autograph.experimental.do_not_convert
def decode_image(content: tf.Tensor, channels: int, *, checked: bool = True) -> tf.Tensor:
    """Decodes a JPEG or PNG. Drops transparency, and keeps the upper 8 of 16 bits.

    Args:
      content: content of the file, a scalar string.
      channels: 1 or 3.
      checked: whether to look at format and size first. False only for content that has passed `convert`.

    Returns:
      uint8 `[height, width, channels]`.

    Raises:
      tf.errors.InvalidArgumentError: the content is neither, is damaged, or has more than `LIMIT` pixels.
    """
    if not checked:
        image = tf.io.decode_image(content, channels, expand_animations=False)
        return tf.ensure_shape(image, [None, None, channels])
    height, width, stored_channels = tf.unstack(stored_shape(content))
    fits = (height > 0) & (width > 0) & (height <= LIMIT) & (width <= LIMIT) & (height * width <= LIMIT)
    content = tf.where(fits, content, "")  # which the decoder rejects
    if channels == 1:
        # libjpeg turns four colours into three, but not into grey.
        image = tf.cond(
            stored_channels == 4,
            lambda: tf.image.rgb_to_grayscale(decode_image(content, 3, checked=False)),
            lambda: decode_image(content, 1, checked=False),
        )
    else:
        image = decode_image(content, channels, checked=False)
    return tf.ensure_shape(image, [None, None, channels])


def stored_shape(content: tf.Tensor) -> tf.Tensor:
    """Reads height, width and number of channels from the header of a JPEG or PNG, without decoding it.

    Args:
      content: content of the file, a scalar string.

    Returns:
      `[3]` int64; zeros for any other format. The channels of a PNG are 0.

    Raises:
      tf.errors.InvalidArgumentError: the header of a JPEG is damaged.
    """

    def png_shape() -> tf.Tensor:
        width_and_height = tf.io.decode_raw(tf.strings.substr(content, 16, 8), tf.int32, little_endian=False)
        width, height = tf.unstack(tf.cast(tf.ensure_shape(width_and_height, [2]), tf.int64))
        return tf.stack([height, width, tf.constant(0, tf.int64)])

    def jpeg_shape() -> tf.Tensor:
        return tf.cast(tf.io.extract_jpeg_shape(content), tf.int64)

    is_png = (tf.strings.substr(content, 0, len(PNG)) == PNG) & (tf.strings.length(content) > 24)
    is_jpeg = tf.strings.substr(content, 0, len(JPEG)) == JPEG
    return tf.cond(is_jpeg, jpeg_shape, lambda: tf.cond(is_png, png_shape, lambda: tf.zeros([3], tf.int64)))


def decode_each(
    encoded: tf.Tensor, decode: Callable[[tf.Tensor], tf.Tensor], stand_in: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of images. An image that cannot be decoded does not harm the others.

    Args:
      encoded: contents of the files, `[batch]` strings.
      decode: maps one content to an image. All images have the same shape.
      stand_in: takes the place of an image that cannot be decoded; has the shape and dtype of an image.

    Returns:
      Images `[batch, …]`, and whether each was decoded, `[batch]` bool.
    """
    nothing = tf.data.Dataset.from_tensors((stand_in, False))

    def together(encoded: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        signature = tf.TensorSpec(stand_in.shape, stand_in.dtype)
        images = tf.map_fn(decode, encoded, parallel_iterations=AT_A_TIME, fn_output_signature=signature)
        return images, tf.ones([tf.shape(encoded)[0]], tf.bool)

    def image_or_nothing(content: tf.Tensor) -> tf.data.Dataset:
        images = tf.data.Dataset.from_tensors(content).map(lambda content: (decode(content), True))
        return images.ignore_errors().concatenate(nothing).take(1)

    # Only a tf.data data set lets a graph continue after an op has failed. The first one holds the whole batch, the
    # second, read if the first fails, decodes image by image.
    whole = tf.data.Dataset.from_tensors(encoded).map(together).ignore_errors()
    one_by_one = tf.data.Dataset.from_tensor_slices(encoded).interleave(
        image_or_nothing, cycle_length=AT_A_TIME, block_length=1, num_parallel_calls=AT_A_TIME, deterministic=True
    )
    one_by_one = one_by_one.batch(tf.maximum(tf.shape(encoded, out_type=tf.int64)[0], 1))
    batches = whole.concatenate(one_by_one).take(1)
    options = tf.data.Options()
    options.autotune.enabled = False  # starts faster, and there is nothing to tune in one step
    options.experimental_optimization.apply_default_optimizations = False
    return batches.with_options(options).get_single_element()


def convert(content: bytes, one_at_a_time: Optional[ContextManager[Any]] = None) -> Converted:
    """Converts an image file to a JPEG or PNG that TensorFlow decodes.

    A JPEG or PNG that TensorFlow decodes stays unchanged, unless it has more than `LIMIT` pixels. Any other image
    becomes an RGB PNG. Like TensorFlow's decoder, this keeps the first frame of an animation and the upper 8 of 16
    bits, and drops transparency. An image of more than `LIMIT` pixels is made smaller by averaging squares of pixels.

    Args:
      content: content of the file.
      one_at_a_time: a lock that is held while such a large image is decoded; None for no lock.

    Raises:
      Exception: any error of Pillow about content that is not an image, or a damaged one. See `reason`.
    """
    if content.startswith((JPEG, PNG)):
        try:
            # An image that exceeds the limit fails here too.
            decoded = PIL.Image.fromarray(decode_image(tf.constant(content), 3).numpy())
            return Converted(content, _peak_of_png(content), thumbnail=thumbnail(decoded))
        except tf.errors.InvalidArgumentError:
            pass  # Pillow reads a few files that TensorFlow does not
    PIL.Image.init()
    readers = [name for name in FORMATS if name in PIL.Image.OPEN]
    try:
        image: PIL.Image.Image = PIL.Image.open(io.BytesIO(content), formats=readers)
    except OSError:
        raise ValueError(describe(content)) from None
    pixels = image.width * image.height
    if pixels > LARGEST:
        raise PIL.Image.DecompressionBombError
    with one_at_a_time if one_at_a_time is not None and pixels > LIMIT else contextlib.nullcontext():
        return _as_png(image, math.ceil(math.sqrt(pixels / SMALLER)) if pixels > LIMIT else 1)


def without_flaw(image: Converted) -> Converted:
    """Turns a JPEG that libjpeg warns of into an RGB PNG with the same pixels, so that it warns no more."""
    if not image.content.startswith(JPEG):
        return image
    with libjpeg_warnings() as warnings:
        pixels = decode_image(tf.constant(image.content), 3)
    return image._replace(content=tf.io.encode_png(pixels).numpy(), flawed=True) if warnings else image


def training_copy(image: Converted, longest_side: int) -> Converted:
    """Returns an image to train on whose longer side has at most `longest_side` pixels; smaller images stay unchanged.

    A JPEG becomes a JPEG, which is decoded at a fraction of its size if it is much larger. Any other image becomes a
    PNG. The pixels are averages of those of the whole image.
    """
    stored = PIL.Image.open(io.BytesIO(image.content), formats=("JPEG", "PNG"))
    if max(stored.size) <= longest_side:
        return image
    is_jpeg = stored.format in ("JPEG", "MPO")
    size, content = (longest_side, longest_side), io.BytesIO()
    try:
        if not is_jpeg or stored.mode not in ("L", "RGB"):
            raise OSError("Pillow would give other pixels than TensorFlow")
        stored.thumbnail(size, reducing_gap=2.0)
        smaller: PIL.Image.Image = stored
    except OSError:  # Pillow also stops at a few damaged files that TensorFlow decodes
        smaller = PIL.Image.fromarray(decode_image(tf.constant(image.content), 3).numpy())
        smaller.thumbnail(size, reducing_gap=2.0)
    if is_jpeg:
        smaller.save(content, "JPEG", quality=COPY_QUALITY, subsampling=0)
    else:
        smaller.save(content, "PNG")
    return image._replace(content=content.getvalue(), is_smaller=True)


def encode(content: bytes) -> bytes:
    """Returns the content alone of `convert`."""
    return convert(content).content


def reason(error: Exception) -> str:
    """Says in a few words why `convert` could not read an image."""
    if isinstance(error, PIL.Image.DecompressionBombError):
        return f"more than {LARGEST:,} pixels"
    return " ".join(str(error).split()) or type(error).__name__


def _as_png(image: PIL.Image.Image, factor: int) -> Converted:
    """Returns an RGB PNG whose height and width are divided by `factor`."""
    peak = None
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0:
            raise ValueError("negative pixels")
        if values.max() >= 1 << 16:
            raise ValueError("pixels of more than 16 bits")
        peak = _peak(values)
        image = PIL.Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    image = image.convert("RGB")
    png = io.BytesIO()
    (image.reduce(factor) if factor > 1 else image).save(png, "PNG")
    return Converted(png.getvalue(), peak, thumbnail=thumbnail(image))


def _peak_of_png(content: bytes) -> Optional[int]:
    """Returns `_peak` of a PNG of 16 bits; None for any other image."""
    if not content.startswith(PNG) or content[24] != 16:
        return None
    values = tf.io.decode_png(content, dtype=tf.uint16).numpy()
    return _peak(values[..., :-1] if values.shape[-1] in (2, 4) else values)  # the last channel is transparency


def _peak(values: np.ndarray) -> int:
    """Returns what 99% of the values do not exceed. A few hot pixels do not hide that an image is dark."""
    return int(np.percentile(values, 99, method="higher"))
