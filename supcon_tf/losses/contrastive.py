"""The supervised contrastive loss (Khosla et al., 2020, Eq. 2) and NT-Xent (Chen et al., 2020) as Keras losses."""

from typing import Any, Dict, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.distribute import gather, local_slice_start

UNLABELLED = -1


class SupConLoss(keras.losses.Loss):
    """Supervised contrastive loss, summation outside the logarithm (Khosla et al., 2020, Eq. 2).

    For an anchor i among all views of all images of the global batch, with A(i) all others, P(i) those of them with
    the anchor's label, and s_ij = z_i·z_j / temperature:

        L_i = log Σ_{a ∈ A(i)} exp(s_ia) − 1/|P(i)| Σ_{p ∈ P(i)} s_ip

    An image labelled −1 is unlabelled: a class of its own. An anchor without positives contributes 0. Under a
    `tf.distribute` strategy the batch is that of all replicas.

    >>> loss = SupConLoss(temperature=0.1)
    >>> projections = tf.random.stateless_normal([8, 2, 128], seed=[0, 0])
    >>> loss(tf.constant([0, 0, 1, 1, 2, 2, 3, 3]), projections).shape
    TensorShape([])

    Args:
      temperature: τ, positive.
      scale_by_temperature: multiply the loss by τ, as the authors' TensorFlow recipes for SupCon do.
      normalize: L2-normalise the projections first.
      reduction, name: as for any `keras.losses.Loss`.
    """

    DIAGNOSTICS: Tuple[str, ...] = ("collapsed_loss", "anchors_with_positives", "images_with_classmates")

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        scale_by_temperature: bool = False,
        normalize: bool = True,
        reduction: str = keras.losses.Reduction.AUTO,
        name: str = "supcon_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.temperature = temperature
        self.scale_by_temperature = scale_by_temperature
        self.normalize = normalize

    @property
    def scale(self) -> float:
        """What the loss of the equation is multiplied by."""
        return self.temperature if self.scale_by_temperature else 1.0

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Each image's loss, the mean over its anchors.

        Args:
          y_true: integer labels `[batch]` or `[batch, 1]`, or one-hot `[batch, classes]`; −1 for unlabelled.
          y_pred: projections `[batch, views, dim]`, or `[batch, dim]` for one view.

        Returns:
          `[batch]`, float32.
        """
        projections = tf.cast(y_pred, tf.float32)
        if projections.shape.rank == 2:
            projections = projections[:, tf.newaxis, :]
        if self.normalize:
            projections = tf.math.l2_normalize(projections, axis=-1)
        return self.scale * supervised_contrastive_loss(projections, self.image_labels(y_true), self.temperature)

    def image_labels(self, y_true: tf.Tensor) -> tf.Tensor:
        """The labels that the loss goes by: `[batch]` int32, −1 for unlabelled."""
        return class_indices(y_true)

    def diagnostics(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> Dict[str, tf.Tensor]:
        """What to hold the loss against, as float32 scalars; arguments as for `call`.

        `collapsed_loss`: log(N − 1) for N projections in the global batch, where the unscaled loss stays if all
        projections are equal. `anchors_with_positives`: share of this replica's anchors that have a positive, which
        with several views is 1.
        `images_with_classmates`: share of this replica's images whose class another image of the global batch has.
        """
        views = y_pred.shape[1] if y_pred.shape.rank == 3 else 1
        labels = self.image_labels(y_true)
        _, own_classes, all_classes = batch_classes(labels)
        images_of_class = tf.math.count_nonzero(own_classes[:, tf.newaxis] == all_classes, axis=1)
        with_classmates = tf.reduce_mean(tf.cast(images_of_class > 1, tf.float32))
        num_projections = tf.cast(tf.shape(all_classes)[0] * views, tf.float32)
        values = (tf.math.log(num_projections - 1.0), tf.ones([]) if views > 1 else with_classmates, with_classmates)
        return dict(zip(self.DIAGNOSTICS, values))

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "scale_by_temperature": self.scale_by_temperature,
            "normalize": self.normalize,
        }


class NTXentLoss(SupConLoss):
    """SimCLR's loss (Chen et al., 2020, Eq. 1): the other views of an image are its only positives; labels are ignored.

    Arguments and shapes are those of `SupConLoss`.
    """

    DIAGNOSTICS = ("collapsed_loss", "anchors_with_positives")

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        scale_by_temperature: bool = False,
        normalize: bool = True,
        reduction: str = keras.losses.Reduction.AUTO,
        name: str = "nt_xent_loss",
    ) -> None:
        super().__init__(
            temperature,
            scale_by_temperature=scale_by_temperature,
            normalize=normalize,
            reduction=reduction,
            name=name,
        )

    def image_labels(self, y_true: tf.Tensor) -> tf.Tensor:
        """Unlabelled, every image."""
        return tf.fill([tf.shape(y_true)[0]], UNLABELLED)


def class_indices(labels: tf.Tensor) -> tf.Tensor:
    """Labels as `[batch]` int32, from `[batch]`, `[batch, 1]` or one-hot `[batch, classes]`."""
    if labels.shape.rank == 2:
        labels = tf.argmax(labels, axis=1) if labels.shape[1] != 1 else labels[:, 0]
    return tf.cast(labels, tf.int32)


def image_classes(labels: tf.Tensor) -> tf.Tensor:
    """A class index for each image of the batch, each unlabelled image being a class of its own.

    Args:
      labels: `[batch]` int32, −1 for unlabelled.

    Returns:
      `[batch]` int32: the label, or a negative number that no other image has.
    """
    return tf.where(labels == UNLABELLED, -1 - tf.range(tf.shape(labels)[0]), labels)


def batch_classes(labels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The classes of this replica's images among those of all replicas.

    Args:
      labels: `[batch]` int32, this replica's, −1 for unlabelled.

    Returns:
      Where this replica's images begin in the global batch; their classes `[batch]`; those of all `[global_batch]`.
    """
    start = local_slice_start(tf.shape(labels)[0])
    all_classes = image_classes(gather(labels))
    return start, all_classes[start : start + tf.shape(labels)[0]], all_classes


def supervised_contrastive_loss(projections: tf.Tensor, labels: tf.Tensor, temperature: float) -> tf.Tensor:
    """Eq. 2 for each image of this replica, contrasted with the batch of all replicas.

    Args:
      projections: `[batch, views, dim]` float32, this replica's.
      labels: `[batch]` int32, −1 for unlabelled.
      temperature: τ.

    Returns:
      `[batch]` float32, the mean of L_i over the image's views.
    """
    batch, views, dim = tf.shape(projections)[0], tf.shape(projections)[1], projections.shape[2]
    start, own_classes, all_classes = batch_classes(labels)
    anchor_classes = tf.repeat(own_classes, views)
    contrast_classes = tf.repeat(all_classes, views)
    anchors = tf.reshape(projections, [-1, dim])
    contrasts = gather(anchors)

    similarities = tf.matmul(anchors, contrasts, transpose_b=True) / temperature  # s_ij
    anchor_index = start * views + tf.range(batch * views)
    is_other = anchor_index[:, tf.newaxis] != tf.range(tf.shape(contrasts)[0])  # j ∈ A(i)
    is_positive = is_other & (anchor_classes[:, tf.newaxis] == contrast_classes)  # j ∈ P(i)
    log_denominator = tf.reduce_logsumexp(tf.where(is_other, similarities, similarities.dtype.min), axis=1)
    num_positives = tf.math.count_nonzero(is_positive, axis=1, dtype=tf.float32)
    positive_sum = tf.reduce_sum(tf.where(is_positive, similarities, 0.0), axis=1)
    losses = log_denominator - tf.math.divide_no_nan(positive_sum, num_positives)
    return tf.reduce_mean(tf.reshape(tf.where(num_positives > 0, losses, 0.0), [batch, views]), axis=1)
