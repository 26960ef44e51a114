"""Looks at the images of a data set before training: number, classes, sizes and kind."""

import collections
import io
import statistics
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import PIL.Image
import tensorflow as tf

from supcon_tf.data import folder
from supcon_tf.data.load import ImageData

SAMPLE = 256  # number of files whose size is read
DRAWN_SAMPLE = 12  # number of files whose pixels are looked at
TINY = 64  # longest side in pixels of a tiny image
FLAT = 0.5  # share of pixels that equal their left neighbour, above which an image counts as drawn


class Look(NamedTuple):
    """Holds what is known of the images before training.

    Attributes:
      images: number of training images.
      class_sizes: number of training images of each class; empty where that is not known without reading them all.
      side: median of the longer sides in pixels; None if unknown.
      smallest, largest: smallest and largest longer side that was found; None if unknown.
      kind: 'tiny', 'drawn' or 'photograph'.
      formats: names of the formats that were found, the most frequent first.
    """

    images: int
    class_sizes: Tuple[int, ...]
    side: Optional[int]
    smallest: Optional[int]
    largest: Optional[int]
    kind: str
    formats: Tuple[str, ...] = ()


def look_at(data: ImageData, images: int) -> Look:
    """Looks at a data set. Reads the headers of up to `SAMPLE` files of a folder, but no file of other data sets.

    Args:
      data: the data set, which need not be prepared.
      images: number of images to train on.
    """
    height, width, _ = data.image_shape
    if height is not None and width is not None:
        side = max(height, width)
        return Look(images, (), side, side, side, "tiny" if side <= TINY else "photograph")
    if not isinstance(data.builder, folder.Folder):
        return Look(images, (), None, None, None, "photograph")
    skipped = {name for name, _ in data.builder.info.metadata["skipped"]}
    files = [file for file in data.builder.builder_config.splits["train"] if file.name not in skipped]
    headers = list(filter(None, (_header(file.path) for file in _spread(files, SAMPLE))))
    sides = sorted(side for side, _ in headers)
    formats = tuple(name for name, _ in collections.Counter(name for _, name in headers).most_common())
    counts = [sum(file.label == name for file in files) for name in data.class_names]
    if not sides:
        return Look(images, tuple(counts), None, None, None, "photograph")
    side = int(statistics.median_high(sides))
    kind = "tiny" if side <= TINY else "drawn" if _are_drawn(files) else "photograph"
    return Look(images, tuple(counts), side, sides[0], sides[-1], kind, formats)


def _spread(files: Sequence, count: int) -> List:
    """Returns at most `count` of the files, evenly spread over all."""
    step = max(len(files) / count, 1)
    return [files[int(number * step)] for number in range(min(len(files), count))]


def _header(path: str) -> Optional[Tuple[int, str]]:
    """Returns the longer side of an image and its format from its file's header; None if that cannot be read."""
    try:
        with tf.io.gfile.GFile(path, "rb") as stream, PIL.Image.open(stream) as image:
            return max(image.size), str(image.format)
    except Exception:  # Pillow's readers raise errors of many kinds; preparation names such a file
        return None


def _are_drawn(files: Sequence) -> bool:
    """Returns whether most of some images have large areas of one colour, which a camera's noise does not leave."""
    shares = []
    for file in _spread(files, DRAWN_SAMPLE):
        try:
            with tf.io.gfile.GFile(file.path, "rb") as stream:
                image = PIL.Image.open(io.BytesIO(stream.read()))
                if max(image.size) > 4096:
                    continue  # takes long to decode
                pixels = np.asarray(image.convert("RGB"))
        except Exception:
            continue
        shares.append(float(np.mean(np.all(pixels[:, 1:] == pixels[:, :-1], axis=-1))))
    return bool(shares) and statistics.median(shares) > FLAT
