"""Batch normalisation over all replicas that stays so when a model is saved, loaded or copied."""

from typing import Any, Dict, Set

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("supcon_tf")
class SynchronizedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation with the statistics of all replicas together.

    Keras' own layer leaves `synchronized` out of its configuration, so that a loaded layer is not synchronised.

    >>> layer = SynchronizedBatchNormalization(momentum=0.9)
    >>> SynchronizedBatchNormalization.from_config(layer.get_config()).synchronized
    True
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"synchronized": True, **kwargs})

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "synchronized": self.synchronized}


def batch_normalization(*, synchronized: bool, **options: Any) -> keras.layers.BatchNormalization:
    """Returns Keras' batch normalisation, or the one over all replicas."""
    return (SynchronizedBatchNormalization if synchronized else keras.layers.BatchNormalization)(**options)


def with_images_on_each_replica(images: tf.Tensor, encoder: keras.Model) -> tf.Tensor:
    """Returns the images, after a check that batch normalisation has some on each replica to take statistics of.

    A last batch that is smaller may leave a replica without images. XLA cannot raise and does not check.

    Args:
      images: what this replica trains on, `[batch, ...]`.
      encoder: the encoder that is trained.

    Raises:
      InvalidArgumentError: this replica has no image.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1 or images.shape[0]:
        return images
    if not any(isinstance(part, keras.layers.BatchNormalization) for part in encoder.submodules):
        return images
    message = (
        "a replica has no image of this batch, but batch normalisation needs some on each; give batches of one size: "
        "dataset.batch(size, drop_remainder=True)"
    )
    with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(images)[0], message=message)]):
        return tf.identity(images)


def serialized(layer: keras.layers.Layer) -> Dict[str, Any]:
    """Returns the configuration of a layer or model; Keras' synchronised batch normalisation stays synchronised."""
    normalizations = (part for part in layer.submodules if isinstance(part, keras.layers.BatchNormalization))
    names = {part.name for part in normalizations if getattr(part, "synchronized", False)}
    config = keras.saving.serialize_keras_object(layer)
    _synchronize(config, names)
    return config


def _synchronize(config: Any, names: Set[str]) -> None:
    """Marks batch normalisations of these names as synchronised, at any depth of a configuration."""
    if isinstance(config, dict):
        own = config.get("config")
        if config.get("class_name") == "BatchNormalization" and isinstance(own, dict) and own.get("name") in names:
            own["synchronized"] = True
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            _synchronize(part, names)
