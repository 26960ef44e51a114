"""An encoder with a linear classifier on top."""

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import Batch, checked_distributions, class_indices, likeliest_classes, to_batch, with_weights
from supcon_tf.errors import NAME_ONLY, ArgumentError, check_number, check_whole
from supcon_tf.models.arguments import check_encoder, check_loss_of_logits, check_metrics_of_classes, check_training
from supcon_tf.models.functions_by_shape import build_optimizer, function_by_shape
from supcon_tf.models.image_range import with_range
from supcon_tf.models.normalization import serialized, with_images_on_each_replica
from supcon_tf.models.online_classifier import share_counted
from supcon_tf.models.projection import check_finite, check_image_shape, embed, nan_without_scores
from supcon_tf.models.replica_share import relative_share
from supcon_tf.models.weight_decay import decaying_weights, l2_term
from supcon_tf.shapes import size_of


@keras.saving.register_keras_serializable("supcon_tf")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits `[batch, classes]` with class numbers `[batch]` or distributions `[batch, classes]`.

    An unlabelled image, −1 or a row of zeros, has the loss 0. Labels below −1 raise InvalidArgumentError, and so do
    rows that are no distributions.

    >>> float(CrossEntropy()(tf.constant([0]), tf.constant([[100.0, 0.0]])))
    0.0

    Args:
      label_smoothing: share of each label that is spread evenly over all classes (Szegedy et al. 2016).

    Raises:
      ArgumentError: `label_smoothing` is not from 0 to 1.
    """

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_number("label_smoothing", label_smoothing, minimum=0, maximum=1)
        self.label_smoothing = label_smoothing

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, `[batch]`."""
        if y_true.shape.rank == 2 and y_true.shape[1] == y_pred.shape[1] > 1:
            distributions = tf.cast(checked_distributions(y_true), y_pred.dtype)
            known = tf.reduce_sum(distributions, axis=1)
            cross_entropy = tf.nn.softmax_cross_entropy_with_logits(distributions, y_pred)
        else:
            classes = tf.cast(class_indices(y_true, size_of(y_pred, 0)), tf.int64)
            known = tf.cast(classes >= 0, y_pred.dtype)
            cross_entropy = known * tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(classes, 0), y_pred)
        if not self.label_smoothing:
            return cross_entropy
        uniform = tf.reduce_logsumexp(y_pred, axis=1) - tf.reduce_mean(y_pred, axis=1)
        return (1 - self.label_smoothing) * cross_entropy + self.label_smoothing * known * uniform

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("supcon_tf")
class SigmoidCrossEntropy(keras.losses.Loss):
    """Binary cross-entropy of each class, for logits and labels 0 or 1, both `[batch, classes]`.

    The mean over images and classes is the mean over images of the sum over classes. So the weights of each class have
    the gradient of a binary classifier trained alone. Sample weights are `[batch, classes]`, 0 for an unknown label.

    >>> round(float(SigmoidCrossEntropy()(tf.constant([[1, 0]]), tf.constant([[0.0, 0.0]]))), 4)  # 2 log 2
    1.3863
    """

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image and class times the number of classes, `[batch, classes]`.

        Raises:
          ArgumentError: labels and logits differ in shape.
        """
        labels = tf.cast(y_true, y_pred.dtype)
        _check_by_class(labels, y_pred)
        return y_pred.shape[-1] * tf.nn.sigmoid_cross_entropy_with_logits(labels, y_pred)


@keras.saving.register_keras_serializable("supcon_tf")
class HitAtOne(keras.metrics.Mean):
    """Share of images that have the class with the largest logit; labels and weights are `[batch, classes]`.

    >>> metric = HitAtOne()
    >>> _ = metric.update_state(tf.constant([[1, 1], [1, 0]]), tf.constant([[0.0, 9.0], [0.0, 9.0]]))
    >>> float(metric.result())
    0.5

    Raises:
      ArgumentError: labels and logits of an update differ in shape.
    """

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Optional[tf.Tensor] = None) -> None:
        y_true = tf.convert_to_tensor(y_true)
        _check_by_class(y_true, y_pred)
        predicted = tf.argmax(y_pred, axis=1)
        hits = tf.gather(y_true, predicted, batch_dims=1)
        if sample_weight is not None:
            sample_weight = tf.gather(sample_weight, predicted, batch_dims=1)
        return super().update_state(nan_without_scores(tf.cast(hits, tf.float32), y_pred), sample_weight)

    def result(self) -> tf.Tensor:
        return share_counted(self)


@keras.saving.register_keras_serializable("supcon_tf")
class Accuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of labelled images whose class, or the likeliest class of whose distribution, has the largest logit.

    It is NaN without a labelled image, or if the logits of an image are, as those of an image with NaN or Inf.

    >>> metric = Accuracy()
    >>> _ = metric.update_state(tf.constant([1, 0, -1]), tf.constant([[0.0, 9.0], [0.0, 9.0], [0.0, 9.0]]))
    >>> float(metric.result())
    0.5
    """

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Optional[tf.Tensor] = None) -> None:
        classes = likeliest_classes(y_true)
        weights = tf.cast(classes >= 0, tf.float32)
        if sample_weight is not None:
            weights *= tf.reshape(tf.cast(sample_weight, tf.float32), [-1])
        return super().update_state(classes, y_pred, nan_without_scores(weights, y_pred))

    def result(self) -> tf.Tensor:
        return share_counted(self)


@keras.saving.register_keras_serializable("supcon_tf")
class Classifier(keras.Model):
    """Linear classifier on an encoder, for linear evaluation (Khosla et al., 2020, Sec. 3) or cross-entropy training.

    >>> from supcon_tf.models import build_encoder
    >>> images, labels = tf.zeros([4, 8, 8, 3], tf.uint8), tf.constant([0, 1, 2, -1])  # -1: unlabelled
    >>> model = Classifier(build_encoder("small", (8, 8, 3), width=0.25), num_classes=3, freeze_encoder=False)
    >>> model.compile("sgd", CrossEntropy(), weighted_metrics=[Accuracy("top1")])
    >>> sorted(model.fit(images, labels, verbose=0).history)
    ['loss', 'top1']

    Args:
      encoder: maps images `[batch, height, width, channels]` to embeddings `[batch, dim]`.
      num_classes: number of classes.
      freeze_encoder: whether to train the classifier alone. The encoder then stays unchanged, its batch normalisation
        included, so that evaluation and export use the embeddings that the classifier was trained on.
      normalize_embedding: whether to L2-normalise the embedding before the classifier.
      weight_decay: λ of the L2 term λ/2·‖w‖² on the trained weights.
      decay_normalization: whether scale and shift of normalisation layers decay too.
      initializer: initializer of the classifier's kernel; None for Glorot's uniform one.
      augmentation: finishes a batch on the device at the start of each step, as `Augmentation.on_device` does; None for
        batches that are complete. It is not saved with the model.
      seed: seed of the classifier's weights.

    Raises:
      ArgumentError: an argument is not allowed, or the encoder's shapes are unknown.
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
        augmentation: Optional[Callable[[Batch], Batch]] = None,
        seed: int = 0,
        name: str = "classifier",
    ) -> None:
        super().__init__(name=name)
        check_encoder(encoder)
        check_whole("num_classes", num_classes, 1)
        check_training(
            weight_decay=weight_decay,
            augmentation=augmentation,
            seed=seed,
            freeze_encoder=freeze_encoder,
            normalize_embedding=normalize_embedding,
            decay_normalization=decay_normalization,
        )
        encoder.trainable = not freeze_encoder
        self.encoder = encoder
        self.freeze_encoder = freeze_encoder
        self.normalize_embedding = normalize_embedding
        self.weight_decay = weight_decay
        self.decay_normalization = decay_normalization
        self.augmentation = augmentation
        self.linear = keras.layers.Dense(
            num_classes,
            kernel_initializer=initializer or keras.initializers.GlorotUniform(seed=seed),
            dtype="float32",
            name="linear",
        )
        with tf.name_scope("linear"):  # so that no two weights have the same name
            self.linear.build((None, encoder.output_shape[-1]))
        if weight_decay:
            self.add_loss(lambda: l2_term(self.decaying_weights, weight_decay))
        self.built = True  # all weights exist

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training like `keras.Model.compile`. Loss and metrics compare labels with logits.

        'accuracy' is `Accuracy`, which leaves unlabelled images out and counts by the weights of the images. Keras'
        own metrics leave unlabelled images out in `weighted_metrics` only.

        Raises:
          ArgumentError: the loss expects probabilities, or a metric expects probabilities or plain numbers. Or
            'accuracy' is asked for where an image may have several classes.
        """
        check_loss_of_logits(loss)
        check_metrics_of_classes([metrics, weighted_metrics])
        several = self.linear.units == 1 or isinstance(loss, SigmoidCrossEntropy)
        with self.distribute_strategy.scope():
            metrics, weighted_metrics = _with_accuracy(metrics, weighted_metrics, several)
        super().compile(optimizer, loss, metrics, loss_weights, weighted_metrics, **kwargs)

    def compile_from_config(self, config: Dict[str, Any]) -> None:
        """Compiles a loaded model as it was saved. Keras leaves this to models with a `compile` of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        build_optimizer(self)

    def save_spec(self, dynamic_batch: bool = True) -> Any:
        return super().save_spec(dynamic_batch) or ([tf.TensorSpec([None, *self.encoder.input_shape[1:]])], {})

    def export(self, filepath: Any) -> None:
        """Writes a SavedModel whose `serve` maps images, from 0 to 255, to logits."""
        if super().save_spec() is None:  # Keras exports no model that was never called
            self(keras.Input(self.encoder.input_shape[1:]))
        super().export(filepath)

    @property
    def decaying_weights(self) -> List[tf.Variable]:
        """Returns the weights that the weight decay applies to."""
        return decaying_weights([self.encoder, self.linear], normalization=self.decay_normalization)

    def embed(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the embeddings r of images `[batch, height, width, channels]`: `[batch, dim]` float32."""
        training = training and not self.freeze_encoder
        return embed(self.encoder, images, normalize=self.normalize_embedding, training=training)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the logits of images `[batch, height, width, channels]`: `[batch, classes]` float32."""
        return self.linear(self.embed(images, training))

    def batch_of(self, data: Any) -> Batch:
        """Returns the batch that a step computes with, finished by the augmentation; see `supcon_tf.batch`.

        Class numbers come with weights, 0 for an unlabelled image.
        """
        batch = to_batch(data, distributions=True, one_class=self.linear.units == 1)
        if self.augmentation is not None:
            batch = self.augmentation(batch)
        check_image_shape(self.encoder, batch["views"])
        return with_weights(batch) if batch["labels"].shape.rank == 1 else batch

    def train_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """Takes one step and returns the metrics.

        Args:
          data: a batch, or (images `[batch, height, width, channels]`, labels `[batch]`[, weights `[batch]`]). For
            `SigmoidCrossEntropy` labels and weights are `[batch, classes]`.
        """
        batch = self.batch_of(data)
        if not self.freeze_encoder:
            batch["views"] = with_images_on_each_replica(batch["views"], self.encoder)
        return with_range(super().train_step(_for_keras(batch)), batch["views"], self)

    def test_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """Returns the metrics of a batch; `data` is as for `train_step`."""
        batch = self.batch_of(data)
        batch["views"] = check_finite(batch["views"])
        return super().test_step(_for_keras(batch))

    @tf.autograph.experimental.do_not_convert
    def predict_step(self, data: Any) -> tf.Tensor:
        """Returns the logits of images `[batch, height, width, channels]`."""
        check_image_shape(self.encoder, data[0] if isinstance(data, tuple) else data)
        return super().predict_step(data)

    def compute_loss(
        self,
        x: Optional[tf.Tensor] = None,
        y: Optional[tf.Tensor] = None,
        y_pred: Optional[tf.Tensor] = None,
        sample_weight: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Returns this replica's share of what is minimised: the loss of its images and the weight decay."""
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        if self.jit_compile:  # XLA compiles each replica by itself, and replicas then have equal numbers of images
            return loss
        share = relative_share(size_of(y_pred, 0), self.loss)
        if isinstance(share, float):
            return loss
        decay = tf.add_n(self.losses) / self.distribute_strategy.num_replicas_in_sync if self.losses else 0.0
        return share * (loss - decay) + decay

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        return function_by_shape(self, "train_function", super().make_train_function, force)

    def make_test_function(self, force: bool = False) -> Callable[[Any], Any]:
        return function_by_shape(self, "test_function", super().make_test_function, force)

    def get_config(self) -> Dict[str, Any]:
        return {
            "encoder": serialized(self.encoder),
            "num_classes": self.linear.units,
            "freeze_encoder": self.freeze_encoder,
            "normalize_embedding": self.normalize_embedding,
            "weight_decay": self.weight_decay,
            "decay_normalization": self.decay_normalization,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Dict[str, Any], custom_objects: Optional[Dict[str, Any]] = None) -> "Classifier":
        return cls(**{**config, "encoder": keras.layers.deserialize(config["encoder"], custom_objects)})


def _check_by_class(labels: tf.Tensor, logits: tf.Tensor) -> None:
    """Raises ArgumentError unless labels have the shape of the logits, `[batch, classes]`."""
    if not labels.shape.is_compatible_with(logits.shape):
        problem = f"must be [batch, classes] like the logits of shape {logits.shape}, not of shape {labels.shape}"
        raise ArgumentError("labels", NAME_ONLY, problem)


def _with_accuracy(metrics: Any, weighted_metrics: Any, several: bool) -> Tuple[List[Any], List[Any]]:
    """Returns both lists with `Accuracy` for the name 'accuracy', and among those that get weights.

    Unlabelled images have the weight 0. Metrics without weights count them.

    Args:
      metrics, weighted_metrics: as `compile` takes them.
      several: whether an image may have several classes, or no class.
    """
    plain: List[Any] = []
    weighted: List[Any] = []
    named: Set[str] = set()
    without = len(tf.nest.flatten(metrics))
    for position, metric in enumerate(tf.nest.flatten([metrics, weighted_metrics])):
        if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
            if several:
                problem = "needs one class for each image; HitAtOne() takes several, and "
                raise ArgumentError("metrics", metric, f"{problem}keras.metrics.BinaryAccuracy(threshold=0) takes one")
            if metric in named:
                continue
            named.add(metric)
            metric = Accuracy(metric)
        (weighted if position >= without or isinstance(metric, Accuracy) else plain).append(metric)
    return plain, weighted


def _for_keras(batch: Batch) -> Tuple[tf.Tensor, tf.Tensor, Optional[tf.Tensor]]:
    """Returns images, labels and weights the way Keras' own steps take them."""
    return batch["views"][:, 0], batch["labels"], batch.get("weights")
