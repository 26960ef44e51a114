"""Encoders that are not ours: the models of keras.applications, and models of the user's.

Each is wrapped so that it looks like one of ours: images from 0 to 255, uint8 or float, to embeddings in float32.
"""

import contextlib
import random
import re
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import UserError, did_you_mean, first_line
from supcon_tf.models.initialization import derived_seed

# What the EfficientNets of 2019 were trained with, for images in [0, 1].
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable("supcon_tf")
class FamilyScaling(keras.layers.Layer):
    """Images `[batch, height, width, 3]` from 0 to 255 → what a family of keras.applications expects, float32.

    Args:
      family: a module of keras.applications, such as 'mobilenet_v2'. Where the model scales by itself, images stay as
        they are.
    """

    def __init__(self, family: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "scaling", **kwargs})  # before any rounding to bfloat16
        self.family = family

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return getattr(keras.applications, self.family).preprocess_input(images, data_format="channels_last")

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "family": self.family}


def build_application(
    name: str, image_shape: Tuple[int, int, int], *, weights: Optional[str] = None, seed: int = 0
) -> keras.Model:
    """A model of keras.applications without its classifier, with global average pooling.

    It has no stochastic depth: the gradient in microbatches, and a run that goes on, need the same graph twice.

    Args:
      name: as in keras.applications, such as 'MobileNetV2'.
      image_shape: height, width and channels; a grey image is taken for three equal channels.
      weights: 'imagenet', the path of a file, or None for fresh ones.
      seed: fresh weights follow from it.

    Raises:
      UserError: there is no such model, the images are too small for it, or the weights cannot be had or do not fit.
    """
    make = getattr(keras.applications, name, None)
    if not callable(make):
        names = [other for other in dir(keras.applications) if callable(getattr(keras.applications, other))]
        raise UserError(f"--encoder=keras:{name}: no such model{did_you_mean(name, names)}")
    shape = (*image_shape[:2], 3)
    try:
        with _drawn_from(derived_seed(seed, name)):
            model = make(include_top=False, weights=None, input_shape=shape)
    except ValueError as error:
        smallest = re.search(r"at least (\d+)", str(error))
        if smallest is None:
            raise
        raise UserError(
            f"--encoder=keras:{name}: takes images of at least {smallest[1]} pixels, these have {min(shape[:2])}; give "
            f"--image_size={smallest[1]}"
        ) from None
    if weights is not None:
        _load_weights(model, name, weights, shape)
    if any(map(_is_measured, model.layers)):
        model = _with_imagenet_scaling(model, None if weights is None else f"--encoder_weights={weights}")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return _as_encoder(model, image_shape, FamilyScaling(make.__module__.rsplit(".", 1)[-1]))


def load_encoder(path: str, image_shape: Tuple[int, int, int]) -> keras.Model:
    """A Keras model of the user's, with its weights, all of which are trained.

    It gets images from 0 to 255. A feature map is averaged over the image; any other output `[batch, dim]` is the
    embedding as it is, be it that of a classifier.

    Args:
      path: a .keras or .h5 file, or the folder of a SavedModel that Keras wrote.
      image_shape: height, width and channels. A grey image is taken for three equal channels by a model of three.

    Raises:
      UserError: it cannot be read, or does not map such images to vectors.
    """
    given = f"--encoder={path}"
    if not tf.io.gfile.exists(path):
        raise UserError(f"{given}: no such file or folder")
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # whatever the user's own layers raise
        raise UserError(f"{given}: cannot be read as a Keras model ({first_line(error, 200)})") from None
    if not isinstance(model, keras.Model):
        raise UserError(f"{given}: is a SavedModel without what Keras needs to train it; save the model as .keras")
    try:
        taken, made = model.input_shape, model.output_shape
    except AttributeError:  # a subclassed model that was never called
        taken = made = None
    if not isinstance(taken, tuple) or len(taken) != 4 or not isinstance(made, tuple) or len(made) not in (2, 4):
        raise UserError(f"{given}: takes {taken} and returns {made}; it must map images to one vector or feature map")
    if made[-1] is None:
        raise UserError(f"{given}: returns {made}; the length of the embedding must be fixed")
    height, width, channels = taken[1:]
    if height not in (None, image_shape[0]) or width not in (None, image_shape[1]):
        instead = f"; give --image_size={height}" if height == width else "; only square images can be given to it"
        raise UserError(f"{given}: takes images of {height}x{width}, not {image_shape[0]}x{image_shape[1]}{instead}")
    if channels not in (None, image_shape[2]) and (image_shape[2], channels) != (1, 3):
        raise UserError(f"{given}: takes images of {channels} channels, these have {image_shape[2]}")
    model.trainable = True
    return _as_encoder(model, image_shape, None)


def check_not_random(encoder: keras.Model, flag: str) -> None:
    """Raises UserError for `flag`, which has images pass twice, where a layer draws something anew each time."""
    for layer in encoder.submodules:
        draws = hasattr(layer, "_random_generator")  # dropout, noise, augmentation
        if draws and getattr(layer, "rate", None) != 0:
            raise UserError(f"{flag}: its gradient would be wrong, for the encoder's layer '{layer.name}' is random")


def _as_encoder(
    model: keras.Model, image_shape: Tuple[int, int, int], scaling: Optional[keras.layers.Layer]
) -> keras.Model:
    """`model` behind images from 0 to 255, and with an embedding in float32 after it."""
    inputs = keras.Input(image_shape, name="images", dtype=tf.float32)
    x = inputs
    if image_shape[2] == 1 and model.input_shape[-1] == 3:
        x = keras.layers.Concatenate(dtype="float32", name="grey_as_colour")([x, x, x])
    if scaling is not None:
        x = scaling(x)
    x = model(x)
    if len(model.output_shape) == 4:
        embeddings = keras.layers.GlobalAveragePooling2D(dtype=tf.float32, name="embedding")(x)
    else:
        embeddings = keras.layers.Activation("linear", dtype=tf.float32, name="embedding")(x)
    return keras.Model(inputs, embeddings, name="encoder")


def _load_weights(model: keras.Model, name: str, weights: str, shape: Tuple[int, ...]) -> None:
    """Gives `model` the weights that Keras has for it, or those of a file."""
    given = f"--encoder_weights={weights}"
    if weights == "imagenet":
        try:
            source = getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # what Keras' downloads end with
            raise UserError(
                f"{given}: Keras cannot fetch the weights of {name} ({first_line(error, 200)}); fetch the file "
                "elsewhere and give its path"
            ) from None
        model.set_weights(source.get_weights())
        return
    if not tf.io.gfile.exists(weights):
        raise UserError(f"{given}: no such file")
    try:
        if weights.endswith(".keras"):
            arrays = keras.models.load_model(weights, compile=False).get_weights()
            model.set_weights(arrays[: len(model.weights)])  # what comes after them is a classifier
        else:
            model.load_weights(weights)
    except Exception as error:  # of many kinds, by what is wrong with the file
        raise UserError(
            f"{given}: are not the weights of keras:{name} without its classifier ({first_line(error, 200)})"
        ) from None


def _is_measured(layer: keras.layers.Layer) -> bool:
    """Whether this is a scaling by what was measured on images, which Keras keeps among the weights."""
    return isinstance(layer, keras.layers.Normalization) and layer.input_mean is None


def _with_imagenet_scaling(model: keras.Model, given: Optional[str]) -> keras.Model:
    """An EfficientNet of 2019 whose scaling is constant: among the weights, Keras forgets it in copies and checkpoints.

    Keras' files have deviations in the place of variances, which its 'imagenet', but no file, puts right by a layer.

    Raises:
      UserError: the weights that were `given` go with other constants.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not _is_measured(layer):
            return type(layer).from_config(layer.get_config())
        if given and not np.allclose(layer.adapt_variance, IMAGENET_DEVIATION, atol=1e-4):
            raise UserError(f"{given}: go with a scaling of images that is not Keras' for ImageNet; use --encoder=PATH")
        variance = np.square(IMAGENET_DEVIATION)
        return keras.layers.Normalization(axis=-1, mean=IMAGENET_MEAN, variance=variance, name=layer.name)

    scaled = keras.models.clone_model(model, clone_function=copy)
    for layer, original in zip(scaled.layers, model.layers):
        if layer.weights:
            layer.set_weights(original.get_weights())
    return scaled


@contextlib.contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Keras draws the seeds of what has none from Python's generator, which is afterwards as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
