"""The operations of AutoAugment and RandAugment, equal to Pillow's. Nothing here is random.

Images are uint8 `[height, width, channels]` with 1 or 3 channels, and so are the results. Height and width may be
unknown until run and must be under 32,768 pixels. Each operation equals Pillow's (ImageOps, ImageEnhance,
Image.transform) bit for bit, unless its docstring says otherwise. Geometric operations take the nearest pixel, and grey
outside the image.

These run on the host for every image, so each is the fastest of several ways to the same result. Times are for
224×224×3 on one core. TensorFlow Addons has slower versions: equalize takes 2.9 times as long, sharpness 3.0, rotation
2.9, shears 14, translations over 50 and cutout 26. Its sharpness, rotation and shears also differ from Pillow's.
"""

import math
from typing import Tuple

import numpy as np
import tensorflow as tf

GREY = 128  # the colour of pixels from outside the image and of cut-outs

# Weights of red, green and blue in the luma of ITU-R BT.601, in multiples of 2^-16, like Pillow's.
_LUMA = np.array([[19595 / 2**16], [38470 / 2**16], [7471 / 2**16]], np.float32)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel so that its darkest pixel becomes 0 and its lightest 255, rounded down.

    Where the exact result is a whole number, Pillow's result may be one lower because of rounding errors.
    """
    # Minima and maxima take 50 us in float32, 140 in uint8.
    rows = _rows(tf.cast(image, tf.float32))
    channels = image.shape[-1]
    darkest = tf.reduce_min(tf.reshape(tf.reduce_min(rows, axis=0), [-1, channels]), axis=0)
    lightest = tf.reduce_max(tf.reshape(tf.reduce_max(rows, axis=0), [-1, channels]), axis=0)
    even = lightest == darkest
    scale = tf.where(even, 1.0, 255 / (lightest - darkest))
    darkest = tf.where(even, 0.0, darkest)
    # Fractions are multiples of at least 1/255, so adding a thousandth only corrects rounding errors.
    stretched = (rows - _along_row(darkest, image)) * _along_row(scale, image) + 0.001
    return _image_like(tf.cast(stretched, tf.uint8), image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Moves the levels of each channel so that they are about equally frequent."""
    channels = image.shape[-1]
    values = tf.cast(_rows(image), tf.int32) + _along_row(256 * tf.range(channels), image)
    counts = tf.reshape(tf.math.bincount(tf.reshape(values, [-1]), minlength=256 * channels), [channels, 256])
    darker = tf.cumsum(counts, axis=1, exclusive=True)
    darker_than_the_lightest = tf.reduce_max(tf.where(counts > 0, darker, 0), axis=1, keepdims=True)
    step = darker_than_the_lightest // 255
    equalized = tf.minimum((step // 2 + darker) // tf.maximum(step, 1), 255)
    return _look_up(image, tf.where(step > 0, equalized, tf.range(256)))


def invert(image: tf.Tensor) -> tf.Tensor:
    """Returns 255 minus the image."""
    return tf.bitwise.invert(image)


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the upper `bits` (0 to 8) of each pixel."""
    # In int32, because TensorFlow shifts uint8 by at most 7.
    mask = tf.bitwise.bitwise_and(tf.bitwise.left_shift(255, 8 - tf.cast(bits, tf.int32)), 255)
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts pixels of at least `threshold` (0 to 256)."""
    threshold = tf.cast(threshold, tf.int32)
    inversion = tf.cast(tf.where(threshold > 255, 0, 255), tf.uint8)
    light = tf.cast(image >= tf.cast(tf.minimum(threshold, 255), tf.uint8), tf.uint8)
    # tf.where takes 500 us, this 110.
    return tf.bitwise.bitwise_xor(image, inversion * light)


def solarize_add(image: tf.Tensor, addition: tf.Tensor) -> tf.Tensor:
    """Adds `addition` (0 to 255) to pixels under 128, up to 255. RandAugment has it, Pillow does not."""
    dark = tf.cast(image < 128, tf.uint8)
    return image + dark * tf.minimum(tf.bitwise.invert(image), tf.cast(addition, tf.uint8))


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the grey image (`factor` 0) to the image itself (1) and beyond. One channel stays unchanged."""
    if image.shape[-1] == 1:
        return image
    pixels = tf.cast(image, tf.float32)
    # Computes grey in three channels at once, because adding one channel to three takes longer than the product.
    return _blend(_round(tf.tensordot(pixels, np.repeat(_LUMA, 3, axis=1), axes=1)), pixels, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the image's mean grey (`factor` 0) to the image itself (1) and beyond."""
    pixels = tf.cast(image, tf.float32)
    grey = pixels if image.shape[-1] == 1 else _round(tf.tensordot(pixels, _LUMA, axes=1))
    # Sums of rows are exact in float32; the sum of all pixels may not be.
    total = tf.reduce_sum(tf.cast(tf.reduce_sum(grey, axis=[1, 2]), tf.float64))
    mean = _round(total / tf.cast(tf.size(grey), tf.float64))
    return _blend(tf.cast(mean, tf.float32), pixels, factor)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from black (`factor` 0) to the image itself (1) and beyond."""
    return tf.cast(tf.minimum(tf.cast(image, tf.float32) * factor, 255.0), tf.uint8)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from a smoothed image (`factor` 0) to the image itself (1) and beyond. Border pixels stay unchanged.

    The smoothed image is a mean of 3×3 pixels in which the middle one counts five times.
    """
    channels = image.shape[-1]
    original = _rows(image)
    rows = tf.cast(original, tf.float32)
    # Sums of shifted rows take 290 us; tf.nn.depthwise_conv2d takes 1.5 times as long.
    columns = rows[:-2] + rows[1:-1] + rows[2:]
    squares = columns[:, : -2 * channels] + columns[:, channels:-channels] + columns[:, 2 * channels :]
    middle = rows[1:-1, channels:-channels]
    inside = _blend(_round((squares + 4 * middle) * (1 / 13)), middle, factor)

    # In an image of one row or column, the first is also the last and must be taken once.
    between = original[1:-1]
    inside = tf.concat([between[:, :channels], inside, between[:, channels:][:, -channels:]], axis=1)
    return _image_like(tf.concat([original[:1], inside, original[1:][-1:]], axis=0), image)


def rotate(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Rotates the image anticlockwise about its centre."""
    # This takes 260 us. ImageProjectiveTransformV3 takes 3.0 times as long and rounds differently.
    height, width = _size(image)
    angle = tf.cast(degrees, tf.float64) * (math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    # The pixel's centre (x + 1/2, y + 1/2) relative to the image's centre.
    from_middle_x = 0.5 - tf.cast(width, tf.float64) / 2
    from_middle_y = 0.5 - tf.cast(height, tf.float64) / 2
    left = cosine * from_middle_x - sine * from_middle_y + tf.cast(width, tf.float64) / 2
    top = sine * from_middle_x + cosine * from_middle_y + tf.cast(height, tf.float64) / 2

    x, y = tf.range(width), tf.range(height)[:, tf.newaxis]
    columns = (_fixed_point(left) - y * _fixed_point(sine)) + x * _fixed_point(cosine)
    rows = (_fixed_point(top) + y * _fixed_point(cosine)) + x * _fixed_point(sine)
    return _gather_pixels(image, _whole(rows), _whole(columns))


def shear_x(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Moves each row left by `factor` times its distance from the upper edge."""
    height, width = _size(image)
    rows = tf.range(height)[:, tf.newaxis]
    return _gather_pixels(image, rows, tf.range(width) + _sheared(rows, factor))


def shear_y(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Moves each column up by `factor` times its distance from the left edge."""
    height, width = _size(image)
    columns = tf.range(width)
    return _gather_pixels(image, tf.range(height)[:, tf.newaxis] + _sheared(columns, factor), columns)


def translate_x(image: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Moves the image left by `pixels`, rounded to nearest."""
    _, width = _size(image)
    left, right = _gaps(pixels, width)
    # Copying whole blocks takes under 50 us, gathering pixels 170.
    kept = image[:, right : width - left]
    return _image_like(tf.pad(kept, [[0, 0], [left, right], [0, 0]], constant_values=GREY), image)


def translate_y(image: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Moves the image up by `pixels`, rounded to nearest."""
    height, _ = _size(image)
    above, below = _gaps(pixels, height)
    kept = image[below : height - above]
    return _image_like(tf.pad(kept, [[above, below], [0, 0], [0, 0]], constant_values=GREY), image)


def cutout(image: tf.Tensor, half_side: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """Paints a grey square whose centre is above and left of pixel (`row`, `column`), cut off at the border.

    Source: DeVries and Taylor 2017. Pillow has no such operation.

    Args:
      image: uint8 `[height, width, channels]`.
      half_side: half the side of the square, in whole pixels.
      row, column: int32, inside the image.

    Returns:
      uint8 `[height, width, channels]`.
    """
    height, width = _size(image)
    half_side = tf.cast(half_side, tf.int32)
    top, bottom = tf.maximum(row - half_side, 0), tf.minimum(row + half_side, height)
    left, right = tf.maximum(column - half_side, 0), tf.minimum(column + half_side, width)
    between = image[top:bottom]
    square = tf.fill([bottom - top, right - left, image.shape[-1]], tf.constant(GREY, tf.uint8))
    between = tf.concat([between[:, :left], square, between[:, right:]], axis=1)
    return _image_like(tf.concat([image[:top], between, image[bottom:]], axis=0), image)


def _blend(start: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from `start` (`factor` 0) to `image` (1) and beyond, both float32, and truncates to uint8."""
    blended = start + factor * (image - start)
    return tf.cast(tf.minimum(tf.maximum(blended, 0.0), 255.0), tf.uint8)


def _look_up(image: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Replaces each value by its channel's entry in `tables`, `[channels, 256]` integers from 0 to 255."""
    # Looking up pairs of neighbours takes 290 us; single values take 440 with tf.gather_nd, 720 with tf.gather.
    channels = image.shape[-1]
    first = tf.cast(tables, tf.uint16)
    second = 256 * tf.roll(first, -1, axis=0)
    pair_tables = tf.reshape(first[:, tf.newaxis, :] + second[:, :, tf.newaxis], [-1])

    values = tf.reshape(image, [-1])
    number = tf.size(values)
    values = tf.pad(values, [[0, number % 2]])
    pairs = tf.cast(tf.bitcast(tf.reshape(values, [-1, 2]), tf.uint16), tf.int32)
    # The pairs begin with channels 0, 2, 1, 0, 2, 1 and so on.
    tables_in_turn = 2**16 * tf.constant([2 * pair % channels for pair in range(channels)])
    pairs += tf.tile(tables_in_turn, [number // (2 * channels) + 1])[: tf.size(pairs)]
    new_values = tf.bitcast(tf.gather_nd(pair_tables, pairs[:, tf.newaxis]), tf.uint8)
    return _image_like(tf.reshape(new_values, [-1])[:number], image)


def _gather_pixels(image: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the pixels at `rows` and `columns`, which broadcast to `[height, width]` int32; grey outside."""
    height, width = _size(image)
    padded = tf.pad(image, [[1, 1], [1, 1], [0, 0]], constant_values=GREY)
    rows = tf.minimum(tf.maximum(rows, -1), height) + 1
    columns = tf.minimum(tf.maximum(columns, -1), width) + 1
    places = rows * (width + 2) + columns
    # One index per pixel; tf.gather takes 1.4 times as long.
    pixels = tf.gather_nd(tf.reshape(padded, [-1, image.shape[-1]]), places[..., tf.newaxis])
    return _image_like(pixels, image)


def _sheared(places: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the number of pixels that the rows or columns at `places` move by."""
    factor = tf.cast(factor, tf.float64)
    return _whole(places * _fixed_point(factor) + _fixed_point(0.5 * factor + 0.5))


def _fixed_point(number: tf.Tensor) -> tf.Tensor:
    """Returns a float64 as int32 in units of 2^-16. Pillow finds the source of a pixel in these units."""
    return tf.cast(tf.floor(number * 2**16 + 0.5), tf.int32)


def _whole(fixed_point: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(fixed_point, 16)


def _gaps(pixels: tf.Tensor, length: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the numbers of new pixels at the start and the end of a row or column that moves back."""
    shift = tf.cast(_round(pixels), tf.int32)
    return tf.clip_by_value(-shift, 0, length), tf.clip_by_value(shift, 0, length)


def _round(number: tf.Tensor) -> tf.Tensor:
    """Rounds to nearest, halves up. tf.round would round halves to even."""
    return tf.floor(number + 0.5)


def _size(image: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    shape = tf.shape(image)
    return shape[0], shape[1]


def _rows(image: tf.Tensor) -> tf.Tensor:
    """Returns `[height, width * channels]`. Broadcasting over an inner axis of 3 takes over ten times as long."""
    return tf.reshape(image, [-1, tf.shape(image)[1] * image.shape[-1]])


def _along_row(numbers: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Repeats `[channels]` numbers for a row of `_rows(image)`."""
    return tf.tile(numbers, [tf.shape(image)[1]])


def _image_like(values: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, tf.shape(image))
