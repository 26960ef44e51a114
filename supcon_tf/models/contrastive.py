"""Encoder and projection head, trained together by a contrastive loss."""

import functools
import math
from typing import Any, Callable, Dict, List, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.distribute import gather
from supcon_tf.models.heads import l2_normalize
from supcon_tf.models.memory_queue import MemoryQueue
from supcon_tf.models.microbatches import Microbatches
from supcon_tf.models.preparation import Prepare, likeliest, prepared
from supcon_tf.models.weight_decay import decaying_weights, l2_term

# Bounds of a temperature that is learned.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 1.0


@keras.saving.register_keras_serializable("supcon_tf")
class ContrastiveModel(keras.Model):
    """Encoder and projection head (Khosla et al., 2020, Sec. 3.1), compiled with any loss on `[batch, views, dim]`.

    Beside the contrastive objective it can train a linear classifier on the embedding, behind a stop-gradient: its
    accuracy shows what the encoder has learned so far and changes nothing of what it learns.

    >>> model = ContrastiveModel(build_encoder("resnet18", (32, 32, 3)), ProjectionHead((512, 128)), num_classes=10)
    >>> model.compile("sgd", SupConLoss(temperature=0.1))
    >>> model.fit(dataset)  # of (views [batch, views, height, width, channels], labels [batch])

    Args:
      encoder: images `[batch, height, width, channels]` → embeddings `[batch, dim]`.
      projection_head: embeddings → projections.
      num_classes: classes of the online classifier; None for no such classifier.
      learned_temperature: where a temperature that is learned starts; None for none. Compile the model with a loss that
        takes it from there: `SupConLoss(temperature=model.temperature)`. It stays within 0.01 and 1, or its start.
      queue_size: how many past projections further contrasts are taken from; 0 for none. Compile the model with a loss
        that takes them: `SupConLoss(memory=model.memory)`.
      momentum_encoder: m of the encoder that makes these, whose weights follow as θ_m ← m·θ_m + (1 − m)·θ.
      microbatch_size: images of a replica that pass the encoder at a time, so that memory is that of their activations
        (`supcon_tf/models/microbatches.py`); None for all at once.
      normalize_embedding: L2-normalise the embedding before projection head and classifier.
      weight_decay: λ of the L2 term λ/2·‖w‖² on encoder and projection head, but for scale and shift of normalisation.
      decay_normalization: whether these decay too.
      seed: of the online classifier's weights.

    Attributes:
      prepare: the function that makes views of what the host has left to the device, and may mix them and their labels;
        None for views that are complete.
    """

    def __init__(
        self,
        encoder: keras.Model,
        projection_head: keras.layers.Layer,
        *,
        num_classes: Optional[int] = None,
        learned_temperature: Optional[float] = None,
        queue_size: int = 0,
        momentum_encoder: float = 0.999,
        microbatch_size: Optional[int] = None,
        normalize_embedding: bool = True,
        weight_decay: float = 0.0,
        decay_normalization: bool = False,
        seed: int = 0,
        name: str = "contrastive_model",
    ) -> None:
        super().__init__(name=name)
        self.encoder = encoder
        self.projection_head = projection_head
        self.microbatch_size = microbatch_size
        self.normalize_embedding = normalize_embedding
        self.weight_decay = weight_decay
        self.decay_normalization = decay_normalization
        self.prepare: Optional[Prepare] = None
        self.online_classifier: Optional[keras.layers.Layer] = None
        if num_classes is not None:
            initializer = keras.initializers.GlorotUniform(seed=seed)
            self.online_classifier = keras.layers.Dense(
                num_classes, kernel_initializer=initializer, dtype="float32", name="online_classifier"
            )
        self.learned_temperature = learned_temperature
        self.log_temperature: Optional[tf.Variable] = None
        if learned_temperature is not None:
            lowest = math.log(min(LOWEST_TEMPERATURE, learned_temperature))
            highest = math.log(max(HIGHEST_TEMPERATURE, learned_temperature))
            self.log_temperature = self.add_weight(
                name="log_temperature",
                shape=(),
                initializer=keras.initializers.Constant(math.log(learned_temperature)),
                constraint=lambda value: tf.clip_by_value(value, lowest, highest),
                dtype="float32",
            )
        self.online_accuracy = keras.metrics.SparseCategoricalAccuracy("online_accuracy")
        self.diagnostics: Dict[str, keras.metrics.Metric] = {}
        self._build_heads()
        self.queue: Optional[MemoryQueue] = None
        if queue_size:
            self._hold(MemoryQueue(encoder, projection_head, queue_size, momentum_encoder))
        if weight_decay:
            self.add_loss(lambda: l2_term(self.decaying_weights, weight_decay))

    @property
    def decaying_weights(self) -> List[tf.Variable]:
        """What the weight decay is of."""
        return decaying_weights([self.encoder, self.projection_head], normalization=self.decay_normalization)

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _hold(self, queue: MemoryQueue) -> None:
        """Makes the queue a part of what is saved, but its encoder none of the layers that are trained and decay."""
        self.queue = queue
        self._track_trackable(queue, "queue")

    def _build_heads(self) -> None:
        """Makes all variables now, so that a checkpoint can be read before the first step."""
        embedding_shape = (None, self.encoder.output_shape[-1])
        for head in (self.projection_head, self.online_classifier):
            if head is not None and not head.built:
                with tf.name_scope(head.name):  # so that no two weights have one name
                    head.build(embedding_shape)

    @property
    def temperature(self) -> Optional[Callable[[], tf.Tensor]]:
        """A function that returns the learned temperature τ, a float32 scalar; None where none is learned."""
        return None if self.log_temperature is None else self._temperature

    def _temperature(self) -> tf.Tensor:
        return tf.exp(tf.convert_to_tensor(self.log_temperature))

    @property
    def memory(self) -> Optional[Callable[[], Tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
        """A function that returns what is in the queue: see `MemoryQueue.contents`; None without a queue."""
        return None if self.queue is None else self.queue.contents

    def compile(self, optimizer: Any = "sgd", loss: Any = None, **kwargs: Any) -> None:
        """As `keras.Model.compile`; a loss with `scale` and `diagnostics`, as ours have, is also watched by these."""
        if self.queue is not None and getattr(loss, "memory", None) is None:
            raise ValueError("the loss does not know of the queue; give it memory=model.memory")
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        (weight,) = tf.nest.flatten(kwargs.get("loss_weights"))  # Keras takes it alone, in a list or by name
        self._loss_weight = 1.0 if weight is None else float(weight)
        names = ("unscaled_loss", *loss.DIAGNOSTICS) if hasattr(loss, "diagnostics") else ()
        with self.distribute_strategy.scope():
            names += ("temperature",) if self.log_temperature is not None else ()
            self.diagnostics = {name: keras.metrics.Mean(name) for name in names}

    def compile_from_config(self, config: Dict[str, Any]) -> None:
        """Compiles a loaded model as it was when it was saved; a learned temperature is given to the loss again."""
        arguments = keras.saving.deserialize_keras_object(config)
        if self.log_temperature is not None:
            arguments["loss"].temperature = self.temperature
        if self.queue is not None:
            arguments["loss"].memory = self.memory
        self.compile(**arguments)
        if hasattr(self.optimizer, "build"):  # TensorFlow Addons' are of an older kind
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> List[keras.metrics.Metric]:
        """Loss, its diagnostics and the online classifier's accuracy; Keras resets them at each epoch's start."""
        online = [self.online_accuracy] if self.online_classifier is not None else []
        return [*self.compiled_loss.metrics, *self.diagnostics.values(), *online] if self._is_compiled else []

    def embed(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images `[batch, height, width, channels]` → embeddings r, `[batch, dim]` float32."""
        return self._embed(self.encoder, images, training)

    def call(self, views: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Views `[batch, views, height, width, channels]` → projections z, `[batch, views, dim]` float32."""
        return self._embed_and_project(views, training)[1]

    def train_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """One step on (views `[batch, views, height, width, channels]`, labels `[batch]`[, weights `[batch]`]).

        Instead of the views there may be a dictionary of what `prepare` makes them from.
        """
        views, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        views, labels = prepared(self, views, labels)
        if self.microbatch_size is None:
            with tf.GradientTape() as tape:
                embeddings, projections = self._embed_and_project(views, training=True)
                objective = self._objective(labels, embeddings, projections, weights)
            self.optimizer.minimize(objective, self.trainable_variables, tape=tape)
        else:
            microbatches = self._microbatches(self.encoder, self.projection_head, views, self.microbatch_size)
            self._minimize_in_microbatches(microbatches, labels, weights)
        if self.queue is not None:
            self._remember(self.queue, views, labels)
        return self.get_metrics_result()

    def _minimize_in_microbatches(
        self, microbatches: Microbatches, labels: tf.Tensor, weights: Optional[tf.Tensor]
    ) -> None:
        """What `minimize` does, by way of the gradient at the projections."""
        embeddings, projections = microbatches.embed_and_project()
        variables = self.trainable_variables
        scaling = isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            tape.watch(projections)
            objective = self._objective(labels, embeddings, projections, weights)
            if scaling:
                objective = self.optimizer.get_scaled_loss(objective)
        of_projections, *of_variables = tape.gradient(objective, [projections, *variables])
        projecting = self.encoder.trainable_variables + self.projection_head.trainable_variables
        through_projections = dict(zip(map(id, projecting), microbatches.gradient(of_projections, projecting)))
        gradients = [
            _sum_of(gradient, through_projections.get(id(variable)))
            for gradient, variable in zip(of_variables, variables)
        ]
        if scaling:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, variables))

    def _objective(
        self, labels: tf.Tensor, embeddings: tf.Tensor, projections: tf.Tensor, weights: Optional[tf.Tensor]
    ) -> tf.Tensor:
        """This replica's share of what is minimised; updates the metrics."""
        objective = self._contrastive_loss(labels, projections, weights) + self._online_loss(labels, embeddings)
        if self.losses:  # weight decay; each replica adds its share
            objective += tf.add_n(self.losses) / self.distribute_strategy.num_replicas_in_sync
        return objective

    def test_step(self, data: Any) -> Dict[str, tf.Tensor]:
        """As `train_step` without the update; with images `[batch, height, width, channels]`, only online accuracy."""
        views, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        views, labels = prepared(self, views, labels)
        if views.shape.rank == 4:
            self._online_loss(labels, self.embed(views)[:, tf.newaxis, :], weights)
            return {self.online_accuracy.name: self.online_accuracy.result()}
        embeddings, projections = self._embed_and_project(views, training=False)
        self._contrastive_loss(labels, projections, weights)
        self._online_loss(labels, embeddings, weights)
        return self.get_metrics_result()

    def _embed_and_project(self, views: tf.Tensor, training: bool) -> Tuple[tf.Tensor, tf.Tensor]:
        """Views → embeddings and projections, `[batch, views, dim]` each."""
        return self._pass(self.encoder, self.projection_head, views, training)

    def _pass(
        self, encoder: keras.Model, projection_head: keras.layers.Layer, views: tf.Tensor, training: bool
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """The same of any encoder and head; all views pass the encoder as one batch."""
        batch, num_views = tf.shape(views)[0], tf.shape(views)[1]
        images = tf.reshape(views, tf.concat([[batch * num_views], tf.shape(views)[2:]], axis=0))
        images = tf.ensure_shape(images, [None, *encoder.input_shape[1:]])
        embeddings = self._embed(encoder, images, training)
        projections = projection_head(embeddings, training=training)

        def by_image(x: tf.Tensor) -> tf.Tensor:
            return tf.reshape(x, [-1, views.shape[1] or num_views, x.shape[-1]])

        return by_image(embeddings), by_image(projections)

    def _embed(self, encoder: keras.Model, images: tf.Tensor, training: bool) -> tf.Tensor:
        embeddings = encoder(images, training=training)
        return l2_normalize(embeddings) if self.normalize_embedding else embeddings

    def _microbatches(
        self, encoder: keras.Model, projection_head: keras.layers.Layer, views: tf.Tensor, size: int
    ) -> Microbatches:
        project = functools.partial(self._pass, encoder, projection_head, training=True)
        return Microbatches(views, size, project, [encoder, projection_head])

    def _remember(self, queue: MemoryQueue, views: tf.Tensor, labels: tf.Tensor) -> None:
        """Lets the momentum encoder follow, and puts what it makes of the batch into the queue."""
        queue.follow(self.encoder, self.projection_head)
        pair = queue.encoder, queue.projection_head
        if self.microbatch_size is None:
            _, projections = self._pass(*pair, views, training=True)
        else:
            _, projections = self._microbatches(*pair, views, self.microbatch_size).embed_and_project()
        queue.push(projections, labels)

    def _contrastive_loss(
        self, labels: tf.Tensor, projections: tf.Tensor, weights: Optional[tf.Tensor] = None
    ) -> tf.Tensor:
        """This replica's share of the contrastive loss; updates its metrics."""
        share = self.compiled_loss(labels, projections, sample_weight=weights)
        if self.diagnostics:
            value = share * self.distribute_strategy.num_replicas_in_sync / (self.loss.scale * self._loss_weight)
            observed = {"unscaled_loss": value, **self.loss.diagnostics(labels, projections)}
            if self.log_temperature is not None:
                observed["temperature"] = self._temperature()
            for name, metric in self.diagnostics.items():
                metric.update_state(observed[name])
        return share

    def _online_loss(self, labels: tf.Tensor, embeddings: tf.Tensor, weights: Optional[tf.Tensor] = None) -> tf.Tensor:
        """This replica's share of the online classifier's cross-entropy; nothing of it reaches the encoder."""
        if self.online_classifier is None:
            return tf.constant(0.0)
        logits = self.online_classifier(tf.stop_gradient(embeddings))
        labels = tf.repeat(tf.reshape(likeliest(labels), [-1, 1]), tf.shape(logits)[1], axis=1)
        known = tf.cast(labels >= 0, tf.float32)  # unlabelled images teach the classifier nothing
        if weights is not None:
            known *= tf.cast(weights, tf.float32)[:, tf.newaxis]
        labels = tf.maximum(labels, 0)
        self.online_accuracy.update_state(labels, logits, sample_weight=known)
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        known_of_replicas = gather(tf.reshape(tf.reduce_sum(known), [1]))  # of which some may have fewer
        return tf.math.divide_no_nan(tf.reduce_sum(known * cross_entropy), tf.reduce_sum(known_of_replicas))

    def get_config(self) -> Dict[str, Any]:
        classifier, queue = self.online_classifier, self.queue
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "projection_head": keras.saving.serialize_keras_object(self.projection_head),
            "num_classes": None if classifier is None else classifier.units,
            "learned_temperature": self.learned_temperature,
            **({} if queue is None else {"queue_size": queue.size, "momentum_encoder": queue.momentum}),
            "microbatch_size": self.microbatch_size,
            "normalize_embedding": self.normalize_embedding,
            "weight_decay": self.weight_decay,
            "decay_normalization": self.decay_normalization,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Dict[str, Any], custom_objects: Optional[Dict[str, Any]] = None) -> "ContrastiveModel":
        parts = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects)
            for part in ("encoder", "projection_head")
        }
        return cls(**{**config, **parts})


def _sum_of(*gradients: Optional[tf.Tensor]) -> Optional[tf.Tensor]:
    """Of those that are not None; None where all are."""
    there = [gradient for gradient in gradients if gradient is not None]
    return tf.add_n(there) if there else None
