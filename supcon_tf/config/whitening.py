"""The constants that whiten images."""

from typing import NamedTuple, Tuple


class Whitening(NamedTuple):
    """Channel means and standard deviations of images scaled to [-1, 1]; one number stands for all channels."""

    mean: Tuple[float, ...]
    std: Tuple[float, ...]


NO_WHITENING = Whitening((0.0,), (1.0,))
