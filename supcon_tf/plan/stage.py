"""Computes the cost of one training stage from the counts of its model's graph.

Each replica has a device to itself, and a step is the step of one replica. Memory counts what the step itself needs;
frameworks keep more.
"""

import dataclasses
import math
from typing import Callable, Dict, NamedTuple, Optional, Tuple

from supcon_tf import config as config_lib
from supcon_tf import optimizers
from supcon_tf.data.steps import StepSchedule
from supcon_tf.losses import cost, engine
from supcon_tf.losses.variants import LossVariant
from supcon_tf.plan import graph_cost
from supcon_tf.run import schedule

FLOAT = 4  # bytes of a weight, a gradient, a projection
PREFETCHED = 2  # batches on a device: the current one and the next


class Parameters(NamedTuple):
    """Number of parameters in a part of the model, and of trained ones among these."""

    number: int
    trained: int


class Message(NamedTuple):
    """Describes what replicas send each other in a step.

    Attributes:
      size: bytes of the result, which each replica has in the end.
      summed: whether the result is the sum of what each replica has; otherwise it is their concatenation.
    """

    size: int
    summed: bool

    def sent(self, replicas: int) -> float:
        """Returns the bytes that a replica sends in a ring, which is the least possible."""
        return (2 if self.summed else 1) * self.size * (replicas - 1) / replicas


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """Cost of a training stage.

    Attributes:
      stage: 'pretrain' or 'linear'.
      config: the final options.
      steps: batch size, passes and steps.
      steps_of: returns `steps` for other options.
      replicas: number of replicas, which share the batch equally.
      image_shape: height, width and channels.
      classes: number of classes; 0 for none.
      parameters: of each part of the model, in the order of the forward pass.
      counted: what the model takes for each view.
      embedding: dimension of the embedding.
      normalized: number of channels of all batch normalisation layers.
      microbatch_size: number of images of a replica that pass the encoder at a time; None for all.
    """

    stage: str
    config: config_lib.Config
    steps: StepSchedule
    steps_of: Callable[[config_lib.Config], StepSchedule]
    replicas: int
    image_shape: Tuple[int, int, int]
    classes: int
    parameters: Dict[str, Parameters]
    counted: graph_cost.GraphCost
    embedding: int
    normalized: int
    microbatch_size: Optional[int] = None

    @property
    def contrastive(self) -> bool:
        """True if the stage trains with a contrastive loss."""
        return self.stage == "pretrain" and self.config.run.mode != "ce"

    @property
    def views(self) -> int:
        """Number of views of each image."""
        return self.config.augment.num_views if self.contrastive else 1

    @property
    def batch_size(self) -> int:
        """Number of images in a batch of all replicas."""
        return self.steps.batch_size

    @property
    def share(self) -> int:
        """Number of images in a replica's share of the batch."""
        return self.batch_size // self.replicas

    @property
    def images_seen(self) -> int:
        """Number of images over the whole stage, counted each time they are seen."""
        return self.steps.total_steps * self.batch_size

    @property
    def peak_learning_rate(self) -> float:
        """Learning rate at the end of the warm-up."""
        return schedule.peak_learning_rate(self.config, self.stage, self.batch_size)

    @property
    def _queue(self) -> bool:
        return self.contrastive and self.config.loss.queue_size > 0

    @property
    def _projection(self) -> int:
        return self.config.model.projection_layers[-1]

    @property
    def _trained(self) -> int:
        return sum(part.trained for part in self.parameters.values())

    @property
    def _slots(self) -> int:
        return optimizers.OPTIMIZERS[self.config.stage(self.stage).optimizer].slots

    @property
    def loss_is_counted(self) -> bool:
        """True if the cost of the loss is known."""
        loss = self.config.loss.contrastive_loss
        return not self.contrastive or loss == "supcon" or loss in cost.MATRICES

    @property
    def loss(self) -> cost.LossCost:
        """Cost of the contrastive loss with its gradient, or of cross-entropy."""
        options = self.config.loss
        if not self.contrastive:  # logits, probabilities and their gradient
            return cost.LossCost(0, 3 * FLOAT * self.share * self.classes, {})
        sizes = (self.batch_size, self.replicas, self.views, self._projection)
        if not self.loss_is_counted:
            return cost.LossCost(0, 0, {})
        if options.contrastive_loss != "supcon":
            return cost.all_pairs_cost(*sizes, name=options.contrastive_loss)
        small = options.learn_temperature or 1.0 / options.temperature <= engine.LARGEST_EXPONENT
        found = cost.supcon_cost(
            *sizes,
            memory=options.queue_size,
            by_class=LossVariant(options.summation, options.denominator, options.positives_cap).by_class,
            exponents=self.config.model.normalize_projection and small,
        )
        if self.config.augment.mix != "none" and self.replicas > 1:
            found.gathered["distributions over classes"] = self.batch_size * (self.classes + self._projection) * FLOAT
        return found

    @property
    def flops(self) -> Dict[str, float]:
        """Floating-point operations of a replica in a step."""
        counted, rows = self.counted, self.share * self.views
        found = {
            "forward": counted.forward_flops * rows,
            "backward": counted.backward * rows,
        }
        if self.microbatch_size is not None:
            found["forward once more, for microbatches"] = counted.forward_flops * rows
        if self._queue:
            found["momentum encoder"] = counted.forward_flops * rows
        if self.contrastive:
            found["loss"] = float(self.loss.flops)
        return found

    @property
    def moved(self) -> float:
        """Bytes that a replica moves in a step: in the optimizer, and in layers that multiply no matrices."""
        passes = (self.microbatch_size is not None) + self._queue
        layers_moved = (self.counted.moved + passes * self.counted.moved_forward) * self.share * self.views
        return layers_moved + FLOAT * self._trained * (3 + 2 * self._slots)

    @property
    def memory(self) -> Dict[str, float]:
        """Bytes of memory of a replica."""
        counted, rows = self.counted, self.share * self.views
        numbers = sum(part.number for part in self.parameters.values())
        at_a_time = self.views * (self.microbatch_size or self.share)
        loss_memory = float(self.loss.memory)
        if self.microbatch_size is not None:  # embeddings and projections of all images, with their gradients
            loss_memory += 2 * FLOAT * rows * (self.embedding + self._projection)
        found = {
            "weights": FLOAT * numbers + counted.copies,
            "gradients": FLOAT * self._trained * (1 if self.microbatch_size is None else 2),
            "optimizer": FLOAT * self._trained * self._slots,
            "activations kept for the gradient": counted.kept * at_a_time,
            "activations at work": (counted.peak - counted.kept) * at_a_time,
            "loss": loss_memory,
            "batch, and the next": float(PREFETCHED * rows * math.prod(self.image_shape)),
        }
        if self._queue:
            found["momentum encoder and queue"] = FLOAT * (
                numbers + self.config.loss.queue_size * (self._projection + 1)
            )
        return found

    @property
    def messages(self) -> Dict[str, Message]:
        """Messages of a replica in a step, by content; none where there is one replica."""
        if self.replicas == 1:
            return {}
        found = {"gradients": Message(FLOAT * self._trained, summed=True)}
        found.update({name: Message(size, summed=False) for name, size in self.loss.gathered.items()})
        if self._queue:
            size = FLOAT * self.batch_size * (self.views * self._projection + 1)
            found["projections of the momentum encoder"] = Message(size, summed=False)
        if self.config.model.sync_batch_norm and self.stage == "pretrain":
            # Sums and sums of squares forward, their gradients backward.
            passes = 2 if self.microbatch_size is None else 3 * (self.share // self.microbatch_size)
            passes += self._queue * (1 if self.microbatch_size is None else self.share // self.microbatch_size)
            found["batch statistics"] = Message(FLOAT * 2 * self.normalized * passes, summed=True)
        return found

    def seconds(self, tflops: float, bandwidth: Optional[float] = None) -> float:
        """Returns the seconds that a step takes.

        Args:
          tflops: TFLOP/s of a device in convolutions and matrix products.
          bandwidth: GB/s, with GB of 10⁹ bytes, in other layers; None counts no time for these.
        """
        return total(self.flops) / (1e12 * tflops) + (self.moved / (1e9 * bandwidth) if bandwidth else 0.0)


def total(parts: Dict[str, float]) -> float:
    """Returns the sum of the values."""
    return sum(parts.values())
