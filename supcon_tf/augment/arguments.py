"""Checks of arguments that several functions of this room share."""

from typing import Any, Optional, Sequence

import tensorflow as tf

from supcon_tf.errors import NAME_ONLY, ArgumentError

DEVICE_STEPS = ("jitter", "grey", "blur")  # the steps that the device can take


def check_steps(argument: str, steps: Any) -> None:
    """Raises ArgumentError unless all steps are ones that the device can take.

    >>> check_steps("steps", ["grey", "crop"])
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: steps=['grey', 'crop']: must be a list with elements from jitter, grey, blur
    """
    if isinstance(steps, str) or not hasattr(steps, "__iter__") or not set(steps) <= set(DEVICE_STEPS):
        raise ArgumentError(argument, steps, f"must be a list with elements from {', '.join(DEVICE_STEPS)}")


def check_shape(argument: str, tensor: tf.Tensor, shape: Sequence[Optional[int]], names: str) -> None:
    """Raises ArgumentError if a tensor cannot have this shape; None stands for any length, `names` for the message."""
    if not tf.TensorShape(tensor.shape).is_compatible_with(shape):
        raise ArgumentError(argument, NAME_ONLY, f"must be {names}, not of shape {tensor.shape}")
