"""The metric-learning losses that the paper compares with, over the batch of all replicas.

Both hold a matrix of all pairs on every replica. Each replica computes the loss of the whole batch. The gradients at
its own projections are summed over replicas, so loss and gradient equal those of one replica with the whole batch.
"""

from typing import Any, Dict, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.addons import npairs_loss, triplet_hard_loss
from supcon_tf.batch import class_indices
from supcon_tf.distribute import gather
from supcon_tf.errors import NAME_ONLY, ArgumentError, check_flags
from supcon_tf.keras_version import DEFAULT_REDUCTION
from supcon_tf.losses.classes import image_classes
from supcon_tf.losses.inputs import projections_by_view
from supcon_tf.losses.temperature import Temperature, check_temperature, temperature_now
from supcon_tf.shapes import size_of


@keras.utils.register_keras_serializable("supcon_tf")
class NPairsLoss(keras.losses.Loss):
    """N-pairs loss (Sohn, 2016) between the first view of each image and the second views of all.

    The positives of an anchor are the second views of its class, weighted equally.

    >>> projections = tf.constant([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> round(float(NPairsLoss()(tf.constant([0, 1]), projections)), 4)
    0.3133

    Args:
      temperature: divides the similarities, as for `SupConLoss`; 1 in the paper.
      normalize: L2-normalises the projections first.
      reduction, name: as for any `keras.losses.Loss`.

    Raises:
      ArgumentError: an argument is not allowed.
    """

    def __init__(
        self,
        temperature: Temperature = 1.0,
        *,
        normalize: bool = True,
        reduction: str = DEFAULT_REDUCTION,
        name: str = "n_pairs_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        check_temperature(temperature)
        check_flags(normalize=normalize)
        self.temperature = temperature
        self.normalize = normalize

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of the batch, repeated for each image of this replica: `[batch]` float32.

        Args:
          y_true: labels as for `SupConLoss`.
          y_pred: projections `[batch, 2, dim]`.

        Raises:
          ArgumentError: the number of views is not two.
        """
        own = projections_by_view(y_pred, self.normalize)
        if own.shape[1] != 2:
            raise ArgumentError("projections", NAME_ONLY, f"must be [batch, 2, dim], not of shape {own.shape}")
        classes, projections = _gather_batch(y_true, own)
        similarities = tf.matmul(projections[:, 0], projections[:, 1], transpose_b=True)
        loss = npairs_loss(classes, similarities / temperature_now(self.temperature))
        return tf.fill([size_of(own, 0)], loss)

    def get_config(self) -> Dict[str, Any]:
        temperature = float(temperature_now(self.temperature))
        return {**super().get_config(), "temperature": temperature, "normalize": self.normalize}


@keras.utils.register_keras_serializable("supcon_tf")
class TripletLoss(keras.losses.Loss):
    """Triplet loss of each anchor's hardest positive and hardest negative, with a soft margin (Hermans et al., 2017).

    >>> projections = tf.constant([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> round(float(TripletLoss()(tf.constant([0, 1]), projections)), 4)
    0.2176

    Args:
      normalize: L2-normalises the projections first.
      reduction, name: as for any `keras.losses.Loss`.

    Raises:
      ArgumentError: an argument is not allowed.
    """

    def __init__(
        self,
        *,
        normalize: bool = True,
        reduction: str = DEFAULT_REDUCTION,
        name: str = "triplet_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        check_flags(normalize=normalize)
        self.normalize = normalize

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of the batch, repeated for each image of this replica: `[batch]` float32.

        Args:
          y_true: labels as for `SupConLoss`.
          y_pred: projections `[batch, views, dim]`, or `[batch, dim]` for one view.

        Raises:
          ArgumentError: the shape does not fit.
        """
        own = projections_by_view(y_pred, self.normalize)
        classes, projections = _gather_batch(y_true, own)
        rows = tf.reshape(projections, [-1, projections.shape[2]])
        loss = triplet_hard_loss(tf.repeat(classes, tf.shape(projections)[1]), rows)
        return tf.fill([size_of(own, 0)], loss)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "normalize": self.normalize}


def _gather_batch(y_true: tf.Tensor, projections: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns classes `[global_batch]` and projections `[global_batch, views, dim]`."""
    labels = class_indices(y_true, size_of(projections, 0))
    return image_classes(gather(labels)).number, gather(projections)
