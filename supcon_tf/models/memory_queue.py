"""A queue of a momentum encoder's past projections: contrasts beyond a small batch.

It follows MoCo (He et al., 2020, arXiv 1911.05722). Khosla et al. (2020) use one where a large batch does not fit.
"""

from typing import Any, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.distribute import gather
from supcon_tf.errors import NAME_ONLY, ArgumentError

# Each replica keeps its own copy, and all copies are equal.
OWN_COPY = {
    "trainable": False,
    "initializer": "zeros",
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
}


class MemoryQueue(keras.layers.Layer):
    """Holds the last projections of a momentum encoder with their labels, in the same order on every replica.

    Args:
      encoder, projection_head: the originals. The momentum encoder starts as their copy and follows them.
      size: number of projections.
      momentum: m of θ_m ← m·θ_m + (1 − m)·θ, from 0 to 1.
    """

    def __init__(
        self, encoder: keras.Model, projection_head: keras.layers.Layer, size: int, momentum: float, **kwargs: Any
    ) -> None:
        super().__init__(name="memory_queue", **kwargs)
        self.size = size
        self.momentum = momentum
        self.encoder, self.projection_head = _copy_of(encoder), _copy_of(projection_head)
        self.projection_head.build((None, encoder.output_shape[-1]))
        self.copy_from(encoder, projection_head)
        self._pair(encoder, projection_head)
        dim = projection_head.compute_output_shape((None, encoder.output_shape[-1]))[-1]
        self.projections = self.add_weight("projections", [size, dim], tf.float32, **OWN_COPY)
        self.labels = self.add_weight("labels", [size], tf.int64, **OWN_COPY)
        # Not int32: TensorFlow keeps such variables in host memory, where XLA on a GPU cannot use them.
        self.filled = self.add_weight("filled", [], tf.int64, **OWN_COPY)

    def copy_from(self, encoder: keras.Model, projection_head: keras.layers.Layer) -> None:
        """Copies all weights of the originals."""
        for copy, original in ((self.encoder, encoder), (self.projection_head, projection_head)):
            copy.set_weights(original.get_weights())
            for layer in copy.submodules:
                if isinstance(layer, keras.layers.Layer):
                    layer.finalize_state()  # a Normalization copies its weights into constants here

    def contents(self) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns projections `[size, dim]`, oldest first; labels `[size]` int64; whether each is filled, `[size]`."""
        valid = tf.range(self.size, dtype=tf.int64) >= self.size - tf.identity(self.filled)
        return tf.identity(self.projections), tf.identity(self.labels), valid

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _pair(self, encoder: keras.Model, projection_head: keras.layers.Layer) -> None:
        """Keeps the weights to move beside those to follow. Later changes of `trainable` do not change the pairs."""
        own = self.encoder.trainable_weights + self.projection_head.trainable_weights
        self._pairs = list(zip(own, encoder.trainable_weights + projection_head.trainable_weights))

    def follow(self) -> None:
        """Moves the trainable weights of the momentum encoder: θ_m ← m·θ_m + (1 − m)·θ."""

        def step(weight: tf.Variable, target: tf.Variable) -> None:
            weight.assign(self.momentum * weight + (1.0 - self.momentum) * target)

        def on_all_replicas(strategy: tf.distribute.Strategy) -> None:
            for weight, target in self._pairs:
                strategy.extended.update(weight, step, args=(target,), group=False)

        # Keras' optimizers do the same: one replica alone may not assign a shared variable.
        tf.__internal__.distribute.interim.maybe_merge_call(on_all_replicas, tf.distribute.get_strategy())

    def push(self, projections: tf.Tensor, labels: tf.Tensor) -> None:
        """Appends a replica's share of a batch and drops the oldest projections.

        Args:
          projections: `[batch, views, dim]` of the momentum encoder.
          labels: class numbers `[batch]`, −1 for unlabelled.

        Raises:
          ArgumentError: the labels have another shape.
        """
        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank != 1:
            raise ArgumentError("labels", NAME_ONLY, f"must be class numbers [batch], not of shape {labels.shape}")
        labels = tf.repeat(tf.cast(labels, tf.int64), tf.shape(projections)[1])
        newest = gather(tf.reshape(projections, [-1, projections.shape[-1]])), gather(labels)
        for queue, values in zip((self.projections, self.labels), newest):
            joined = tf.concat([queue, values], axis=0)
            queue.assign(tf.ensure_shape(joined[-self.size :], queue.shape))
        self.filled.assign(tf.minimum(self.filled + tf.size(newest[1], tf.int64), self.size))


def _copy_of(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer or model of the same configuration, with fresh weights."""
    if isinstance(layer, keras.Model) and layer._is_graph_network:
        return keras.models.clone_model(layer, clone_function=_copy_of)
    config = layer.get_config()
    if getattr(layer, "synchronized", False):  # Keras leaves it out of the configuration of batch normalisation
        config["synchronized"] = True
    return type(layer).from_config(config)
