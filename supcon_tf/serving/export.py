"""Exports preprocessing, encoder and classifier as one SavedModel."""

import functools
import os
from typing import Callable, Dict, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.data import pixels
from supcon_tf.errors import printable

CLASS_NAMES = "classes.txt"


class ServableModel(tf.Module):
    """Preprocessing and model, with one function for each signature of the SavedModel.

    Args:
      model: a `Classifier`, or a `ContrastiveModel` whose encoder is served.
      view: maps images `[..., height, width, channels]` uint8 to the encoder's input, as in evaluation.
      image_shape: `[height, width, channels]` of the encoder's input.
      class_names: in the order of the labels; empty if the model does not classify.
      multi_label: whether an image may have several classes, or none.
    """

    def __init__(
        self,
        model: keras.Model,
        view: Callable[[tf.Tensor], tf.Tensor],
        image_shape: Sequence[int],
        class_names: Sequence[str],
        *,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        # Functions keep the model from being saved itself: TensorFlow would trace each of its layers anew.
        self._scores = functools.partial(_called, model)
        self._embeddings = functools.partial(_embedded, model)
        self.weights = list(model.variables)
        self._view = view
        self._image_shape = tuple(image_shape)
        self._class_names = tuple(class_names)
        self._multi_label = multi_label
        self.class_names: Optional[tf.saved_model.Asset] = None  # see `write_class_names`

    def write_class_names(self, folder: str) -> None:
        """Writes the asset `classes.txt`, which must stay in `folder` until the model is saved."""
        if self._class_names:
            path = os.path.join(folder, CLASS_NAMES)
            with tf.io.gfile.GFile(path, "w") as file:
                file.write("".join(f"{printable(name)}\n" for name in self._class_names))
            self.class_names = tf.saved_model.Asset(path)

    def signatures(self) -> Dict[str, Callable]:
        """Returns the concrete function of each signature.

        `serving_default` maps `images` `[batch, height, width, channels]` uint8, of any size, to `probabilities`
        `[batch, classes]` float32 and `classes` `[batch]` int64. `classes` are the most probable classes; line number
        `classes` of the asset `classes.txt` is the name, counted from 0. `serve_encoded` maps `encoded`, `[batch]`
        strings with one JPEG or PNG each, to the same outputs. `embed` maps `images` to `embedding` `[batch, dim]`
        float32, L2-normalised. A model that does not classify returns the embedding from every signature.

        If an image may have several classes, each class has an independent probability, and the sum need not be 1.
        `classes` is still the most probable class, however small its probability is.
        """
        channels = self._image_shape[-1]
        images = tf.TensorSpec([None, None, None, channels], tf.uint8, name="images")
        encoded = tf.TensorSpec([None], tf.string, name="encoded")
        return {
            "serving_default": self.serve.get_concrete_function(images),
            "serve_encoded": self.serve_encoded.get_concrete_function(encoded),
            "embed": self.embed.get_concrete_function(images),
        }

    @tf.function
    def serve(self, images: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Maps images of one size to probabilities and classes."""
        return self._answer(self._view(images))

    @tf.function
    def serve_encoded(self, encoded: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Maps JPEG or PNG files of any sizes to probabilities and classes, and says which files are valid."""

        def view(content: tf.Tensor) -> tf.Tensor:
            return self._view(pixels.decode_image(content, self._image_shape[-1]))

        views, valid = pixels.decode_each(encoded, view, tf.zeros(self._image_shape, tf.uint8))
        answer = self._answer(views)
        for name, values in answer.items():
            nothing = tf.constant(-1 if name == "classes" else 0, values.dtype)
            answer[name] = tf.where(valid if values.shape.rank == 1 else valid[:, tf.newaxis], values, nothing)
        return {**answer, "valid": valid}

    @tf.function
    def embed(self, images: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Maps images of one size to L2-normalised embeddings."""
        return self._embedding(self._view(images))

    def _answer(self, views: tf.Tensor) -> Dict[str, tf.Tensor]:
        if not self._class_names:
            return self._embedding(views)
        logits = self._scores(views)
        probabilities = tf.nn.sigmoid(logits) if self._multi_label else tf.nn.softmax(logits)
        return {"probabilities": probabilities, "classes": tf.argmax(probabilities, axis=1)}

    def _embedding(self, views: tf.Tensor) -> Dict[str, tf.Tensor]:
        return {"embedding": tf.math.l2_normalize(self._embeddings(views), axis=1)}


def _called(model: keras.Model, views: tf.Tensor) -> tf.Tensor:
    return model(views, training=False)


def _embedded(model: keras.Model, views: tf.Tensor) -> tf.Tensor:
    return model.embed(views)


def write_saved_model(servable: ServableModel, path: str) -> None:
    """Writes the SavedModel to `path` and replaces earlier content.

    TensorFlow writes saved_model.pb last, so `tf.saved_model.contains_saved_model` is true for complete ones only. A
    rename would not do, because gs:// has no folders to rename at once. The names of the classes are beside it, in a
    folder that ends with '.partial', until it is complete.
    """
    partial = f"{path}.partial"
    for folder in (path, partial):
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)
    tf.io.gfile.makedirs(partial)
    try:
        servable.write_class_names(partial)
        tf.saved_model.save(servable, path, signatures=servable.signatures())
    finally:
        tf.io.gfile.rmtree(partial)
