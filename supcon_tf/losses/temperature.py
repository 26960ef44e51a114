"""The temperature τ, fixed or learned."""

import numbers
from typing import Any, Callable, Union

import tensorflow as tf

from supcon_tf.errors import NAME_ONLY, ArgumentError, check_number

# A number, a scalar tensor or variable, or a function that returns one of these at each evaluation of the loss.
Temperature = Union[float, tf.Tensor, tf.Variable, Callable[[], Any]]


@tf.autograph.experimental.do_not_convert
def check_temperature(temperature: Temperature) -> None:
    """Raises ArgumentError unless the temperature is a positive number, a tensor, a variable or a function."""
    if isinstance(temperature, numbers.Real) and not isinstance(temperature, bool):
        check_number("temperature", temperature, above=0)
    elif not callable(temperature) and not hasattr(temperature, "shape"):
        raise ArgumentError("temperature", temperature, "must be a number, a tensor or a function")


def temperature_now(temperature: Temperature) -> Union[float, tf.Tensor]:
    """Returns the present τ: a number if it is fixed, otherwise a scalar float32 tensor."""
    value = temperature() if callable(temperature) else temperature
    if isinstance(value, numbers.Real):
        return float(value)
    value = tf.cast(value, tf.float32)
    if value.shape.rank != 0:
        raise ArgumentError("temperature", NAME_ONLY, f"must be a scalar, not of shape {value.shape}")
    return value
