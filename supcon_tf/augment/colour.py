"""Colour jitter of SimCLR (Chen et al. 2020, appendix A) in two styles, and grey.

Images are `[height, width, channels]` float32, from 0 to 255, and stay in this range. Only brightness and contrast
change an image of one channel. Each uses the fastest of TensorFlow's operations: benchmarks/input.py.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

WHITE = 255.0

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue, of ITU-R BT.601
_LUMA = np.tile(LUMA, [3, 1])  # one row per channel of the grey image

# All orders of the operations 0 brightness, 1 contrast, 2 saturation, 3 hue.
ORDERS = tuple(itertools.permutations(range(4)))


def grey(image: tf.Tensor) -> tf.Tensor:
    """Returns the image without colour: same shape, same brightness of each pixel."""
    return _mix_channels(image, _LUMA) if has_colour(image) else image


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the image times `factor`: 0 gives black, 1 the image itself."""
    return tf.minimum(image * factor, WHITE)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the image's mean grey (`factor` 0) to the image itself (1) and beyond."""
    mean = _channel_means(image)
    if has_colour(image):
        mean = tf.tensordot(mean, LUMA, axes=1)
    return _clip(image * factor + (1 - factor) * tf.reshape(mean, []))


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the grey image (`factor` 0) to the image itself (1) and beyond."""
    if not has_colour(image):
        return image
    return _clip(_mix_channels(image, factor * np.eye(3, dtype=np.float32) + (1 - factor) * _LUMA))


def hue(image: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Moves the hue in HSV by `turns` of the colour wheel, in [-1, 1]."""
    return tf.image.adjust_hue(image, turns) if has_colour(image) else image


def added_brightness(image: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Adds a share of white, in [-1, 1]."""
    return _clip(image + share * WHITE)


def contrast_by_channel(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from each channel's mean (`factor` 0) to the image itself (1) and beyond."""
    return _clip(tf.image.adjust_contrast(image, factor))


def hsv_saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the saturation in HSV by `factor`."""
    return tf.image.adjust_saturation(image, factor) if has_colour(image) else image


# Style → its four operations, in the order of the numbers in `ORDERS`.
STYLES = {
    # Follows torchvision and so Pillow. The authors' CIFAR figures come from it.
    "torchvision": (brightness, contrast, saturation, hue),
    # Follows TensorFlow, which SimCLR and the authors' ImageNet recipes use.
    "tensorflow": (added_brightness, contrast_by_channel, hsv_saturation, hue),
}


def jitter(image: tf.Tensor, amounts: tf.Tensor, order: tf.Tensor, style: str = "torchvision") -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue one after the other; each result is clipped to [0, 255].

    >>> float(jitter(tf.fill([4, 4, 3], 100.0), tf.constant([0.5, 1.0, 1.0, 0.0]), tf.constant(0)).numpy().max())
    50.0

    Args:
      image: `[height, width, channels]`.
      amounts: `[4]`, the arguments of the style's operations for brightness, contrast, saturation and hue.
      order: int32 index into `ORDERS`.
      style: one of `STYLES`.

    Returns:
      `[height, width, channels]` float32.
    """
    operations = list(zip(STYLES[style], tf.unstack(amounts)))
    for index in tf.unstack(tf.gather(tf.constant(ORDERS), order)):
        branches = [functools.partial(operation, image, amount) for operation, amount in operations]
        image = tf.switch_case(index, branches)
    return image


def has_colour(image: tf.Tensor) -> bool:
    """Tells whether there are three channels."""
    return image.shape[-1] == 3


def _mix_channels(image: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns an image whose channels are sums of all channels, weighted by the rows of `weights` `[3, 3]`."""
    pixels = tf.reshape(image, [-1, 3])
    return tf.reshape(tf.linalg.matmul(pixels, weights, transpose_b=True), tf.shape(image))


def _channel_means(image: tf.Tensor) -> tf.Tensor:
    """Returns the mean of each channel, `[channels]`."""
    shape = tf.shape(image)
    # Summing over rows first runs along memory; one sum over both axes takes three times as long.
    row_means = tf.reduce_mean(tf.reshape(image, [shape[0], shape[1] * shape[2]]), axis=0)
    return tf.reduce_mean(tf.reshape(row_means, shape[1:]), axis=0)


def _clip(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, WHITE)
