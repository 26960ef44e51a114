"""Makes batch sizes that nobody has given by hand fit the training images, instead of rejecting them."""

import math
from typing import Any, Collection, Dict, Mapping, NamedTuple, Optional, Union

from supcon_tf import config as config_lib

NAMES = tuple(config_lib.name_in_stage(stage, "batch_size") for stage in config_lib.TRAINING_STAGES)


class Change(NamedTuple):
    """A value that gave way.

    Attributes:
      now: what the option has become.
      then: what a recipe or the default had set.
      reason: a few words.
    """

    now: Any
    then: Any
    reason: str


def batch_sizes(
    config: config_lib.Config,
    images: int,
    replicas: int,
    *,
    not_by_hand: Collection[str],
    record: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Change]:
    """Finds the batch sizes that exceed the training images and may give way.

    >>> batch_sizes(config_lib.Config(), 200, 1, not_by_hand=["linear_batch_size"])
    {'linear_batch_size': Change(now=128, then=256, reason='there are 200 training images')}

    Args:
      config: the options, with all else that the images decide.
      images: number of training images.
      replicas: number of replicas, which share each batch equally.
      not_by_hand: names of options that may give way.
      record: the record of the run that is resumed, which keeps its batch sizes; None for a new run.

    Returns:
      Option name → change. An option for which no batch is small enough is left out, and rejected later.
    """
    found = {}
    for stage in config_lib.TRAINING_STAGES:
        name, size = config_lib.name_in_stage(stage, "batch_size"), config.stage(stage).batch_size
        if name not in not_by_hand or labelled(config, stage, size, replicas) <= images:
            continue
        if stage == "linear" and (config.run.mode == "ce" or config.training.linear_solver == "lbfgs"):
            continue  # it has no effect
        fitting = _largest(config, stage, images, replicas) if record is None else record[name]
        if fitting is not None and fitting != size:
            found[name] = Change(fitting, size, f"there are {images:,} training images")
    return found


def _largest(config: config_lib.Config, stage: str, images: int, replicas: int) -> Optional[int]:
    """Returns the largest batch that fits, a power of two times what shares it; None if there is none."""
    unit = replicas
    if stage == "pretrain":
        unit = math.lcm(replicas * (config.training.microbatch_size or 1), number_or_one(config.data.classes_per_batch))
    sizes = [unit << power for power in range(config.stage(stage).batch_size.bit_length())]
    return max((size for size in sizes if labelled(config, stage, size, replicas) <= images), default=None)


def number_or_one(classes_per_batch: Union[int, str, None]) -> int:
    """Returns the number of classes that a batch must be a multiple of; 1 where it is free."""
    return classes_per_batch if isinstance(classes_per_batch, int) else 1


def labelled(config: config_lib.Config, stage: str, size: int, replicas: int) -> int:
    """Returns the number of images in a batch that are not among the unlabelled ones."""
    share = size // replicas
    if stage == "linear" or config.data.unlabelled is None or share < 2:
        return size
    return size - replicas * min(max(round(config.data.unlabelled_share * share), 1), share - 1)
