"""The supervised contrastive loss with soft labels, for mixed images."""

from typing import Any, Dict, Optional, Tuple, Union

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import UNLABELLED, checked_distributions
from supcon_tf.distribute import gather
from supcon_tf.errors import NAME_ONLY, ArgumentError, check_flags, check_whole
from supcon_tf.keras_version import DEFAULT_REDUCTION
from supcon_tf.losses.engine import contrastive_losses
from supcon_tf.losses.inputs import projections_by_view
from supcon_tf.losses.temperature import Temperature, check_temperature, temperature_now
from supcon_tf.losses.variants import LossVariant
from supcon_tf.shapes import size_of


@keras.utils.register_keras_serializable("supcon_tf")
class MixedSupConLoss(keras.losses.Loss):
    """Supervised contrastive loss with soft labels, distributions over the classes, for mixup and CutMix.

    Khosla et al. (2020) name mixup and CutMix as augmentations that their loss might be combined with. Here the labels
    weight the positives. Let y_i be the distribution of the image of view i. Then w_ij = y_i·y_j is the probability
    that labels drawn for i and j are equal. The mean over positives of Eq. 2 becomes a mean over all others by
    these weights:

        L_i = log Σ_{a ∈ A(i)} exp(s_ia) − Σ_{j ∈ A(i)} w_ij s_ij / Σ_{j ∈ A(i)} w_ij,    s_ij = z_i·z_j / temperature

    Where every label is one class, that is Eq. 2. An image that could not be decoded has a label of zeros, so the label
    of an image mixed with it sums to less than 1. L_i is multiplied by that sum, as in cross-entropy: an image without
    a label is no anchor, but one more negative for the others.

    Σ_j w_ij z_j = y_i·C, where C holds the sum of y_j z_j over the batch for each class. So memory grows linearly with
    the batch.

    >>> loss = MixedSupConLoss(temperature=1.0)
    >>> projections = tf.constant([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> print(loss.call(tf.constant([[1.0, 0.0], [0.3, 0.7]]), projections).numpy().round(4))
    [0.9264 1.0599]

    Args:
      temperature, scale_by_temperature, normalize, tile_size: as for `SupConLoss`.
      reduction, name: as for any `keras.losses.Loss`.

    Raises:
      ArgumentError: an argument is not allowed.
    """

    DIAGNOSTICS: Tuple[str, ...] = ("collapsed_loss",)
    takes_distributions = True  # labels are not class numbers; read by `ContrastiveModel`

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        scale_by_temperature: bool = False,
        normalize: bool = True,
        tile_size: Optional[int] = None,
        reduction: str = DEFAULT_REDUCTION,
        name: str = "mixed_supcon_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        check_temperature(temperature)
        check_flags(scale_by_temperature=scale_by_temperature, normalize=normalize)
        if tile_size is not None:
            check_whole("tile_size", tile_size, 1)
        self.temperature = temperature
        self.scale_by_temperature = scale_by_temperature
        self.normalize = normalize
        self.tile_size = tile_size

    @property
    def scale(self) -> Union[float, tf.Tensor]:
        """The factor by which the loss exceeds that of the equation: τ, or 1."""
        return temperature_now(self.temperature) if self.scale_by_temperature else 1.0

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, `[batch]` float32, the mean over its views.

        Args:
          y_true: `[batch, classes]`, whose rows sum to 1, or to less where a part of the image has no label.
          y_pred: projections `[batch, views, dim]`, with at least two views.

        Raises:
          ArgumentError: shapes do not fit.
          InvalidArgumentError: a row of the labels is no distribution. XLA does not check.
        """
        z = projections_by_view(y_pred, self.normalize)
        views = size_of(z, 1)
        if isinstance(views, int) and views < 2:
            problem = (
                f"must hold at least two views of a mixed image, not {views}: another view is the one sure positive"
            )
            raise ArgumentError("projections", NAME_ONLY, problem)
        y = _distributions(y_true)
        temperature = temperature_now(self.temperature)
        # If every image is alone in its class, the streaming loss is lse_i minus the mean of s_ij over its other views.
        alone = tf.fill([size_of(z, 0)], UNLABELLED)
        losses = contrastive_losses(
            z, alone, temperature, LossVariant(), unit_length=self.normalize, tile_size=self.tile_size
        )
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
        image_losses = tf.reduce_mean(losses, axis=1)
        return temperature * image_losses if self.scale_by_temperature else image_losses

    def diagnostics(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Returns `collapsed_loss`, the mean unscaled loss of this replica's images if all projections are equal.

        That is log(N − 1) for N projections in the global batch, times the mean sum of a label.
        """
        sums = tf.reduce_sum(_distributions(y_true), axis=1)
        projections = size_of(gather(sums), 0) * size_of(y_pred, 1)
        others = tf.cast(tf.maximum(projections - 1, 1), tf.float32)
        return {"collapsed_loss": tf.reduce_mean(sums) * tf.math.log(others)}

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": float(temperature_now(self.temperature)),
            "scale_by_temperature": self.scale_by_temperature,
            "normalize": self.normalize,
            "tile_size": self.tile_size,
        }


def _distributions(labels: tf.Tensor) -> tf.Tensor:
    """Returns the labels as float32; raises an error unless they are distributions `[batch, classes]`."""
    y = tf.cast(labels, tf.float32)
    if y.shape.rank != 2 or y.shape[1] == 1:
        raise ArgumentError("labels", NAME_ONLY, f"must be distributions [batch, classes], not of shape {y.shape}")
    return checked_distributions(y)
