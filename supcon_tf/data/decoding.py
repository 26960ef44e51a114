"""Decodes images, and stops at images that cannot be decoded or skips them."""

import sys
import threading
from typing import Dict, Optional, Tuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.data import folder, pixels, records
from supcon_tf.data.load import ImageData

GREY = 128
SMALL = 8  # side in pixels of the grey image that replaces a bad one whose size is unknown
# Names of ops in the messages of TensorFlow's decoder.
DECODERS = ("decodeimage", "decode_image", "decodejpeg", "decodepng", "extractjpegshape", "extract_jpeg_shape")


class BadImages:
    """Collects the images that this process could not decode and skipped. Names each on stderr once."""

    def __init__(self) -> None:
        self._seen: Dict[Tuple[str, str, int], None] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, name: str, split: str, index: int) -> None:
        """Prints the example `index` of a split of the data set `name`, unless it was printed before."""
        with self._lock:
            if (name, split, index) not in self._seen:
                self._seen[name, split, index] = None
                print(
                    f"Skipped example {index} of '{split}' of {name}: it cannot be decoded", file=sys.stderr, flush=True
                )

    def report(self) -> None:
        """Prints the number of skipped images on stderr, if there are any."""
        if self._seen:
            print(f"Images that cannot be decoded, skipped: {len(self):,}", file=sys.stderr, flush=True)


@tf.autograph.experimental.do_not_convert
def decode(data: ImageData, encoded: tf.Tensor, channels: Optional[int] = None) -> tf.Tensor:
    """Decodes an image, the same way as the exported model.

    The images of a folder were checked when it was prepared, and images of one size need no check.

    Args:
      data: the data set.
      encoded: content of the image file, a scalar string.
      channels: 1 or 3; None for the number that the data set has.

    Returns:
      uint8 `[height, width, channels]`.
    """
    height, width, own_channels = data.image_shape
    checked = not isinstance(data.builder, folder.Folder) and None in (height, width)
    image = pixels.decode_image(encoded, own_channels, checked=checked)
    if channels == 1 and own_channels == 3:
        return tf.image.rgb_to_grayscale(image)
    if channels == 3 and own_channels == 1:
        return tf.image.grayscale_to_rgb(image)
    return image


@tf.autograph.experimental.do_not_convert
def decode_or_skip(
    data: ImageData,
    encoded: tf.Tensor,
    label: tf.Tensor,
    *,
    bad_images: Optional[BadImages],
    split: str,
    index: tf.Tensor,
    channels: Optional[int] = None,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Decodes an image, or replaces it by a grey, unlabelled one if it cannot be decoded.

    The replacement keeps the other images at their places. An unlabelled image has no weight, except in the contrastive
    loss, where it is one more negative.

    Args:
      data: the data set.
      encoded: content of the image file, a scalar string.
      label: its label, as from `records.parse`.
      bad_images: collects images that are replaced; None to raise TensorFlow's error instead.
      split, index: position of the example, to name it.
      channels: 1 or 3; None for the number that the data set has.

    Returns:
      Image, uint8 `[height, width, channels]`, and label.
    """
    if bad_images is None:
        return decode(data, encoded, channels), label
    image, is_good = _try_to_decode(data, encoded, channels)
    name = data.builder.info.full_name

    def note(bad: np.ndarray) -> np.int32:
        bad_images.note(name, split, int(bad))
        return np.int32(-1)

    def unlabelled() -> tf.Tensor:
        return tf.fill(label.shape, tf.ensure_shape(tf.numpy_function(note, [index], tf.int32), []))

    label = tf.cond(is_good, lambda: label, unlabelled)
    return image, label


def _try_to_decode(data: ImageData, encoded: tf.Tensor, channels: Optional[int] = None) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the image and True, or a grey image and False."""
    channels = channels or data.image_shape[2]
    # Only a tf.data data set, here of one image, lets a graph continue after an op has failed.
    images = tf.data.Dataset.from_tensors(encoded).map(lambda content: (decode(data, content, channels), True))
    height, width, _ = data.image_shape
    nothing = tf.fill([1, height or SMALL, width or SMALL, channels], tf.constant(GREY, tf.uint8)), tf.constant([False])
    images = images.ignore_errors().batch(1).concatenate(tf.data.Dataset.from_tensors(nothing)).take(1)
    image, is_good = images.get_single_element()
    return tf.ensure_shape(image[0], [None, None, channels]), is_good[0]


def is_about_decoding(error: Exception) -> bool:
    """Returns whether the error may come from TensorFlow's image decoder."""
    return isinstance(error, tf.errors.InvalidArgumentError) and any(op in str(error).lower() for op in DECODERS)


def find_bad_image(data: ImageData, split: str) -> Optional[Tuple[int, str]]:
    """Finds an image of the split that cannot be decoded, by decoding one after the other.

    Returns:
      Its index and its file's name, which is empty if the data set has no names; None if all images can be decoded.
    """

    @tf.autograph.experimental.do_not_convert
    def with_success(index: tf.Tensor, record: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return index, record, _try_to_decode(data, records.parse(data, record)[0])[1]

    examples = records.read(records.columns(records.file_parts(data, split)))
    examples = examples.map(with_success, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    features = data.builder.info.features
    for index, record, _ in examples.filter(lambda index, record, is_good: not is_good).take(1):
        example = features.deserialize_example(record, decoders={data.image_key: tfds.decode.SkipDecoding()})
        return int(index), tf.compat.as_str(example["file_name"].numpy()) if "file_name" in features else ""
    return None
