"""Encoder and projection head, trained together by a contrastive loss."""

import functools
from typing import Any, Callable, Dict, List, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import Batch, to_batch
from supcon_tf.errors import NAME_ONLY, ArgumentError, check_number, check_whole
from supcon_tf.models.arguments import check_encoder, check_layer, check_metrics_of_projections, check_training
from supcon_tf.models.functions_by_shape import build_optimizer, function_by_shape
from supcon_tf.models.image_range import with_range
from supcon_tf.models.loss_protocol import check_connected, connect, takes_distributions, watch, watched_figures
from supcon_tf.models.memory_queue import MemoryQueue
from supcon_tf.models.microbatches import Microbatches, minimize_in_microbatches
from supcon_tf.models.normalization import serialized, with_images_on_each_replica
from supcon_tf.models.online_classifier import OnlineAccuracy, make_online_classifier
from supcon_tf.models.projection import check_finite, check_image_shape, embed, embed_and_project
from supcon_tf.models.replay import check_replayable
from supcon_tf.models.replica_share import relative_share
from supcon_tf.models.temperature import add_log_temperature
from supcon_tf.models.user_model import check_keras_file
from supcon_tf.models.weight_decay import decaying_weights, l2_term
from supcon_tf.shapes import size_of


@keras.saving.register_keras_serializable("supcon_tf")
class ContrastiveModel(keras.Model):
    """Trains encoder and projection head (Khosla et al., 2020, Sec. 3.1) with any loss on `[batch, views, dim]`.

    It can also train a linear classifier on the embedding. Its accuracy shows what the encoder has learned so far. With
    `joint_ce` the encoder learns from both losses; otherwise the classifier does not change what the encoder learns.

    >>> from supcon_tf.losses import SupConLoss
    >>> from supcon_tf.models import ProjectionHead, build_encoder
    >>> views, labels = tf.zeros([4, 2, 8, 8, 3], tf.uint8), tf.constant([0, 1, 1, -1])  # 2 views; -1: unlabelled
    >>> encoder = build_encoder("small", (8, 8, 3), width=0.25)
    >>> model = ContrastiveModel(encoder, ProjectionHead((16, 8)), num_classes=2)
    >>> model.compile("sgd", SupConLoss(temperature=0.1))
    >>> history = model.fit(views, labels, verbose=0).history
    >>> "loss" in history and "online_accuracy" in history
    True

    `supcon_tf/models/loss_protocol.py` says what a loss may offer beyond `keras.losses.Loss`.

    Args:
      encoder: maps images `[batch, height, width, channels]` to embeddings `[batch, dim]`.
      projection_head: maps embeddings to projections.
      num_classes: number of classes of the online classifier; None for no online classifier.
      joint_ce: weight λ of the online classifier's cross-entropy in the loss of the encoder; 0 for none.
      learned_temperature: initial value of a learned temperature; None for none. Compile the model with a loss that
        reads it: `SupConLoss(temperature=model.temperature)`. It stays within 0.01 and 1, or within its initial value.
      queue_size: number of past projections that serve as further contrasts; 0 for none. Compile the model with a loss
        that reads them: `SupConLoss(memory=model.memory)`.
      momentum_encoder: m of the encoder that projects for the queue. Its weights follow as θ_m ← m·θ_m + (1 − m)·θ.
      microbatch_size: number of a replica's images that pass the encoder at a time, to save memory
        (`supcon_tf/models/microbatches.py`); None for all at once.
      normalize_embedding: whether to L2-normalise the embedding before projection head and classifier.
      weight_decay: λ of the L2 term λ/2·‖w‖² on encoder and projection head.
      decay_normalization: whether scale and shift of normalisation layers decay too.
      augmentation: finishes a batch on the device at the start of each step, as `Augmentation.on_device` does; None for
        batches that are complete. It is not saved with the model.
      seed: seed of the online classifier's weights, and of random layers in microbatches.

    Raises:
      ArgumentError: an argument is not allowed, or the encoder's shapes are unknown. With microbatches, a layer must
        not draw random numbers except by Keras' generator, nor add a loss of its activations.
    """

    def __init__(
        self,
        encoder: keras.Model,
        projection_head: keras.layers.Layer,
        *,
        num_classes: Optional[int] = None,
        joint_ce: float = 0.0,
        learned_temperature: Optional[float] = None,
        queue_size: int = 0,
        momentum_encoder: float = 0.999,
        microbatch_size: Optional[int] = None,
        normalize_embedding: bool = True,
        weight_decay: float = 0.0,
        decay_normalization: bool = False,
        augmentation: Optional[Callable[[Batch], Batch]] = None,
        seed: int = 0,
        name: str = "contrastive_model",
    ) -> None:
        super().__init__(name=name)
        check_encoder(encoder)
        check_layer("projection_head", projection_head)
        check_training(
            weight_decay=weight_decay,
            augmentation=augmentation,
            seed=seed,
            normalize_embedding=normalize_embedding,
            decay_normalization=decay_normalization,
        )
        if learned_temperature is not None:
            check_number("learned_temperature", learned_temperature, above=0)
        if microbatch_size is not None:
            check_whole("microbatch_size", microbatch_size, 1)
        check_whole("queue_size", queue_size, 0)
        check_number("momentum_encoder", momentum_encoder, minimum=0, maximum=1)
        self.encoder = encoder
        self.projection_head = projection_head
        self.microbatch_size = microbatch_size
        self.normalize_embedding = normalize_embedding
        self.weight_decay = weight_decay
        self.decay_normalization = decay_normalization
        self.augmentation = augmentation
        self.seed = seed
        self.online_classifier = make_online_classifier(num_classes, seed, joint_ce)
        self.learned_temperature = learned_temperature
        self.log_temperature: Optional[tf.Variable] = None
        if learned_temperature is not None:
            self.log_temperature = add_log_temperature(self, learned_temperature)
        self.online_accuracy = OnlineAccuracy("online_accuracy")
        self.diagnostics: Dict[str, keras.metrics.Metric] = {}
        self._build_heads()
        if microbatch_size is not None:
            views = tf.TensorSpec([1, 2, *encoder.input_shape[1:]])
            project = functools.partial(self._embed_and_project, encoder, projection_head, training=True)
            check_replayable([encoder, projection_head], project, views, microbatch_size)
        self.queue: Optional[MemoryQueue] = None
        if queue_size:
            self._add_queue(MemoryQueue(encoder, projection_head, queue_size, momentum_encoder))
        if weight_decay:
            self.add_loss(lambda: l2_term(self.decaying_weights, weight_decay))

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _add_queue(self, queue: MemoryQueue) -> None:
        """Saves the queue with the model, but keeps its momentum encoder from being trained and from decaying."""
        self.queue = queue
        self._track_trackable(queue, "queue")

    def _build_heads(self) -> None:
        """Makes all variables now, so that a checkpoint can be read before the first step."""
        embedding_shape = (None, self.encoder.output_shape[-1])
        for head in (self.projection_head, self.online_classifier):
            if head is not None and not head.built:
                with tf.name_scope(head.name):  # so that no two weights have the same name
                    head.build(embedding_shape)
        self.built = True

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model to a .keras file.

        Raises:
          ArgumentError: the file is of another kind.
        """
        check_keras_file(filepath)
        super().save(filepath, *args, **kwargs)

    def save_spec(self, dynamic_batch: bool = True) -> Any:
        return super().save_spec(dynamic_batch) or ([tf.TensorSpec([None, 2, *self.encoder.input_shape[1:]])], {})

    def export(self, filepath: Any) -> None:
        """Writes a SavedModel whose `serve` maps views, from 0 to 255, to projections."""
        if super().save_spec() is None:  # Keras exports no model that was never called
            self(keras.Input([2, *self.encoder.input_shape[1:]]))
        super().export(filepath)

    @property
    def decaying_weights(self) -> List[tf.Variable]:
        """Returns the weights that the weight decay applies to."""
        return decaying_weights([self.encoder, self.projection_head], normalization=self.decay_normalization)

    @property
    def temperature(self) -> Optional[Callable[[], tf.Tensor]]:
        """A function that returns the learned temperature τ, a float32 scalar; None where none is learned."""
        return None if self.log_temperature is None else self._temperature

    def _temperature(self) -> tf.Tensor:
        return tf.exp(tf.convert_to_tensor(self.log_temperature))

    @property
    def memory(self) -> Optional[Callable[[], Tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
        """A function that returns the queue, see `MemoryQueue.contents`; None without a queue."""
        return None if self.queue is None else self.queue.contents

    def compile(self, optimizer: Any = "sgd", loss: Any = None, **kwargs: Any) -> None:
        """Configures training like `keras.Model.compile`, and reports the diagnostics of a loss that has them.

        Metrics compare labels with projections, `[batch, views, dim]`.

        Raises:
          ArgumentError: there is no loss, the loss does not read the learned temperature or the queue that the model
            has, or a metric needs scores of classes.
        """
        if loss is None:
            raise ArgumentError("loss", None, "must be a loss of projections, for example SupConLoss()")
        if kwargs.get("from_serialized"):  # Keras loads a SavedModel, and deserialises its loss
            connect(loss, self.temperature, self.memory)
        check_connected(loss, self.temperature, self.memory)
        given = tf.nest.flatten([kwargs.get("metrics"), kwargs.get("weighted_metrics")])
        self._has_metrics = any(metric is not None for metric in given)
        check_metrics_of_projections(given)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        (weight,) = tf.nest.flatten(kwargs.get("loss_weights"))  # Keras takes a number, a list or a dict
        self._loss_weight = 1.0 if weight is None else float(weight)
        learned = ("temperature",) if self.log_temperature is not None else ()
        with self.distribute_strategy.scope():
            self.diagnostics = {name: keras.metrics.Mean(name) for name in (*watched_figures(loss), *learned)}

    def compile_from_config(self, config: Dict[str, Any]) -> None:
        """Compiles a loaded model as it was saved, and connects the loss with learned temperature and queue again."""
        arguments = keras.saving.deserialize_keras_object(config)
        connect(arguments["loss"], self.temperature, self.memory)
        self.compile(**arguments)
        build_optimizer(self)

    @property
    def metrics(self) -> List[keras.metrics.Metric]:
        """The loss, its diagnostics and the online classifier's accuracy. Keras resets them when an epoch starts."""
        online = [self.online_accuracy] if self.online_classifier is not None else []
        if not self._is_compiled:
            return []
        return [*self.compiled_loss.metrics, *self.diagnostics.values(), *online, *self.compiled_metrics.metrics]

    def embed(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the embeddings r of images `[batch, height, width, channels]`: `[batch, dim]` float32."""
        return embed(self.encoder, images, normalize=self.normalize_embedding, training=training)

    def call(self, views: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the projections z of views `[batch, views, height, width, channels]`: `[batch, views, dim]`."""
        return self._embed_and_project(self.encoder, self.projection_head, views, training=training)[1]

    def batch_of(self, data: Any) -> Batch:
        """Returns the batch that a step computes with, finished by the augmentation; see `supcon_tf.batch`."""
        batch = to_batch(data, distributions=takes_distributions(self.loss))
        batch = batch if self.augmentation is None else self.augmentation(batch)
        check_image_shape(self.encoder, batch["views"])
        return batch

    def train_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """Takes one step and returns the metrics.

        Args:
          data: a batch, or (views `[batch, views, height, width, channels]`, labels `[batch]`[, weights `[batch]`]).
        """
        batch = self.batch_of(data)
        views, labels, weights = batch["views"], batch["labels"], batch.get("weights")
        views = with_images_on_each_replica(views, self.encoder)
        objective = functools.partial(self._objective, labels, weights)
        if self.microbatch_size is None:
            with tf.GradientTape() as tape:
                outputs = self._embed_and_project(self.encoder, self.projection_head, views, training=True)
                value = objective(*outputs)
            self.optimizer.minimize(value, self.trainable_variables, tape=tape)
        else:
            microbatches = self._microbatches(self.encoder, self.projection_head, views, self.microbatch_size)
            projecting = self.encoder.trainable_variables + self.projection_head.trainable_variables
            minimize_in_microbatches(
                self.optimizer, microbatches, objective, self.trainable_variables, projecting=projecting
            )
        if self.queue is not None:
            self.queue.follow()
            self.queue.push(self._momentum_projections(self.queue, views), labels)
        return with_range(self.get_metrics_result(), views, self)

    def test_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """Returns the metrics of a batch; with one view of each image, only the online accuracy.

        Args:
          data: a batch, (views, labels[, weights]), or (images `[batch, height, width, channels]`, labels[, weights]).
        """
        batch = self.batch_of(data)
        views, labels, weights = check_finite(batch["views"]), batch["labels"], batch.get("weights")
        if views.shape[1] == 1:
            if self.online_classifier is None:
                problem = "has one view of each image: needs two for the loss, or num_classes for a classifier"
                raise ArgumentError("x", NAME_ONLY, problem)
            self._online_loss(labels, weights, self.embed(views[:, 0])[:, tf.newaxis, :])
            return {self.online_accuracy.name: self.online_accuracy.result()}
        embeddings, projections = self._embed_and_project(self.encoder, self.projection_head, views, training=False)
        self._contrastive_loss(labels, weights, projections)
        self._online_loss(labels, weights, embeddings)
        return self.get_metrics_result()

    @tf.autograph.experimental.do_not_convert
    def predict_step(self, data: Any) -> tf.Tensor:
        """Returns the projections of views `[batch, views, height, width, channels]`."""
        views = data[0] if isinstance(data, tuple) else data
        if isinstance(views, tf.Tensor) and views.shape.rank == 4:
            problem = "must be views [batch, views, height, width, channels]; images[:, None] has one view of each, "
            raise ArgumentError("x", NAME_ONLY, f"{problem}and model.embed(images) returns embeddings")
        check_image_shape(self.encoder, views)
        return super().predict_step(data)

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        return function_by_shape(self, "train_function", super().make_train_function, force)

    def make_test_function(self, force: bool = False) -> Callable[[Any], Any]:
        return function_by_shape(self, "test_function", super().make_test_function, force)

    def _objective(
        self, labels: tf.Tensor, weights: Optional[tf.Tensor], embeddings: tf.Tensor, projections: tf.Tensor
    ) -> tf.Tensor:
        """Returns this replica's share of what is minimised, and updates the metrics."""
        objective = self._contrastive_loss(labels, weights, projections)
        objective += self._online_loss(labels, weights, embeddings)
        if self.losses:  # weight decay; each replica adds its share
            objective += tf.add_n(self.losses) / self.distribute_strategy.num_replicas_in_sync
        return objective

    def _contrastive_loss(self, labels: tf.Tensor, weights: Optional[tf.Tensor], projections: tf.Tensor) -> tf.Tensor:
        """Returns this replica's share of the contrastive loss, and updates its metrics."""
        share = self.compiled_loss(labels, projections, sample_weight=weights)
        value = share * self.distribute_strategy.num_replicas_in_sync
        figures = watch(self.loss, value, self._loss_weight, labels, projections)
        if self.log_temperature is not None:
            figures["temperature"] = self._temperature()
        # Like Keras' own mean of the loss: by the number of images, so that an empty share of a replica has no weight.
        images = tf.shape(projections)[0]
        for name, metric in self.diagnostics.items():
            metric.update_state(tf.where(images > 0, figures[name], 0.0), sample_weight=images)
        if self._has_metrics:
            self.compiled_metrics.update_state(labels, projections, weights)
        return share * relative_share(size_of(projections, 0), self.loss)

    def _online_loss(self, labels: tf.Tensor, weights: Optional[tf.Tensor], embeddings: tf.Tensor) -> tf.Tensor:
        """Returns this replica's share of the online classifier's cross-entropy, 0 without a classifier."""
        if self.online_classifier is None:
            return tf.constant(0.0)
        return self.online_classifier.loss(labels, embeddings, weights, self.online_accuracy)

    def _embed_and_project(
        self, encoder: keras.Model, projection_head: keras.layers.Layer, views: tf.Tensor, *, training: bool
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Returns embeddings and projections, `[batch, views, dim]` each, with the model's or the queue's encoder."""
        return embed_and_project(
            encoder, projection_head, views, normalize_embedding=self.normalize_embedding, training=training
        )

    def _microbatches(
        self, encoder: keras.Model, projection_head: keras.layers.Layer, views: tf.Tensor, size: int
    ) -> Microbatches:
        project = functools.partial(self._embed_and_project, encoder, projection_head, training=True)
        return Microbatches(views, size, project, [encoder, projection_head], self._seed_of_step)

    def _seed_of_step(self) -> tf.Tensor:
        """Returns the seed `[2]` int32 of this replica's random layers in this step."""
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
        seed = tf.stack([self.seed % 2**31, tf.cast(self.optimizer.iterations, tf.int32)])
        return tf.random.experimental.stateless_fold_in(seed, replica)

    def _momentum_projections(self, queue: MemoryQueue, views: tf.Tensor) -> tf.Tensor:
        """Returns the momentum encoder's projections of the batch, `[batch, views, dim]`."""
        if self.microbatch_size is None:
            return self._embed_and_project(queue.encoder, queue.projection_head, views, training=True)[1]
        microbatches = self._microbatches(queue.encoder, queue.projection_head, views, self.microbatch_size)
        return microbatches.embed_and_project()[1]

    def get_config(self) -> Dict[str, Any]:
        classifier, queue = self.online_classifier, self.queue
        return {
            "encoder": serialized(self.encoder),
            "projection_head": serialized(self.projection_head),
            "num_classes": None if classifier is None else classifier.units,
            **({} if classifier is None or not classifier.joint_ce else {"joint_ce": classifier.joint_ce}),
            "learned_temperature": self.learned_temperature,
            **({} if queue is None else {"queue_size": queue.size, "momentum_encoder": queue.momentum}),
            "microbatch_size": self.microbatch_size,
            "normalize_embedding": self.normalize_embedding,
            "weight_decay": self.weight_decay,
            "decay_normalization": self.decay_normalization,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Dict[str, Any], custom_objects: Optional[Dict[str, Any]] = None) -> "ContrastiveModel":
        parts = {
            part: keras.layers.deserialize(config[part], custom_objects) for part in ("encoder", "projection_head")
        }
        return cls(**{**config, **parts})
