"""Colour jitter of SimCLR (Chen et al. 2020, appendix A), with each operation defined as in Pillow and torchvision.

Images are float32 `[height, width, channels]` in [0, 1], and stay so. Of images of one channel only brightness and
contrast can change.
"""

import functools

import numpy as np
import tensorflow as tf

# Rows: weights of red, green and blue in the luma of ITU-R BT.601. The same in each column: grey has three channels.
_LUMA = np.repeat(np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=1)


def grey(image: tf.Tensor) -> tf.Tensor:
    """Every pixel as bright as it was, without colour; `[..., channels]` of the same shape."""
    return tf.tensordot(image, _LUMA, axes=1) if _has_colour(image) else image


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """The image times `factor`: 0 is black, 1 the image itself."""
    return tf.clip_by_value(image * factor, 0.0, 1.0)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """From the image's mean grey (`factor` 0) to the image itself (1) and beyond."""
    return _blend(grey(tf.reduce_mean(image, axis=[0, 1])), image, factor)


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """From the grey image (`factor` 0) to the image itself (1) and beyond."""
    return _blend(grey(image), image, factor) if _has_colour(image) else image


def hue(image: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Hue in HSV moved by `turns` of the colour wheel, in [-1, 1]."""
    return tf.image.adjust_hue(image, turns) if _has_colour(image) else image


def jitter(image: tf.Tensor, amounts: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Brightness, contrast, saturation and hue, one after the other.

    Args:
      image: `[height, width, channels]` float32 in [0, 1].
      amounts: `[4]`: factors of brightness, contrast and saturation, and turns of hue.
      order: `[4]` int32, a permutation: 0 brightness, 1 contrast, 2 saturation, 3 hue.

    Returns:
      `[height, width, channels]` float32 in [0, 1].
    """
    for operation in tf.unstack(order):
        image = _apply(operation, image, amounts)
    return image


def _apply(operation: tf.Tensor, image: tf.Tensor, amounts: tf.Tensor) -> tf.Tensor:
    operations = [brightness, contrast, saturation, hue]
    branches = [functools.partial(op, image, amount) for op, amount in zip(operations, tf.unstack(amounts))]
    return tf.switch_case(operation, branches)


def _blend(start: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(start + factor * (image - start), 0.0, 1.0)


def _has_colour(image: tf.Tensor) -> bool:
    return image.shape[-1] == 3
