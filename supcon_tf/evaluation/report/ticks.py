"""Round numbers for the ticks of an axis."""

import math
from typing import List

MOST_TICKS = 6


def ticks(low: float, high: float, *, whole: bool = False) -> List[float]:
    """Returns two to six round numbers, evenly spaced, from at most `low` to at least `high`.

    >>> ticks(0.1, 0.96)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]

    If there is one value only, the axis reaches from it to 0; if this value is 0, from 0 to 1.

    Args:
      low, high: smallest and largest value on the axis.
      whole: whether only whole numbers make sense.
    """
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or (1.0 if low == 0 else 0.0)
    magnitude = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    for factor in (1, 2, 5, 10, 20, 50):
        space = max(1.0, magnitude * factor) if whole else magnitude * factor
        first, last = math.floor(low / space + 1e-9), math.ceil(high / space - 1e-9)
        if last - first < MOST_TICKS:
            break
    return [float(f"{number * space:.12g}") for number in range(first, last + 1)]
