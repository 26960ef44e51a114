"""Measures the channel means and standard deviations of training images."""

from typing import Tuple

import numpy as np
import tensorflow as tf

from supcon_tf.config import Whitening
from supcon_tf.data import records
from supcon_tf.data.decoding import decode_or_skip
from supcon_tf.data.training_images import TrainingImages

IMAGES = 10_000  # largest number of images to measure
DECIMALS = 6
LEAST_STD = 1 / 127.5  # one grey level, for images of one colour

Sums = Tuple[tf.Tensor, tf.Tensor]  # sum of the images' averages over pixels, `[2, channels]`, and number of images


def measure(images: TrainingImages) -> Whitening:
    """Measures the first `IMAGES` images in the order of their files. Each image counts equally.

    The constants are equal to the last digit on all machines. The sum over an image's pixels is a sum of whole numbers,
    which is exact in float64 in any order. The images' averages are added one after the other.

    Returns:
      Constants of images scaled to [-1, 1], rounded to `DECIMALS`.
    """
    data, channels = images.data, images.data.image_shape[2]

    def moments(index: tf.Tensor, record: tf.Tensor) -> Sums:
        """Returns an image's mean values and mean squares, `[2, channels]`, and 1; zeros for a skipped image."""
        encoded, _ = records.parse(data, record)
        image, label = decode_or_skip(
            data, encoded, tf.constant(0), bad_images=images.bad_images, split=data.train_split, index=index
        )
        pixels, counted = tf.cast(image, tf.float64), tf.cast(label == 0, tf.float64)
        number = tf.cast(tf.size(pixels) // channels, tf.float64)
        return counted * tf.reduce_sum([pixels, pixels**2], axis=[1, 2]) / number, counted

    def add(totals: Sums, image_sums: Sums) -> Sums:
        return totals[0] + image_sums[0], totals[1] + image_sums[1]

    stored = images.stored(records.file_parts(data, data.train_split))
    measured = stored.take(IMAGES).map(moments, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    total, number = measured.reduce((tf.zeros([2, channels], tf.float64), tf.constant(0.0, tf.float64)), add)
    mean, mean_square = total.numpy() / max(int(number), 1)
    std = np.sqrt(np.maximum(mean_square - mean**2, 0))
    means = (mean / 127.5 - 1).round(DECIMALS)
    stds = np.maximum(std / 127.5, LEAST_STD).round(DECIMALS)
    return Whitening(tuple(means.tolist()), tuple(stds.tolist()))
