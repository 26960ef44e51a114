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

# Keras' metrics of probabilities, by the names that `compile` takes
PROBABILITIES = (
    *("crossentropy", "ce", "bce", "kld", "kl_divergence", "kldivergence", "kullback_leibler_divergence", "poisson"),
    *("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    *("binarycrossentropy", "categoricalcrossentropy", "sparsecategoricalcrossentropy"),
    *("binary_focal_crossentropy", "categorical_focal_crossentropy"),
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
    """Raises ArgumentError unless an encoder is a Keras model that maps images to vectors of a known dimension."""
    check_layer("encoder", encoder)
    try:
        made = (encoder.input_shape, encoder.output_shape)[1]
    except AttributeError:
        if isinstance(encoder, keras.Sequential):
            problem = "has no shapes yet; let keras.Sequential begin with keras.Input(image_shape)"
            raise ArgumentError("encoder", encoder.name, problem) from None
        problem = "is a subclassed model, whose shapes Keras does not know; "
        advice = "give keras.Model(images, model(images)) with images = keras.Input(image_shape)"
        raise ArgumentError("encoder", encoder.name, f"{problem}{advice}") from None
    if not isinstance(made, tuple) or len(made) != 2 or made[-1] is None:
        problem = f"returns {made}, but must return vectors [batch, dim]"
        raise ArgumentError("encoder", encoder.name, f"{problem}; end it with keras.layers.GlobalAveragePooling2D()")


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
    """Raises ArgumentError for Keras' metrics of regression and of probabilities: the model returns logits."""
    for metric in tf.nest.flatten(metrics):
        if not (isinstance(metric, str) or _is_of_keras(metric)):
            continue
        if _name_of(metric).lower() in REGRESSION:
            problem = "compares numbers, but the model returns logits of classes; Accuracy() and 'accuracy' count hits"
            raise ArgumentError("metrics", _name_of(metric), problem)
        if isinstance(metric, keras.metrics.Metric):
            of_probabilities = metric.get_config().get("from_logits") is False
        else:
            of_probabilities = _name_of(metric).lower() in PROBABILITIES
        if of_probabilities:
            problem = "expects probabilities, but the model returns logits of classes; give a metric with "
            advice = "from_logits=True, such as keras.metrics.SparseCategoricalCrossentropy(from_logits=True)"
            raise ArgumentError("metrics", _name_of(metric), f"{problem}{advice}")


def check_loss_of_logits(losses: Any) -> None:
    """Raises ArgumentError for those of Keras' losses that take no logits: they would train to chance.

    Args:
      losses: what `compile` takes: names, functions or objects. A loss of the user passes.
    """
    for loss in tf.nest.flatten(losses):
        if isinstance(loss, str):
            of_keras = hasattr(keras.losses, loss) or loss.lower() in (*REGRESSION, *PROBABILITIES)
        else:
            of_keras = _is_of_keras(loss) and type(loss).__name__ != "LossFunctionWrapper"
        if of_keras and not (isinstance(loss, keras.losses.Loss) and loss.get_config().get("from_logits")):
            problem = "takes no logits, which the model returns; use CrossEntropy(), or a loss of Keras with "
            raise ArgumentError("loss", _name_of(loss), f"{problem}from_logits=True")


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
