"""The precision that layers compute in."""

import contextlib
from typing import Iterator

from tensorflow import keras


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Gives layers that are created in this context a precision. Afterwards Keras' global policy is the earlier one.

    >>> with precision_policy("bfloat16"):
    ...     layer = keras.layers.Dense(2)
    >>> layer.compute_dtype, layer.variable_dtype
    ('bfloat16', 'float32')

    Args:
      precision: 'float32', 'bfloat16' or 'float16', in which layers compute. Their variables are always float32.
    """
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
