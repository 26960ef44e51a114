"""Counts the steps of a training stage from numbers alone. Imports no TensorFlow."""

import dataclasses
from typing import Optional

from supcon_tf.errors import NAME_ONLY, ArgumentError


@dataclasses.dataclass(frozen=True)
class StepSchedule:
    """Batch size and number of steps of a training stage.

    A batch may begin in one pass and end in the next. Images that fill no whole batch at the very end are left out.

    >>> StepSchedule(batch_size=256, images=50_000, epochs=100).total_steps
    19531

    Attributes:
      batch_size: images in a batch, over all replicas.
      images: images in one pass. Unlabelled images are not counted.
      epochs: number of passes over these images.
      unlabelled: number of unlabelled images in a batch.
      classes_per_batch: number of classes among the labelled images of a batch, each with equally many images; None
        where the classes are left to chance.
    """

    batch_size: int
    images: int
    epochs: int
    unlabelled: int = 0
    classes_per_batch: Optional[int] = None

    @property
    def labelled(self) -> int:
        """Images in a batch that are not among the unlabelled ones."""
        return self.batch_size - self.unlabelled

    @property
    def steps_per_epoch(self) -> float:
        """Steps in one pass, which may be a fraction."""
        return self.images / self.labelled

    @property
    def total_steps(self) -> int:
        """Steps of the whole stage."""
        return self.steps_before(self.epochs)

    def steps_before(self, epoch: int) -> int:
        """Returns the number of steps that end before the pass `epoch` starts; passes count from 0."""
        return epoch * self.images // self.labelled

    def epoch_of(self, step: int) -> int:
        """Returns the pass in which a step ends; both count from 0."""
        return ((step + 1) * self.labelled - 1) // self.images


def plan_steps(
    images: int,
    batch_size: int,
    epochs: int,
    replicas: int,
    *,
    classes_per_batch: Optional[int] = None,
    num_classes: int = 0,
    unlabelled: Optional[int] = None,
    unlabelled_share: float = 0.0,
) -> StepSchedule:
    """Plans the steps of a training stage.

    >>> plan_steps(images=1197, batch_size=250, epochs=3, replicas=2, classes_per_batch=5, num_classes=10)
    StepSchedule(batch_size=250, images=1000, epochs=3, unlabelled=0, classes_per_batch=5)

    Args:
      images: number of training images.
      batch_size: images in a batch, over all replicas.
      epochs: number of passes over the training images.
      replicas: number of replicas, which share each batch equally.
      classes_per_batch: number of classes in a batch; None where the classes are left to chance.
      num_classes: number of classes that have training images. Only `classes_per_batch` needs it.
      unlabelled: number of further images without labels; None if the run uses none.
      unlabelled_share: share of each batch that is taken from them. Each replica gets one or more of either kind.

    Raises:
      ArgumentError: the batch exceeds the data, or replicas, classes and unlabelled images cannot share it equally.
    """
    if batch_size % replicas:
        nearest = max(round(batch_size / replicas), 1) * replicas
        raise ArgumentError(
            "batch_size", batch_size, f"must be a multiple of the {replicas:,} replicas; the nearest is {nearest}"
        )
    unlabelled_in_batch = _unlabelled_in_batch(batch_size, replicas, unlabelled, unlabelled_share)
    labelled = batch_size - unlabelled_in_batch
    if images < labelled:
        if unlabelled_in_batch:
            raise ArgumentError(
                "batch_size", batch_size, f"needs {labelled:,} labelled images, but the data set has {images:,}"
            )
        raise ArgumentError("batch_size", batch_size, f"exceeds the {images:,} training images; give {images} or less")
    if classes_per_batch is None:
        return StepSchedule(batch_size, images, epochs, unlabelled_in_batch)
    _check_classes_per_batch(classes_per_batch, num_classes, labelled)
    # Class-balanced batches are drawn for one pass at a time, so a pass consists of whole batches.
    return StepSchedule(batch_size, images // labelled * labelled, epochs, unlabelled_in_batch, classes_per_batch)


def _unlabelled_in_batch(batch_size: int, replicas: int, unlabelled: Optional[int], share: float) -> int:
    """Returns the number of unlabelled images in a batch, equal on all replicas."""
    if unlabelled is None:
        return 0
    per_replica = batch_size // replicas
    if per_replica < 2:
        raise ArgumentError("batch_size", batch_size, "each replica needs 2 images, one with a label and one without")
    count = replicas * min(max(round(share * per_replica), 1), per_replica - 1)
    if unlabelled < count:
        raise ArgumentError(
            "unlabelled_share",
            share,
            f"a batch needs {count:,} unlabelled images, but there are {unlabelled:,}; give a smaller share or "
            "{batch_size}",
            batch_size=NAME_ONLY,
        )
    return count


def _check_classes_per_batch(classes_per_batch: int, num_classes: int, labelled: int) -> None:
    """Raises ArgumentError unless that many classes can share the labelled images of a batch equally."""
    if classes_per_batch > num_classes:
        raise ArgumentError(
            "classes_per_batch",
            classes_per_batch,
            f"only {num_classes:,} classes have training images; give {num_classes} or less",
        )
    if labelled % classes_per_batch:
        divisors = (count for count in range(2, num_classes + 1) if labelled % count == 0)
        nearest = min(divisors, key=lambda count: abs(count - classes_per_batch), default=1)
        raise ArgumentError(
            "classes_per_batch",
            classes_per_batch,
            f"must divide the {labelled:,} labelled images of a batch; the nearest is {nearest}",
        )
