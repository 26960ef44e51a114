"""The supervised contrastive loss where labels are distributions, as of mixed images."""

from typing import Any, Dict, Optional

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import UNLABELLED
from supcon_tf.distribute import gather
from supcon_tf.losses.contrastive import Temperature, fixed_or_scalar
from supcon_tf.losses.engine import contrastive_losses
from supcon_tf.losses.forms import Form
from supcon_tf.losses.inputs import projections_by_view
from supcon_tf.shapes import size_of


@keras.saving.register_keras_serializable("supcon_tf")
class MixedSupConLoss(keras.losses.Loss):
    """Supervised contrastive loss with labels that are distributions over the classes, for mixup and CutMix.

    Khosla et al. (2020) name mixup and CutMix as what their loss might be combined with. Here the labels weight the
    positives. With y_i the distribution of the image of view i, w_ij = y_i·y_j is the chance that labels drawn for i
    and j are equal, and the mean over positives of Eq. 2 becomes one over all others by that weight:

        L_i = log Σ_{a ∈ A(i)} exp(s_ia) − Σ_{j ∈ A(i)} w_ij s_ij / Σ_{j ∈ A(i)} w_ij,    s_ij = z_i·z_j / temperature

    Where every label is one class, that is Eq. 2. An image that could not be decoded has a label of zeros, so that the
    label of one mixed with it sums to less than 1. L_i is multiplied by that sum, as cross-entropy is: an image without
    a label is no anchor, but one more to tell the others from.

    As Σ_j w_ij z_j = y_i·C with C the sums of y_j z_j over the batch, one for each class, memory stays linear in it.

    >>> loss = MixedSupConLoss(temperature=0.1)
    >>> projections = tf.random.stateless_normal([4, 2, 128], seed=[0, 0])
    >>> loss(tf.constant([[1, 0], [0.7, 0.3], [0.3, 0.7], [0, 1.0]]), projections).shape
    TensorShape([])

    Args:
      temperature, scale_by_temperature, normalize, tile_size: as for `SupConLoss`.
      reduction, name: as for any `keras.losses.Loss`.
    """

    takes_distributions = True  # labels are not class numbers; read by `ContrastiveModel`

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        scale_by_temperature: bool = False,
        normalize: bool = True,
        tile_size: Optional[int] = None,
        reduction: str = keras.losses.Reduction.AUTO,
        name: str = "mixed_supcon_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.temperature = temperature
        self.scale_by_temperature = scale_by_temperature
        self.normalize = normalize
        self.tile_size = tile_size

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Each image's loss, the mean over its views.

        Args:
          y_true: `[batch, classes]`, rows sum to 1, or to less where a part of the image has no label.
          y_pred: projections `[batch, views, dim]`, of two views at least.

        Returns:
          `[batch]`, float32.

        Raises:
          ValueError: shapes that don't fit.
        """
        z = projections_by_view(y_pred, self.normalize)
        views = size_of(z, 1)
        if isinstance(views, int) and views < 2:
            raise ValueError("a mixed image needs two views at least: another view is the one sure positive")
        y = tf.cast(y_true, tf.float32)
        if y.shape.rank != 2:
            raise ValueError(f"labels must be distributions [batch, classes], not {y.shape}")
        temperature = fixed_or_scalar(self.temperature)
        # With every image a class of its own, the streaming loss is lse_i − the mean of s_ij over its own other views.
        alone = tf.fill([size_of(z, 0)], UNLABELLED)
        losses = contrastive_losses(z, alone, temperature, Form(), unit_length=self.normalize, tile_size=self.tile_size)
        other_views = tf.cast(views - 1, tf.float32)
        lengths = tf.reduce_sum(z * z, axis=2)
        to_own = tf.reduce_sum(z * tf.reduce_sum(z, axis=1, keepdims=True), axis=2) - lengths

        sums_of_classes = tf.linalg.matmul(gather(y), gather(tf.reduce_sum(z, axis=1)), transpose_a=True)
        images_of_classes = tf.reduce_sum(gather(y), axis=0)
        itself = tf.reduce_sum(y * y, axis=1, keepdims=True)
        to_positives = tf.reduce_sum(z * tf.linalg.matmul(y, sums_of_classes)[:, tf.newaxis], axis=2) - itself * lengths
        weights = (tf.cast(views, tf.float32) * tf.linalg.matvec(y, images_of_classes))[:, tf.newaxis] - itself
        losses += (to_own / other_views - tf.math.divide_no_nan(to_positives, weights)) / temperature
        losses *= tf.reduce_sum(y, axis=1, keepdims=True)
        of_images = tf.reduce_mean(losses, axis=1)
        return temperature * of_images if self.scale_by_temperature else of_images

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": float(fixed_or_scalar(self.temperature)),
            "scale_by_temperature": self.scale_by_temperature,
            "normalize": self.normalize,
            "tile_size": self.tile_size,
        }
