"""Reads the option `budget`: a time such as '10m', or a number of epochs such as '100epochs'."""

import re
from typing import NamedTuple, Optional

from supcon_tf.errors import ArgumentError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Budget(NamedTuple):
    """Holds `seconds` of the whole run, or `epochs` of the stage 'pretrain'; the other is None."""

    seconds: Optional[float] = None
    epochs: Optional[int] = None


def parse_budget(text: str) -> Budget:
    """Returns the budget that a text stands for.

    >>> parse_budget("1.5h"), parse_budget("100epochs")
    (Budget(seconds=5400.0, epochs=None), Budget(seconds=None, epochs=100))

    Raises:
      ArgumentError: it stands for none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d|epochs?)", text)
    number = float(match[1]) if match else 0.0
    if match is None or not number or (match[2].startswith("epoch") and number != int(number)):
        raise ArgumentError("budget", text, "must be a time or a number of epochs, such as 10m, 1h or 100epochs")
    if match[2].startswith("epoch"):
        return Budget(epochs=int(number))
    return Budget(seconds=number * SECONDS[match[2]])
