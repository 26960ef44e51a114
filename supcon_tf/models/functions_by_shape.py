"""Keeps one graph of a step for each shape of the data."""

import warnings
from typing import Any, Callable, Dict, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.models import image_range


def function_by_shape(model: keras.Model, name: str, make: Callable[..., Any], force: bool) -> Callable[[Any], Any]:
    """Returns the function of a model's step, which calls one function of Keras for each shape of the data.

    Keras' own function, given data of a second shape, gives up the static shape: views after images would have an
    unknown rank. A step of ours needs to know the number of views. Batches may differ in size within one function.

    Args:
      model: the model.
      name: 'train_function' or 'test_function', the attribute that holds the function.
      make: Keras' method `make_train_function` or `make_test_function`.
      force: whether to replace a function that exists.
    """
    if name == "train_function":
        image_range.restart(model)  # Keras asks for the function at the start of `fit`
    existing = getattr(model, name)
    if existing is not None and not force:
        return existing
    functions: Dict[Tuple[tf.TensorShape, ...], Callable[[Any], Any]] = {}
    if name == "train_function":
        build_optimizer(model)

    def run(iterator: Any) -> Any:
        parts = tf.nest.flatten(iterator.element_spec, expand_composites=True)
        shapes = tuple(part.shape[1:] for part in parts)
        if shapes not in functions:
            functions[shapes] = make(force=True)
            setattr(model, name, run)  # `make` has put its function there
        with image_range.figure_is_read(model):
            figures = image_range.warn_once(model, functions[shapes](iterator))
        if name == "train_function":
            _warn_without_positives(model, figures)
        return figures

    setattr(model, name, run)
    return run


def _warn_without_positives(model: keras.Model, figures: Any) -> None:
    """Warns after a model's first step, once, if its loss has found no positive: then it is 0 and trains nothing."""
    if getattr(model, "_has_looked_for_positives", False) or not isinstance(figures, dict):
        return
    model._has_looked_for_positives = True
    if "anchors_with_positives" in figures and float(figures["anchors_with_positives"]) == 0:
        problem = "no anchor of the first batch has a positive, so that the loss is 0"
        warnings.warn(f"{problem}: give two views of each image, or several images of a class", stacklevel=3)


def build_optimizer(model: keras.Model) -> None:
    """Creates the variables of a compiled model's optimizer. TensorFlow traces a step twice that creates variables."""
    if hasattr(model.optimizer, "build"):  # Keras' legacy optimizers have no such method
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
