"""Warns of images from 0 to 1 before they train an encoder that scales images from 0 to 255 itself."""

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

LOOKED_AT = 32


def warn_of_dark_images(images: Any, encoder: keras.Model) -> None:
    """Warns if the first images are fractions from 0 to 1, but the encoder expects numbers from 0 to 255.

    Args:
      images: an array or a tensor, whose first axis is the batch. Data of another kind is not looked at.
      encoder: expects numbers from 0 to 255 if a layer of it divides them.
    """
    is_array = isinstance(images, (np.ndarray, tf.Tensor))
    if not is_array or not tf.as_dtype(images.dtype).is_floating or not _divides(encoder):
        return
    first = np.asarray(images[:LOOKED_AT], np.float32)
    if first.size and first.min() >= 0 and 0 < first.max() <= 1:
        warnings.warn("images have no number above 1, but the encoder expects 0 to 255: multiply by 255", stacklevel=3)


def _divides(encoder: keras.Model) -> bool:
    scaling = (part for part in encoder.submodules if isinstance(part, keras.layers.Rescaling))
    return any(np.max(np.abs(part.scale)) < 0.1 for part in scaling)
