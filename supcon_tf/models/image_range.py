"""Warns of images from 0 to 1 or -1 to 1 that train an encoder that scales images from 0 to 255 itself.

The step looks at the first images of a batch, so that arrays, data sets, sequences and generators are all looked at and
none is read twice.
"""

import contextlib
import warnings
from typing import Any, Dict, Iterator

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.models.applications import FamilyScaling

LOOKED_AT = 8  # number of images of a batch
LARGEST = 10.0  # standardised images have numbers below 0 and none above it
FIGURE = "image_range"  # a figure of the step, which `warn_once` takes away
ADVICE = {
    "images have no number above 1": "multiply by 255",
    f"images have numbers below 0 and none above {LARGEST:g}": "undo their scaling",
}


@tf.autograph.experimental.do_not_convert
def with_range(figures: Dict[str, Any], views: tf.Tensor, model: keras.Model) -> Dict[str, Any]:
    """Adds to a step's figures whether the images are fractions but the encoder expects numbers from 0 to 255.

    The new figure is a tuple: a number of replicas for each text of `ADVICE`, that of replicas whose images are not
    all black, and that of all replicas. Keras may add up the scalars of the replicas or take those of the first.
    Integers, or an encoder that does not scale, have no figure.

    Args:
      figures: what the step returns.
      views: `[batch, ...]`.
      model: its encoder expects numbers from 0 to 255 if a layer of it scales them down. A step that the user calls
        directly has no figure either.
    """
    is_read = getattr(model, "_range_is_read", False)
    if not is_read or not views.dtype.is_floating or not _divides(model.encoder):
        return figures
    first = tf.cast(views[:LOOKED_AT], tf.float32)
    low, high = tf.reduce_min(first), tf.reduce_max(first)
    found = [(low >= 0) & (high > 0) & (high <= 1), (low < 0) & (low >= -LARGEST) & (high <= LARGEST)]
    found += [(low != 0) | (high != 0), True]
    return {**figures, FIGURE: tuple(tf.cast(one, tf.float32) for one in found)}


@contextlib.contextmanager
def figure_is_read(model: keras.Model) -> Iterator[None]:
    """Lets the steps of a model return the figure inside the block."""
    model._range_is_read = True
    try:
        yield
    finally:
        model._range_is_read = False


def restart(model: keras.Model) -> None:
    """Lets `warn_once` look at the next batch again, as a new call of `fit` may bring other images."""
    model._range_is_known = False


def warn_once(model: keras.Model, figures: Any) -> Any:
    """Returns a step's figures without that of `with_range`. Warns by it once for a model.

    The first step whose images are not all black decides.
    """
    if not isinstance(figures, dict) or FIGURE not in figures:
        return figures
    if not model._range_is_known:
        *found, decided, replicas = (float(one) for one in figures[FIGURE])
        model._range_is_known = decided == replicas  # black images fit any range
        for (problem, advice), number in zip(ADVICE.items(), found):
            if number == replicas and not getattr(model, "_range_was_warned_of", False):
                model._range_was_warned_of = True
                warnings.warn(f"{problem}, but the encoder expects 0 to 255: {advice}", stacklevel=2)
    return {name: figure for name, figure in figures.items() if name != FIGURE}


def _divides(encoder: keras.Model) -> bool:
    return any(map(_expects_large_numbers, encoder.submodules))


def _expects_large_numbers(part: tf.Module) -> bool:
    """Tells whether a layer scales numbers up to 255 down."""
    if isinstance(part, FamilyScaling):
        return True
    if isinstance(part, keras.layers.Normalization):
        return part.input_mean is not None and float(np.max(np.abs(part.input_mean))) > LARGEST
    return isinstance(part, keras.layers.Rescaling) and bool(np.max(np.abs(part.scale)) < 0.1)
