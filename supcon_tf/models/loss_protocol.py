"""Describes what `ContrastiveModel` reads from its loss, and connects the loss with the model.

Any `keras.losses.Loss` will do that maps labels `[batch]` and projections `[batch, views, dim]` to `[batch]`.
It may have the attributes of the protocols below too.
"""

from typing import Any, Callable, Dict, Optional, Protocol, Tuple, cast, runtime_checkable

import tensorflow as tf

from supcon_tf.errors import ArgumentError


@runtime_checkable
class HasTemperature(Protocol):
    """A loss that divides similarities by a temperature."""

    temperature: Any  # a number, or a function that returns a scalar, such as `ContrastiveModel.temperature`


@runtime_checkable
class HasMemory(Protocol):
    """A loss that compares anchors with past projections too."""

    memory: Any  # a function that returns them, such as `ContrastiveModel.memory`; None for none


@runtime_checkable
class TakesDistributions(Protocol):
    """A loss that says which labels it takes. Any other loss takes class numbers."""

    takes_distributions: bool  # True: distributions `[batch, classes]`; False: class numbers `[batch]`


@runtime_checkable
class HasScale(Protocol):
    """A loss whose values are not those of its equation."""

    scale: Any  # the factor between the two: a number or a scalar


@runtime_checkable
class HasDiagnostics(Protocol):
    """A loss that returns further figures to report."""

    DIAGNOSTICS: Tuple[str, ...]  # their names

    def diagnostics(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Returns scalars by name from labels and projections."""


def takes_distributions(loss: object) -> bool:
    """Tells whether the loss takes labels `[batch, classes]`."""
    return isinstance(loss, TakesDistributions) and loss.takes_distributions


def check_connected(
    loss: object, temperature: Optional[Callable[[], Any]], memory: Optional[Callable[[], Any]]
) -> None:
    """Checks that the loss reads the temperature that a model learns, and the model's queue.

    Args:
      loss: what the model is compiled with.
      temperature: the model's; None where none is learned.
      memory: the model's; None without a queue.

    Raises:
      ArgumentError: the loss does not read one of the two, or takes soft labels, which the queue does not keep.
    """
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or type(loss).__name__
    if temperature is not None and not (isinstance(loss, HasTemperature) and loss.temperature == temperature):
        problem = "does not read the temperature that the model learns; its attribute 'temperature' must be "
        raise ArgumentError(
            "loss", name, f"{problem}model.temperature, as in SupConLoss(temperature=model.temperature)"
        )
    if memory is not None and not (isinstance(loss, HasMemory) and loss.memory == memory):
        problem = "does not read the model's queue; its attribute 'memory' must be model.memory, as in "
        raise ArgumentError("loss", name, f"{problem}SupConLoss(memory=model.memory)")
    if memory is not None and takes_distributions(loss):
        raise ArgumentError("loss", name, "takes soft labels, but the model's queue keeps class numbers; use no queue")


def connect(loss: object, temperature: Optional[Callable[[], Any]], memory: Optional[Callable[[], Any]]) -> None:
    """Lets a loss that was loaded from a file read the model's temperature and queue; None leaves it unchanged."""
    if temperature is not None:
        cast(HasTemperature, loss).temperature = temperature
    if memory is not None:
        cast(HasMemory, loss).memory = memory


def watched_figures(loss: object) -> Tuple[str, ...]:
    """Returns the names of the figures that `watch` returns: none for a loss without diagnostics."""
    return ("unscaled_loss", *loss.DIAGNOSTICS) if isinstance(loss, HasDiagnostics) else ()


def watch(
    loss: object, value: tf.Tensor, loss_weight: float, labels: tf.Tensor, projections: tf.Tensor
) -> Dict[str, tf.Tensor]:
    """Returns the figures that show how training goes, float32 scalars by name.

    Args:
      loss: the model's loss.
      value: what it returned for this batch, times the loss weight.
      loss_weight: the factor that the model was compiled with.
      labels: `[batch]`, or `[batch, classes]` for a loss that takes distributions.
      projections: `[batch, views, dim]`.
    """
    if not isinstance(loss, HasDiagnostics):
        return {}
    scale = loss.scale if isinstance(loss, HasScale) else 1.0
    unscaled = value / (scale * loss_weight)
    return {"unscaled_loss": unscaled, **loss.diagnostics(labels, projections)}
