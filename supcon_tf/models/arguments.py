"""Checks of arguments that several builders of models share."""

from typing import Any, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError, check_flags, check_function, check_number, check_whole, is_whole

# Keras' metrics of regression, by the names that `compile` takes
REGRESSION = (
    *("mae", "mse", "mape", "msle", "mean_absolute_error", "mean_squared_error", "root_mean_squared_error"),
    *("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "cosine_similarity", "logcosh"),
    *("meanabsoluteerror", "meansquarederror", "rootmeansquarederror", "cosinesimilarity"),
)


def check_image_shape(image_shape: Any, *, channels: Optional[Sequence[int]] = None) -> None:
    """Raises ArgumentError unless a shape has a fixed height, width and number of channels.

    >>> check_image_shape((32, 32))
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: image_shape=(32, 32): must be (height, width, channels), whole numbers above 0

    Args:
      image_shape: the argument.
      channels: numbers of channels that are allowed; None for any.
    """
    sides = tuple(image_shape) if hasattr(image_shape, "__iter__") else ()
    if len(sides) != 3 or not all(is_whole(side) and side > 0 for side in sides):
        raise ArgumentError("image_shape", image_shape, "must be (height, width, channels), whole numbers above 0")
    if channels is not None and sides[2] not in channels:
        raise ArgumentError("image_shape", image_shape, f"must have {' or '.join(map(str, channels))} channels")


def check_encoder(encoder: Any) -> None:
    """Raises ArgumentError unless an encoder is a Keras model whose images and embeddings have known shapes."""
    check_layer("encoder", encoder)
    try:
        encoder.input_shape, encoder.output_shape  # noqa: B018
    except AttributeError:
        problem = "is a subclassed model, whose shapes Keras does not know; "
        advice = "give keras.Model(images, model(images)) with images = keras.Input(image_shape)"
        raise ArgumentError("encoder", encoder.name, f"{problem}{advice}") from None


def check_layer(argument: str, layer: Any) -> None:
    """Raises ArgumentError unless an argument is a Keras layer or model."""
    if not isinstance(layer, keras.layers.Layer):
        raise ArgumentError(argument, layer, "must be a Keras model or layer")


def check_metrics_of_projections(metrics: Any) -> None:
    """Raises ArgumentError for Keras' own metrics: they compare labels with scores of classes, not with projections."""
    for metric in tf.nest.flatten(metrics):
        if isinstance(metric, str) or (_is_of_keras(metric) and type(metric).__name__ != "MeanMetricWrapper"):
            problem = "needs scores of classes, but the model returns projections; num_classes adds online_accuracy"
            raise ArgumentError("metrics", _name_of(metric), problem)


def check_metrics_of_classes(metrics: Any) -> None:
    """Raises ArgumentError for Keras' metrics of regression, which would subtract class numbers from logits."""
    for metric in tf.nest.flatten(metrics):
        if (isinstance(metric, str) or _is_of_keras(metric)) and _name_of(metric).lower() in REGRESSION:
            problem = "compares numbers, but the model returns logits of classes; Accuracy() and 'accuracy' count hits"
            raise ArgumentError("metrics", _name_of(metric), problem)


def _is_of_keras(metric: Any) -> bool:
    return str(getattr(metric, "__module__", "")).split(".")[0] in ("keras", "tf_keras")


def _name_of(metric: Any) -> str:
    return metric if isinstance(metric, str) else str(getattr(metric, "name", None) or getattr(metric, "__name__", ""))


def check_training(*, weight_decay: Any, augmentation: Any, seed: Any, **flags: Any) -> None:
    """Raises ArgumentError unless the arguments that `ContrastiveModel` and `Classifier` share are allowed."""
    check_number("weight_decay", weight_decay, minimum=0)
    check_function("augmentation", augmentation, optional=True)
    check_whole("seed", seed)
    check_flags(**flags)
