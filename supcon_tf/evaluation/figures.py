"""Turns what evaluators return into plain numbers, lists and dicts, which JSON can hold."""

from typing import Any, Mapping

import numpy as np
import tensorflow as tf


def plain(name: str, value: Any) -> Any:
    """Returns a figure as Python's own numbers, strings, lists and dicts.

    >>> import numpy as np
    >>> plain("knn", {"top1": np.float32(0.5), "k": np.int64(20), "by_class": np.array([1.0, 0.0])})
    {'top1': 0.5, 'k': 20, 'by_class': [1.0, 0.0]}

    Args:
      name: what the figure is called, for the error.
      value: a number, truth value, string or None; an array or tensor of these; or a list or dict of figures.

    Raises:
      TypeError: the value is anything else, for example a set, or a tensor of a graph.
    """
    if isinstance(value, tf.Tensor) and hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, Mapping):
        return {str(key): plain(f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(name, inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}={value!r}: a figure must be a number, text, an array, or a list or dict of these")
