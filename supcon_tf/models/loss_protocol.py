"""What `ContrastiveModel` asks of its loss.

Any `keras.losses.Loss` will do that maps labels `[batch]` and projections `[batch, views, dim]` to `[batch]`.
It may also have the attributes of `ContrastiveLoss`, whose comments state the defaults of a loss that lacks them.
"""

from typing import Any, Callable, Dict, Protocol, Tuple

import tensorflow as tf


class ContrastiveLoss(Protocol):
    """The attributes of a loss that the model reads. All are optional."""

    # The model sets these two on a loss that it loads from a file, if it learns a temperature or has a queue.
    temperature: Any  # a number, or a function that returns a scalar; default: the loss has no temperature
    memory: Any  # a function that returns past projections, see `MemoryQueue.contents`; default: the loss takes none

    takes_distributions: bool  # labels are distributions `[batch, classes]`; default: class numbers `[batch]`
    scale: Any  # factor between the equation and what the loss returns, a number or a scalar; default: 1
    DIAGNOSTICS: Tuple[str, ...]  # names of what `diagnostics` returns; default: none
    diagnostics: Callable[[tf.Tensor, tf.Tensor], Dict[str, tf.Tensor]]  # labels, projections → scalars to report


def takes_distributions(loss: Any) -> bool:
    """Tells whether the loss takes labels `[batch, classes]`."""
    return bool(getattr(loss, "takes_distributions", False))


def takes_memory(loss: Any) -> bool:
    """Tells whether the loss was given a queue of past projections."""
    return getattr(loss, "memory", None) is not None


def watched_figures(loss: Any) -> Tuple[str, ...]:
    """Returns the names of the figures that `watch` returns: none for a loss without diagnostics."""
    return ("unscaled_loss", *loss.DIAGNOSTICS) if hasattr(loss, "diagnostics") else ()


def watch(
    loss: Any, value: tf.Tensor, loss_weight: float, labels: tf.Tensor, projections: tf.Tensor
) -> Dict[str, tf.Tensor]:
    """Returns the figures that show how training goes, float32 scalars by name.

    Args:
      loss: the model's loss.
      value: what it returned for this batch, times the loss weight.
      loss_weight: the factor that the model was compiled with.
      labels: `[batch]`, or `[batch, classes]` for a loss that takes distributions.
      projections: `[batch, views, dim]`.
    """
    if not watched_figures(loss):
        return {}
    unscaled = value / (getattr(loss, "scale", 1.0) * loss_weight)
    return {"unscaled_loss": unscaled, **loss.diagnostics(labels, projections)}
