"""Gaussian blur of SimCLR (Chen et al. 2020, appendix A)."""

import tensorflow as tf


def gaussian_blur(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """The image blurred by a Gaussian cut off at a twentieth of the side, at least one pixel, from its centre.

    What the Gaussian has outside the image is left out and the rest scaled up, so that edges do not darken.

    Args:
      image: square, `[side, side, channels]` float32 with known side.
      sigma: standard deviation, in pixels.

    Returns:
      `[side, side, channels]` float32.
    """
    side = image.shape[0]
    radius = max(side // 20, 1)
    places = tf.range(side, dtype=tf.float32)
    distances = tf.abs(places[:, tf.newaxis] - places)
    weights = tf.where(distances <= radius, tf.exp(-0.5 * (distances / sigma) ** 2), 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    rows = tf.einsum("oi,ijc->ojc", weights, image)
    return tf.einsum("pj,ojc->opc", weights, rows)
