"""Trains an encoder further that was trained before: carefully, so that it does not lose what it knows."""

from typing import Dict, List, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import check_number


def freeze(encoder: keras.Model, *, all_layers: bool, batch_norm: bool) -> None:
    """Chooses which layers of an encoder are trained.

    A layer of batch normalisation that is not trained uses its moving averages and does not change them.

    >>> from supcon_tf.models import build_encoder
    >>> encoder = build_encoder("small", (8, 8, 3))
    >>> freeze(encoder, all_layers=False, batch_norm=True)
    >>> {weight.name.split("/")[-1] for weight in encoder.trainable_weights}
    {'kernel:0'}

    Args:
      encoder: the encoder.
      all_layers: whether no layer is trained.
      batch_norm: whether its layers of batch normalisation are not trained.
    """
    encoder.trainable = not all_layers
    if batch_norm:
        for layer in encoder.submodules:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def rate_factors(encoder: keras.Model, decay: float) -> List[Tuple[tf.Variable, float]]:
    """Returns the factor of the learning rate of each weight that is trained.

    Layers whose outputs have one height share a factor: `decay` for the smallest height, which is nearest to the
    embedding, decay² for the next, and so on (layer-wise rates, Howard & Ruder 2018, arXiv 1801.06146, Sec. 3.2).

    Raises:
      ArgumentError: `decay` is not in (0, 1].
    """
    check_number("decay", decay, above=0, maximum=1)
    heights: Dict[int, Tuple[tf.Variable, Optional[int]]] = {}
    height: Optional[int] = None
    for layer in encoder._flatten_layers(include_self=False):
        height = _height(layer) or height
        for weight in layer.trainable_weights:  # an inner layer overwrites what the model around it has set
            heights[id(weight)] = (weight, height)
    ordered = sorted({found for _, found in heights.values() if found is not None})
    power = {found: 1 + number for number, found in enumerate(ordered)}
    return [(weight, float(decay ** (1 if found is None else power[found]))) for weight, found in heights.values()]


def _height(layer: keras.layers.Layer) -> Optional[int]:
    """Returns the height of a layer's output; None where it is no image or not known."""
    try:
        shape = layer.output_shape
    except (AttributeError, RuntimeError):  # it has several outputs, or was never called
        return None
    return shape[1] if isinstance(shape, tuple) and len(shape) == 4 else None
