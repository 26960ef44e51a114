"""Encoders from keras.applications, without their classifiers."""

import contextlib
import random
import re
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import NAME_ONLY, ArgumentError, check_flags, check_whole, first_line
from supcon_tf.models.arguments import check_image_shape
from supcon_tf.models.foreign import check_trusted
from supcon_tf.models.initialization import derived_seed
from supcon_tf.models.wrapped import as_encoder
from supcon_tf.names import did_you_mean

# The EfficientNets of 2019 were trained with these, for images in [0, 1].
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable("supcon_tf")
class FamilyScaling(keras.layers.Layer):
    """Scales images `[batch, height, width, 3]` from 0 to 255 to what a family of keras.applications expects, float32.

    Args:
      family: a module of keras.applications, such as 'mobilenet_v2'. Images of a model that scales by itself stay
        unchanged.
    """

    def __init__(self, family: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "scaling", **kwargs})  # before any rounding to bfloat16
        self.family = family

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return getattr(keras.applications, self.family).preprocess_input(images, data_format="channels_last")

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "family": self.family}


def build_application(
    name: str,
    image_shape: Tuple[int, int, int],
    *,
    weights: Optional[str] = None,
    seed: int = 0,
    trust_model: bool = False,
) -> keras.Model:
    """Returns a model of keras.applications without its classifier, with global average pooling.

    It has no stochastic depth, because gradient caching and resumed runs need the same graph twice.

    >>> build_application("MobileNetV2", (32, 32, 3)).output_shape
    (None, 1280)

    Args:
      name: name in keras.applications, such as 'MobileNetV2'.
      image_shape: height, width and channels. A grey image becomes three equal channels.
      weights: 'imagenet', the path of a file, or None for fresh weights.
      seed: seed of fresh weights.
      trust_model: whether to read the weights of a .keras file whose model could run code, see `load_encoder`.

    Raises:
      ArgumentError: an argument is not allowed, no model has this name, the images are too small for it, or the weights
        cannot be read or do not fit.
    """
    check_image_shape(image_shape, channels=(1, 3))
    check_flags(trust_model=trust_model)
    check_whole("seed", seed)
    if not isinstance(weights, (str, type(None))):
        raise ArgumentError("weights", weights, "must be 'imagenet', the path of a file, or None")
    make = getattr(keras.applications, str(name), None)
    if not callable(make):
        names = [other for other in dir(keras.applications) if callable(getattr(keras.applications, other))]
        raise ArgumentError("name", name, f"no such model in keras.applications{did_you_mean(str(name), names)}")
    shape = (*image_shape[:2], 3)
    try:
        with _python_seed(derived_seed(seed, name)):
            model = make(include_top=False, weights=None, input_shape=shape)
    except ValueError as error:
        smallest = re.search(r"at least (\d+)", str(error))
        if smallest is None:
            raise
        needed = f"takes images of at least {smallest[1]} pixels, not {min(shape[:2])}; increase {{image_shape}}"
        raise ArgumentError("name", name, needed, image_shape=NAME_ONLY) from None
    if weights is not None:
        _load_weights(model, name, weights, shape, trust_model=trust_model)
    if any(map(_is_measured, model.layers)):
        model = _with_imagenet_scaling(model, weights)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return as_encoder(model, image_shape, FamilyScaling(make.__module__.rsplit(".", 1)[-1]))


def _load_weights(model: keras.Model, name: str, weights: str, shape: Tuple[int, ...], *, trust_model: bool) -> None:
    """Gives the model the weights that Keras has for it, or those of a file."""
    if weights == "imagenet":
        try:
            source = getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # a failed download raises a bare Exception
            reason = first_line(error, 200)
            problem = f"Keras cannot download the weights of {name} ({reason}); download the file and give its path"
            raise ArgumentError("weights", weights, problem) from None
        model.set_weights(source.get_weights())
        return
    if not tf.io.gfile.exists(weights):
        raise ArgumentError("weights", weights, "no such file")
    try:
        if weights.endswith(".keras"):
            check_trusted("weights", weights, trust_model=trust_model)
            arrays = keras.models.load_model(weights, compile=False, safe_mode=not trust_model).get_weights()
            model.set_weights(arrays[: len(model.weights)])  # a classifier follows
        else:
            model.load_weights(weights)
    except ArgumentError:
        raise
    except Exception as error:  # its type depends on what is wrong with the file
        problem = f"does not hold the weights of {name} without its classifier ({first_line(error, 200)})"
        raise ArgumentError("weights", weights, problem) from None


def _is_measured(layer: keras.layers.Layer) -> bool:
    """Tells whether the layer scales by statistics of images, which Keras keeps among the weights."""
    return isinstance(layer, keras.layers.Normalization) and layer.input_mean is None


def _with_imagenet_scaling(model: keras.Model, weights: Optional[str]) -> keras.Model:
    """Returns an EfficientNet of 2019 whose scaling is constant; as weights, copies and checkpoints lose it.

    Keras' files hold deviations in place of variances. Keras corrects this by a layer, but only for 'imagenet'.

    Raises:
      ArgumentError: the weights were trained with other constants.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not _is_measured(layer):
            return type(layer).from_config(layer.get_config())
        if weights is not None and not np.allclose(layer.adapt_variance, IMAGENET_DEVIATION, atol=1e-4):
            problem = (
                "was trained with a scaling of images other than Keras' for ImageNet; give the whole model as {name}"
            )
            raise ArgumentError("weights", weights, problem, name=NAME_ONLY)
        variance = np.square(IMAGENET_DEVIATION)
        return keras.layers.Normalization(axis=-1, mean=IMAGENET_MEAN, variance=variance, name=layer.name)

    scaled = keras.models.clone_model(model, clone_function=copy)
    for layer, original in zip(scaled.layers, model.layers):
        if layer.weights:
            layer.set_weights(original.get_weights())
    return scaled


@contextlib.contextmanager
def _python_seed(seed: int) -> Iterator[None]:
    """Seeds Python's generator, from which Keras draws seeds of layers without one, and restores its state."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
