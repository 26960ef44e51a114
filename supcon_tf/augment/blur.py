"""Gaussian blur of SimCLR (Chen et al. 2020, appendix A)."""

from typing import Tuple

import numpy as np
import tensorflow as tf

LARGEST_SIGMA = 2.0
# Number of rows of the result that are computed together: a band of a matrix that is zero elsewhere.
_BLOCK = 16


def gaussian_blur(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Returns the image blurred by a Gaussian and rounded to bytes.

    The Gaussian is cut off at a twentieth of the side from its centre, at least 1 pixel and at most 7. Beyond 7 pixels,
    a Gaussian of `LARGEST_SIGMA` changes no pixel by more than an eighth of a grey level. The part outside the image is
    left out and the rest is scaled up, so that edges do not darken.

    >>> int(gaussian_blur(tf.fill([32, 32, 3], 100.0), tf.constant(1.0)).numpy().max())
    100

    Args:
      image: square, `[side, side, channels]` float32 from 0 to 255, with known side.
      sigma: standard deviation, in pixels, at most `LARGEST_SIGMA`.

    Returns:
      `[side, side, channels]` uint8.
    """
    side, _, channels = image.shape
    distances, inside, sources = _bands(side)
    weights = tf.exp(-0.5 * (distances / sigma) ** 2) * inside
    weights /= tf.reduce_sum(weights, axis=2, keepdims=True)

    # One matrix product per block of rows takes less than half the time of a product with the whole matrix.
    def blur_rows(rows: tf.Tensor) -> tf.Tensor:
        blocks = tf.linalg.matmul(weights, tf.gather(tf.reshape(rows, [side, -1]), sources))
        return tf.reshape(tf.reshape(blocks, [-1, side * channels])[:side], [side, side, channels])

    columns = tf.transpose(blur_rows(image), [1, 0, 2])
    return tf.transpose(tf.cast(tf.round(blur_rows(columns)), tf.uint8), [1, 0, 2])


def weights_of_whole_rows(side: int, sigma: tf.Tensor) -> tf.Tensor:
    """Returns matrices `[images, side, side]` that blur the columns of images, for devices that are fast at products.

    Args:
      side: side of the images, in pixels.
      sigma: standard deviations in pixels, `[images]`.
    """
    distances = np.abs(np.subtract.outer(np.arange(side), np.arange(side))).astype(np.float32)
    weights = tf.exp(-0.5 * (distances / sigma[:, tf.newaxis, tf.newaxis]) ** 2)
    weights *= (distances <= radius_of(side)).astype(np.float32)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def radius_of(side: int) -> int:
    """Returns the distance from its centre at which the Gaussian is cut off, in pixels."""
    return min(max(side // 20, 1), 7)


def _bands(side: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what each row of each block of rows is made from.

    Returns:
      Distances to the source rows `[rows, sources]`, whether each counts `[blocks, rows, sources]`, and the numbers of
      the source rows `[blocks, sources]`.
    """
    radius = radius_of(side)
    first = np.arange(0, side, _BLOCK)
    sources = first[:, np.newaxis] - radius + np.arange(_BLOCK + 2 * radius)
    distances = np.abs(np.arange(_BLOCK)[:, np.newaxis] + radius - np.arange(_BLOCK + 2 * radius))
    there = (sources >= 0) & (sources < side)
    inside = there[:, np.newaxis] & (distances <= radius)
    # A row after the last is dropped later, but must not become 0 / 0.
    inside |= ~inside.any(axis=2, keepdims=True)
    return distances.astype(np.float32), inside.astype(np.float32), np.clip(sources, 0, side - 1).astype(np.int32)
