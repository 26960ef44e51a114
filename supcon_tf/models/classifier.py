"""An encoder with a linear classifier on top."""

from typing import Any, Dict, List, Optional

import tensorflow as tf
from tensorflow import keras

from supcon_tf.models.heads import l2_normalize
from supcon_tf.models.preparation import Prepare, likeliest, prepared
from supcon_tf.models.weight_decay import decaying_weights, l2_term


@keras.saving.register_keras_serializable("supcon_tf")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits `[batch, classes]` and labels: integers `[batch]`, or distributions of that shape.

    Args:
      label_smoothing: this share of each label is spread over all classes alike (Szegedy et al. 2016).
    """

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Of each image, `[batch]`."""
        if y_true.shape.rank == 2 and y_true.shape[1] == y_pred.shape[1] > 1:
            known = tf.reduce_sum(y_true, axis=1)  # 0 for an unlabelled image, which is a row of zeros
            cross_entropy = tf.nn.softmax_cross_entropy_with_logits(y_true, y_pred)
        else:
            known = 1.0
            labels = tf.cast(tf.reshape(y_true, [-1]), tf.int32)
            cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y_pred)
        if not self.label_smoothing:
            return cross_entropy
        uniform = tf.reduce_logsumexp(y_pred, axis=1) - tf.reduce_mean(y_pred, axis=1)
        return (1 - self.label_smoothing) * cross_entropy + self.label_smoothing * known * uniform

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("supcon_tf")
class SigmoidCrossEntropy(keras.losses.Loss):
    """Cross-entropy of each class by itself, of logits and labels 0 or 1, both `[batch, classes]`.

    The mean over images and classes is the mean over images of the sum over classes, so that each class's weights have
    the gradient of a binary classifier alone. Weights are `[batch, classes]`, 0 for what is not known of an image.
    """

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Of each image and class, times the number of classes, `[batch, classes]`."""
        labels = tf.cast(y_true, y_pred.dtype)
        return y_pred.shape[-1] * tf.nn.sigmoid_cross_entropy_with_logits(labels, y_pred)


class HitAtOne(keras.metrics.Mean):
    """Share of images of which the class with the largest logit is one; labels and weights `[batch, classes]`."""

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor) -> None:
        likeliest_class = tf.argmax(y_pred, axis=1)
        hits = tf.gather(y_true, likeliest_class, batch_dims=1)
        return super().update_state(hits, tf.gather(sample_weight, likeliest_class, batch_dims=1))


class Accuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of images whose class has the largest logit; of a distribution, whose likeliest class has."""

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Optional[tf.Tensor] = None) -> None:
        return super().update_state(likeliest(y_true), y_pred, sample_weight)


class Classifier(keras.Model):
    """Linear classifier on an encoder: the second stage of Khosla et al. (2020, Sec. 3), or cross-entropy training.

    Args:
      encoder: images `[batch, height, width, channels]` → embeddings `[batch, dim]`.
      num_classes: number of classes.
      freeze_encoder: train the classifier alone. The encoder, batch normalisation included, then stays as it is: what
        is evaluated and exported is what the classifier was trained on.
      normalize_embedding: L2-normalise the embedding before the classifier.
      weight_decay: λ of the L2 term λ/2·‖w‖² on what is trained, but for scale and shift of normalisation.
      decay_normalization: whether these decay too.
      initializer: of the classifier's kernel; None for Glorot's uniform one.
      seed: of the classifier's weights.

    Attributes:
      prepare: the function that makes images of what the host has left to the device, and may mix them and their
        labels; None for images that are complete.
    """

    def __init__(
        self,
        encoder: keras.Model,
        num_classes: int,
        *,
        freeze_encoder: bool,
        normalize_embedding: bool = True,
        weight_decay: float = 0.0,
        decay_normalization: bool = False,
        initializer: Optional[keras.initializers.Initializer] = None,
        seed: int = 0,
        name: str = "classifier",
    ) -> None:
        super().__init__(name=name)
        encoder.trainable = not freeze_encoder
        self.encoder = encoder
        self.freeze_encoder = freeze_encoder
        self.normalize_embedding = normalize_embedding
        self.weight_decay = weight_decay
        self.decay_normalization = decay_normalization
        self.prepare: Optional[Prepare] = None
        self.linear = keras.layers.Dense(
            num_classes,
            kernel_initializer=initializer or keras.initializers.GlorotUniform(seed=seed),
            dtype="float32",
            name="linear",
        )
        with tf.name_scope("linear"):  # so that no two weights have one name
            self.linear.build((None, encoder.output_shape[-1]))
        if weight_decay:
            self.add_loss(lambda: l2_term(self.decaying_weights, weight_decay))

    @property
    def decaying_weights(self) -> List[tf.Variable]:
        """What the weight decay is of."""
        return decaying_weights([self.encoder, self.linear], normalization=self.decay_normalization)

    def embed(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images `[batch, height, width, channels]` → embeddings r, `[batch, dim]` float32."""
        embeddings = self.encoder(images, training=training and not self.freeze_encoder)
        return l2_normalize(embeddings) if self.normalize_embedding else embeddings

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images `[batch, height, width, channels]` → logits `[batch, classes]` float32."""
        return self.linear(self.embed(images, training))

    def train_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """One step on (images `[batch, height, width, channels]`, labels `[batch]`[, weights `[batch]`]).

        For `SigmoidCrossEntropy` labels and weights are `[batch, classes]`. Instead of the images there may be a
        dictionary of what `prepare` makes them from.
        """
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        images, labels = prepared(self, images, labels)
        return super().train_step((images, labels, weights))

    def get_config(self) -> Dict[str, Any]:
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_classes": self.linear.units,
            "freeze_encoder": self.freeze_encoder,
            "normalize_embedding": self.normalize_embedding,
            "weight_decay": self.weight_decay,
            "decay_normalization": self.decay_normalization,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Dict[str, Any], custom_objects: Optional[Dict[str, Any]] = None) -> "Classifier":
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"], custom_objects)})
