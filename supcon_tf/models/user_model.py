"""Encoders that the user brings: a Keras model in a file, with its weights."""

import os
from typing import Any, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import NAME_ONLY, ArgumentError, check_flags, first_line
from supcon_tf.models.arguments import check_image_shape
from supcon_tf.models.foreign import check_trusted
from supcon_tf.models.wrapped import as_encoder


def check_keras_file(path: Any) -> None:
    """Raises ArgumentError unless a model is to be saved to a .keras file."""
    if not str(path).endswith(".keras"):
        problem = "models with a training step of their own are saved to .keras files only; "
        advice = "ModelCheckpoint takes such a name too, or save_weights_only=True"
        raise ArgumentError("filepath", str(path), f"{problem}{advice}")


def load_encoder(path: str, image_shape: Tuple[int, int, int], *, trust_model: bool = False) -> keras.Model:
    """Returns the user's Keras model as an encoder. All its weights are trainable.

    The model gets images from 0 to 255. A feature map is averaged over the image. Any other output `[batch, dim]` is
    the embedding, even that of a classifier.

    >>> images = keras.Input([8, 8, 3])
    >>> keras.Model(images, keras.layers.Conv2D(4, 3)(images)).save("mine.keras")
    >>> load_encoder("mine.keras", (8, 8, 3)).output_shape
    (None, 4)

    Args:
      path: a .keras or .h5 file, or the folder of a SavedModel that Keras wrote.
      image_shape: height, width and channels. A grey image becomes three equal channels for a model that takes three.
      trust_model: whether to load a model that could run code or touch files, for example by a Lambda layer.

    Raises:
      ArgumentError: an argument is not allowed, or the model cannot be read, could run code, or does not map such
        images to vectors.
    """
    check_image_shape(image_shape)
    check_flags(trust_model=trust_model)
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError("path", path, "must be the path of a Keras model")
    path = os.fspath(path)
    if not tf.io.gfile.exists(path):
        raise ArgumentError("path", path, "no such file or folder")
    try:
        check_trusted("path", path, trust_model=trust_model)
        model = keras.models.load_model(path, compile=False, safe_mode=not trust_model)
    except ArgumentError:
        raise
    except Exception as error:  # the user's own layers may raise anything
        raise ArgumentError("path", path, f"cannot be read as a Keras model ({first_line(error, 200)})") from None
    if not isinstance(model, keras.Model):
        raise ArgumentError("path", path, "is a SavedModel that Keras cannot train; save the model as .keras")
    try:
        taken, made = model.input_shape, model.output_shape
    except AttributeError:  # a subclassed model that was never called
        taken = made = None
    if not isinstance(taken, tuple) or len(taken) != 4 or not isinstance(made, tuple) or len(made) not in (2, 4):
        problem = f"takes {taken} and returns {made}; it must map images to one vector or feature map"
        raise ArgumentError("path", path, problem)
    if made[-1] is None:
        raise ArgumentError("path", path, f"returns {made}; the dimension of the embedding must be fixed")
    height, width, channels = taken[1:]
    if height not in (None, image_shape[0]) or width not in (None, image_shape[1]):
        advice = "change {image_shape}" if height == width else "only square images are supported"
        problem = f"takes images of {height}x{width}, not {image_shape[0]}x{image_shape[1]}; {advice}"
        raise ArgumentError("path", path, problem, image_shape=NAME_ONLY)
    if channels not in (None, image_shape[2]) and (image_shape[2], channels) != (1, 3):
        raise ArgumentError("path", path, f"takes images of {channels} channels, not {image_shape[2]}")
    model.trainable = True
    return as_encoder(model, image_shape, None)
