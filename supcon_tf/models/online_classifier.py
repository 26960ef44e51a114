"""A linear classifier that is trained beside the encoder: it shows what the encoder has learned, or teaches it too."""

from typing import Optional

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import checked_distributions, likeliest_classes
from supcon_tf.distribute import gather
from supcon_tf.errors import ArgumentError, check_number, check_whole
from supcon_tf.models.projection import nan_without_scores


class OnlineAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of labelled images whose class has the largest logit; NaN without a labelled image."""

    def result(self) -> tf.Tensor:
        return share_counted(self)


def share_counted(metric: keras.metrics.Mean) -> tf.Tensor:
    """Returns a metric's mean, NaN where nothing was counted; Keras' own is 0 then, the share of a bad classifier."""
    return metric.total / metric.count


def make_online_classifier(num_classes: Optional[int], seed: int, joint_ce: float) -> "Optional[OnlineClassifier]":
    """Returns the classifier; None without classes.

    Raises:
      ArgumentError: an argument is not allowed.
    """
    check_number("joint_ce", joint_ce, minimum=0)
    if num_classes is not None:
        check_whole("num_classes", num_classes, 1)
        return OnlineClassifier(num_classes, seed, joint_ce)
    if joint_ce:
        raise ArgumentError("joint_ce", joint_ce, "needs the number of classes, num_classes")
    return None


class OnlineClassifier(keras.layers.Dense):
    """Maps embeddings `[batch, views, dim]` to logits `[batch, views, classes]`.

    Args:
      num_classes: number of classes.
      seed: seed of the weights.
      joint_ce: weight λ of the cross-entropy, which the encoder then learns from too. With 0 the classifier stands
        behind a stop-gradient, and the encoder learns nothing from it.
    """

    def __init__(self, num_classes: int, seed: int, joint_ce: float = 0.0) -> None:
        initializer = keras.initializers.GlorotUniform(seed=seed)
        super().__init__(num_classes, kernel_initializer=initializer, dtype="float32", name="online_classifier")
        self.joint_ce = joint_ce

    @tf.autograph.experimental.do_not_convert
    def loss(
        self,
        labels: tf.Tensor,
        embeddings: tf.Tensor,
        weights: Optional[tf.Tensor],
        accuracy: keras.metrics.SparseCategoricalAccuracy,
    ) -> tf.Tensor:
        """Returns this replica's share of the cross-entropy, a scalar, multiplied by `joint_ce` unless that is 0.

        The share is divided by the weight of the labelled views of all replicas. Unlabelled images have no weight. Soft
        labels count as distributions with `joint_ce`, otherwise by their likeliest class.

        Args:
          labels: class numbers `[batch]`, −1 for unlabelled, or distributions `[batch, classes]`.
          embeddings: `[batch, views, dim]`.
          weights: `[batch]`, or None for equal weights.
          accuracy: a metric to update.

        Raises:
          InvalidArgumentError: a label is no class. XLA cannot raise and does not check.
        """
        logits = self(embeddings if self.joint_ce else tf.stop_gradient(embeddings))
        classes = tf.repeat(likeliest_classes(labels)[:, tf.newaxis], tf.shape(logits)[1], axis=1)
        # The cross-entropy checks this only where somebody reads it, which evaluation does not.
        message = f"labels must be below {self.units}, the number of classes"
        tf.debugging.assert_less(classes, tf.constant(self.units, classes.dtype), message=message)
        known = tf.cast(classes >= 0, tf.float32)
        if weights is not None:
            known *= weights[:, tf.newaxis]
        classes = tf.maximum(classes, 0)
        accuracy.update_state(classes, logits, sample_weight=nan_without_scores(known, logits))
        if self.joint_ce and labels.shape.rank == 2 and labels.shape[1] != 1:
            distributions = tf.cast(checked_distributions(labels), logits.dtype)
            targets = tf.repeat(distributions[:, tf.newaxis], tf.shape(logits)[1], axis=1)
            cross_entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        else:
            cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
        total_known = gather(tf.reshape(tf.reduce_sum(known), [1]))  # replicas may differ in it
        share = tf.math.divide_no_nan(tf.reduce_sum(known * cross_entropy), tf.reduce_sum(total_known))
        return self.joint_ce * share if self.joint_ce else share
