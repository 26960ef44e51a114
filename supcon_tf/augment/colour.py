"""Colour jitter of SimCLR (Chen et al. 2020, appendix A) in two styles, and grey.

Images are `[height, width, channels]` float32, from 0 to 255, and stay within. Of images of one channel only brightness
and contrast can change. Which of TensorFlow's operations an image passes is chosen by time: benchmarks/input.py.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

WHITE = 255.0

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue, of ITU-R BT.601
_LUMA = np.tile(LUMA, [3, 1])  # a row for each channel of the grey image

# What a jitter may do, as permutations of: 0 brightness, 1 contrast, 2 saturation, 3 hue.
ORDERS = tuple(itertools.permutations(range(4)))


def grey(image: tf.Tensor) -> tf.Tensor:
    """Every pixel as bright as it was, without colour; of the same shape."""
    return _mix_channels(image, _LUMA) if has_colour(image) else image


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """The image times `factor`: 0 is black, 1 the image itself."""
    return tf.minimum(image * factor, WHITE)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """From the image's mean grey (`factor` 0) to the image itself (1) and beyond."""
    mean = _channel_means(image)
    if has_colour(image):
        mean = tf.tensordot(mean, LUMA, axes=1)
    return _clip(image * factor + (1 - factor) * tf.reshape(mean, []))


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """From the grey image (`factor` 0) to the image itself (1) and beyond."""
    if not has_colour(image):
        return image
    return _clip(_mix_channels(image, factor * np.eye(3, dtype=np.float32) + (1 - factor) * _LUMA))


def hue(image: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Hue in HSV moved by `turns` of the colour wheel, in [-1, 1]."""
    return tf.image.adjust_hue(image, turns) if has_colour(image) else image


def added_brightness(image: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The image plus this share of white, in [-1, 1]."""
    return _clip(image + share * WHITE)


def contrast_by_channel(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """From each channel's mean (`factor` 0) to the image itself (1) and beyond."""
    return _clip(tf.image.adjust_contrast(image, factor))


def hsv_saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Saturation in HSV times `factor`."""
    return tf.image.adjust_saturation(image, factor) if has_colour(image) else image


# Each defines the four operations in the order of the numbers in `ORDERS`.
STYLES = {
    # As in torchvision, which the authors' CIFAR figures come from; Pillow's definitions.
    "torchvision": (brightness, contrast, saturation, hue),
    # As in TensorFlow, which SimCLR and the authors' ImageNet recipes use.
    "tensorflow": (added_brightness, contrast_by_channel, hsv_saturation, hue),
}


def jitter(image: tf.Tensor, amounts: tf.Tensor, order: tf.Tensor, style: str = "torchvision") -> tf.Tensor:
    """Brightness, contrast, saturation and hue, one after the other, each within the range of pixels.

    Args:
      image: `[height, width, channels]`.
      amounts: `[4]`: what `brightness`, `contrast`, `saturation` and `hue`, or their likes of the style, are given.
      order: int32, which of `ORDERS`.
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
    """Whether there are three channels."""
    return image.shape[-1] == 3


def _mix_channels(image: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Each channel a sum of all, by a row of `weights` `[3, 3]`."""
    pixels = tf.reshape(image, [-1, 3])
    return tf.reshape(tf.linalg.matmul(pixels, weights, transpose_b=True), tf.shape(image))


def _channel_means(image: tf.Tensor) -> tf.Tensor:
    """`[channels]`."""
    shape = tf.shape(image)
    # Summed over columns first, which runs along memory; one sum over both takes three times as long.
    of_rows = tf.reduce_mean(tf.reshape(image, [shape[0], shape[1] * shape[2]]), axis=0)
    return tf.reduce_mean(tf.reshape(of_rows, shape[1:]), axis=0)


def _clip(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, WHITE)
