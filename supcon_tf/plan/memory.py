"""Chooses microbatches where a training step would need more memory than the devices have."""

import math
import sys
from typing import Dict, NamedTuple, Optional

import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import distribute
from supcon_tf.data import memory
from supcon_tf.plan.fits import fits
from supcon_tf.plan.make import plan_of_pretraining
from supcon_tf.plan.stage import total
from supcon_tf.run.context import Experiment
from supcon_tf.run.decide import Decision

USABLE = 0.6  # share of the free memory that a step may take; the plan counts no copies that frameworks make
# More bytes than a view takes for each of its pixels. By the plan, ResNet-50 takes 1,800 at 224 pixels, and 27,000 at
# 32 with a small stem. A wider encoder takes more in proportion. Below it nothing is counted.
BYTES_PER_PIXEL = 40_000


class Room(NamedTuple):
    """Says whether a step of the stage 'pretrain' fits.

    Attributes:
      needed: bytes that it takes on one replica.
      free: bytes that a replica may take.
      microbatch_size: largest number of images at a time with which it fits; None if it does not, or if all fit.
      batch_size: largest batch with which it fits; None if none does.
    """

    needed: float
    free: float
    microbatch_size: Optional[int] = None
    batch_size: Optional[int] = None


def room_for(experiment: Experiment, free: Optional[float] = None) -> Optional[Room]:
    """Estimates the memory of a step before it is taken.

    Args:
      experiment: a run that trains an encoder.
      free: bytes that a replica may take; None to ask the devices.

    Returns:
      None where a step surely fits, or where the devices do not tell.
    """
    config, replicas = experiment.config, experiment.strategy.num_replicas_in_sync
    free = usable_bytes(experiment.strategy) if free is None else free
    views = config.augment.num_views if config.run.mode != "ce" else 1
    at_a_time = config.training.microbatch_size or config.pretrain.batch_size / replicas
    height, width, _ = experiment.image_shape
    at_most = at_a_time * views * height * width * BYTES_PER_PIXEL * max(config.model.encoder_width, 1)
    if free is None or at_most <= free:
        return None
    plan = plan_of_pretraining(config, experiment.images, experiment.unlabelled, replicas)
    if total(plan.memory) <= free:
        return None
    room = Room(total(plan.memory), free)
    for fit in fits(plan, free):
        if fit.options.keys() == {"microbatch_size"}:
            room = room._replace(microbatch_size=int(fit.options["microbatch_size"]))
        elif "microbatch_size" not in fit.options:
            room = room._replace(batch_size=int(fit.options["batch_size"]))
    return room


def usable_bytes(strategy: tf.distribute.Strategy) -> Optional[float]:
    """Returns the bytes that a step of one replica may take; None where that is not known, as on TPUs."""
    if distribute.has_accelerators(strategy):
        limit = distribute.accelerator_bytes(strategy)
        return None if limit is None else USABLE * limit
    available = memory.available_bytes()
    return None if available is None else USABLE * available / len(strategy.extended.worker_devices)


def fit_into_memory(experiment: Experiment, *, may_change: bool) -> Dict[str, Decision]:
    """Returns the size of microbatches that makes a step fit, as option name → value and reason; nothing if all fits.

    Prints a warning where a step seems too large and is left so. The estimate may be wrong, so nothing is refused. All
    workers must call it. They get the same answer, that of the worker with the least memory.

    Args:
      experiment: a run that trains an encoder.
      may_change: whether microbatches may be chosen. They change the statistics of batch normalisation.
    """
    config = experiment.config
    share = config.pretrain.batch_size // experiment.strategy.num_replicas_in_sync
    room = room_for(experiment)
    size = share if room is None or not may_change else room.microbatch_size or share
    (negated,) = distribute.all_reduce_max(experiment.strategy, [-size])
    if -negated < share:
        reason = "memory: a step of the whole batch" + (f" needs about {gigabytes(room.needed)}" if room else "")
        return {"microbatch_size": Decision(-negated, reason)}
    if room is not None and experiment.chief:
        print(_too_large(room), file=sys.stderr, flush=True)
    return {}


def _too_large(room: Room) -> str:
    """Returns a warning about a step that does not fit."""
    text = f"Warning: a step needs about {gigabytes(room.needed)} of memory, of about {gigabytes(room.free)}"
    sizes = {"microbatch_size": room.microbatch_size, "batch_size": room.batch_size}
    fitting = [config_lib.as_flag(name, value) for name, value in sizes.items() if value is not None]
    return f"{text}; {' or '.join(fitting) or 'a smaller image size or encoder'} would fit"


def gigabytes(size: float) -> str:
    """Returns a number of bytes in GB, with two digits that matter.

    >>> gigabytes(12.3e9), gigabytes(1.26e9), gigabytes(4e7)
    ('12 GB', '1.3 GB', '0.040 GB')
    """
    value = size / 1e9
    digits = max(1 - math.floor(math.log10(value)), 0) if value > 0 else 0
    return f"{value:.{digits}f} GB".replace(".0 GB", " GB")
