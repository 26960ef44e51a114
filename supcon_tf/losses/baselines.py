"""The metric-learning losses that the paper compares with, from TensorFlow Addons, over the batch of all replicas.

Both hold a matrix of all pairs on every replica. Sum and gradient over replicas are those of one replica with the whole
batch: each replica works out the loss of all, and what flows back to its own projections is summed over replicas.
"""

from typing import Any, Dict, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.addons import tensorflow_addons
from supcon_tf.batch import class_indices
from supcon_tf.distribute import gather
from supcon_tf.losses.classes import image_classes
from supcon_tf.losses.inputs import projections_by_view
from supcon_tf.shapes import size_of


@keras.saving.register_keras_serializable("supcon_tf")
class NPairsLoss(keras.losses.Loss):
    """N-pairs loss (Sohn, 2016) between the first view of each image and the second views of all.

    An anchor's positives are the second views of its class, weighted equally.

    Args:
      temperature: similarities are divided by it; 1 in the paper.
      normalize: L2-normalise the projections first.
      reduction, name: as for any `keras.losses.Loss`.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        normalize: bool = True,
        reduction: str = keras.losses.Reduction.AUTO,
        name: str = "n_pairs_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.temperature = temperature
        self.normalize = normalize

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of the batch, once for each image of this replica.

        Args:
          y_true: labels as for `SupConLoss`.
          y_pred: projections `[batch, 2, dim]`.

        Returns:
          `[batch]` float32.

        Raises:
          ValueError: another number of views than two.
        """
        own = projections_by_view(y_pred, self.normalize)
        if own.shape[1] != 2:
            raise ValueError(f"projections must be [batch, 2, dim], not {own.shape}")
        classes, projections = _of_all_replicas(y_true, own)
        similarities = tf.matmul(projections[:, 0], projections[:, 1], transpose_b=True) / self.temperature
        loss = tensorflow_addons().losses.npairs_loss(classes, similarities)
        return tf.fill([size_of(own, 0)], loss)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature, "normalize": self.normalize}


@keras.saving.register_keras_serializable("supcon_tf")
class TripletLoss(keras.losses.Loss):
    """Triplet loss of each anchor's hardest positive and hardest negative, with a soft margin (Hermans et al., 2017).

    Args:
      normalize: L2-normalise the projections first.
      reduction, name: as for any `keras.losses.Loss`.
    """

    def __init__(
        self,
        *,
        normalize: bool = True,
        reduction: str = keras.losses.Reduction.AUTO,
        name: str = "triplet_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.normalize = normalize

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of the batch, once for each image of this replica.

        Args:
          y_true: labels as for `SupConLoss`.
          y_pred: projections `[batch, views, dim]`, or `[batch, dim]` for one view.

        Returns:
          `[batch]` float32.

        Raises:
          ValueError: another shape.
        """
        own = projections_by_view(y_pred, self.normalize)
        classes, projections = _of_all_replicas(y_true, own)
        rows = tf.reshape(projections, [-1, projections.shape[2]])
        loss = tensorflow_addons().losses.triplet_hard_loss(
            tf.repeat(classes, tf.shape(projections)[1]), rows, soft=True
        )
        return tf.fill([size_of(own, 0)], loss)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "normalize": self.normalize}


def _of_all_replicas(y_true: tf.Tensor, projections: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Classes `[global_batch]` and projections `[global_batch, views, dim]`."""
    labels = class_indices(y_true, size_of(projections, 0))
    return image_classes(gather(labels)).number, gather(projections)
