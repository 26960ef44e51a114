"""Finds held-out images that look like training images: scaled, compressed again, brighter or with more contrast."""

from typing import Dict, List, NamedTuple, Sequence

import numpy as np
import PIL.Image

SIDE = 16  # of a thumbnail in pixels
ALIKE = 0.995  # correlation of the grey levels of two thumbnails from which images look alike
FLAT = 4.0  # standard deviation in grey levels below which a thumbnail shows nothing
TILE = 2048  # number of images of either side that are compared at a time
MOST_PAIRS = 4 * 10**9  # more are not compared, which would take minutes


class Thumbnail(NamedTuple):
    """An image in small: its file's name and grey levels `[SIDE, SIDE]` uint8."""

    name: str
    grey: np.ndarray


def thumbnail(image: PIL.Image.Image) -> np.ndarray:
    """Returns the averages of an image's grey levels, `[SIDE, SIDE]` uint8."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), PIL.Image.Resampling.BOX))


def look_alikes(held_out: Sequence[Thumbnail], trained_on: Sequence[Thumbnail]) -> Dict[str, str]:
    """Returns name of a held-out image → name of the training image that looks most like it, if it looks alike.

    Images look alike if the grey levels of their thumbnails have a correlation of `ALIKE` or more. Flat images are left
    out, as they all look alike. Returns nothing for more than `MOST_PAIRS` pairs.
    """
    held_out, trained_on = _with_content(held_out), _with_content(trained_on)
    if not held_out or not trained_on or len(held_out) * len(trained_on) > MOST_PAIRS:
        return {}
    best, nearest = np.zeros(len(held_out)), np.zeros(len(held_out), np.int64)
    for first in range(0, len(trained_on), TILE):
        others = _features(trained_on[first : first + TILE])
        for start in range(0, len(held_out), TILE):
            part = slice(start, start + TILE)
            correlations = _features(held_out[part]) @ others.T
            largest = correlations.max(axis=1)
            nearest[part] = np.where(largest > best[part], first + correlations.argmax(axis=1), nearest[part])
            best[part] = np.maximum(largest, best[part])
    return {held_out[i].name: trained_on[nearest[i]].name for i in np.flatnonzero(best >= ALIKE)}


def _with_content(thumbnails: Sequence[Thumbnail]) -> List[Thumbnail]:
    return [one for one in thumbnails if np.std(one.grey) >= FLAT]


def _features(thumbnails: Sequence[Thumbnail]) -> np.ndarray:
    """Returns grey levels of mean 0 and length 1, `[images, SIDE²]` float32; their products are correlations."""
    greys = np.stack([one.grey for one in thumbnails]).reshape(len(thumbnails), -1).astype(np.float32)
    greys -= greys.mean(axis=1, keepdims=True)
    return greys / np.linalg.norm(greys, axis=1, keepdims=True)
