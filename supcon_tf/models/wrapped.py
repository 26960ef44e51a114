"""Any Keras model as an encoder: images from 0 to 255, uint8 or float, to embeddings in float32."""

from typing import Optional, Tuple

import tensorflow as tf
from tensorflow import keras


def as_encoder(
    model: keras.Model, image_shape: Tuple[int, int, int], scaling: Optional[keras.layers.Layer]
) -> keras.Model:
    """Returns an encoder that scales images, passes them to the model and averages a feature map over the image.

    >>> images = keras.Input([None, None, 3])
    >>> model = keras.Model(images, keras.layers.Conv2D(8, 3)(images))
    >>> as_encoder(model, (32, 32, 1), None).output_shape
    (None, 8)

    Args:
      model: maps images `[batch, height, width, channels]` to a feature map or to vectors `[batch, dim]`.
      image_shape: height, width and channels. A grey image becomes three equal channels for a model that takes three.
      scaling: a layer between the images and the model; None for none.
    """
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
