"""Sizes of batch and microbatch with which a stage fits into the memory of a device."""

import contextlib
import dataclasses
import itertools
from typing import Dict, Iterator, List, NamedTuple, Optional

from supcon_tf import config as config_lib
from supcon_tf.errors import UserError
from supcon_tf.plan.stage import StagePlan, total

SMALLEST_MICROBATCH = 8  # images whose batch statistics still say something; fewer only where nothing else fits


class Fit(NamedTuple):
    """Sizes with which a stage fits, as option name → value, and the plan with them."""

    options: Dict[str, float]
    plan: StagePlan


def fits(plan: StagePlan, memory: float) -> List[Fit]:
    """Finds the nearest sizes with which a step takes at most `memory` bytes.

    In the contrastive stage the largest batch in microbatches comes first: the whole batch, or a smaller one. Then, as
    always in the other stages, comes the largest batch that passes the encoder at once. Smaller batches have a power of
    two of images on each replica, and their learning rate is proportional to their size (Goyal et al. 2017).

    Returns:
      At most two; none where no batch fits.
    """
    powers = (2**power for power in range(plan.share.bit_length() - 1, -1, -1))
    batches = [plan.batch_size, *(power * plan.replicas for power in powers if power < plan.share)]
    found: List[Fit] = []
    if plan.contrastive:
        for smallest in (SMALLEST_MICROBATCH, 1):
            in_microbatches = (fit for batch in batches for fit in _in_microbatches(plan, batch, smallest))
            found = found or _first_within(in_microbatches, memory)
    if plan.microbatch_size is None:
        found += _first_within((fit for batch in batches for fit in _with_sizes(plan, batch, None)), memory)
    return found


def _first_within(candidates: Iterator[Fit], memory: float) -> List[Fit]:
    """Returns the first candidate that takes at most `memory` bytes, in a list; an empty list if there is none."""
    return list(itertools.islice((fit for fit in candidates if total(fit.plan.memory) <= memory), 1))


def _in_microbatches(plan: StagePlan, batch: int, smallest: int) -> Iterator[Fit]:
    """Yields the batch with each microbatch size that divides it and does not exceed the plan's, largest first."""
    share = batch // plan.replicas
    for size in range(min(share - 1, plan.microbatch_size or share), smallest - 1, -1):
        if share % size == 0:
            yield from _with_sizes(plan, batch, size)


def _with_sizes(plan: StagePlan, batch: int, microbatch: Optional[int]) -> Iterator[Fit]:
    """Yields the stage with these sizes, or nothing where other options do not allow them."""
    values: Dict[str, float] = {}
    if batch != plan.batch_size:
        values[config_lib.name_in_stage(plan.stage, "batch_size")] = batch
        if not plan.config.training.scale_learning_rate:
            rate = plan.config.stage(plan.stage).learning_rate * batch / plan.batch_size
            values[config_lib.name_in_stage(plan.stage, "learning_rate")] = float(f"{rate:.4g}")
    if microbatch is not None:
        values["microbatch_size"] = microbatch
    config = config_lib.from_values({**config_lib.values(plan.config), **values})
    with contextlib.suppress(UserError):
        steps = plan.steps_of(config)
        yield Fit(values, dataclasses.replace(plan, config=config, steps=steps, microbatch_size=microbatch))
