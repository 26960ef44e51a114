"""The embedded data set 'digits': 1,797 handwritten digits that come with scikit-learn."""

import hashlib
from typing import Any, Dict, Iterator, Tuple

import numpy as np
import tensorflow_datasets as tfds

TEST_IMAGES = 400
VALIDATION_IMAGES = 200


class Digits(tfds.core.GeneratorBasedBuilder):
    """Grey images `[8, 8, 1]` of ten classes: 1,197 for training, 200 for validation, 400 for the test.

    Downloads nothing. An image's split depends on the pixels of all images alone; see `stratified_order`.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Optical recognition of handwritten digits, 8x8 pixels, as distributed with scikit-learn.",
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Dict[str, Iterator[Any]]:
        del dl_manager
        from sklearn import datasets  # takes half a second to import, and is needed only here

        digits = datasets.load_digits()
        # Grey levels 0..16 become 0..255, rounded.
        images = ((digits.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)[..., np.newaxis]
        order = stratified_order(images, digits.target)
        test, validation, train = np.split(order, [TEST_IMAGES, TEST_IMAGES + VALIDATION_IMAGES])
        return {
            "train": self._generate_examples(images, digits.target, train),
            "validation": self._generate_examples(images, digits.target, validation),
            "test": self._generate_examples(images, digits.target, test),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray
    ) -> Iterator[Tuple[int, Dict[str, Any]]]:
        for i in chosen:
            yield int(i), {"image": images[i], "label": int(labels[i])}


def stratified_order(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Orders the images so that every stretch of the order has the classes in proportion.

    The images of a class are ranked by the SHA-256 of their pixels. The k-th of n gets the place (k + 1/2) / n. Images
    are ordered by place, then by label. The order is as good as random, and equal on all machines.

    Args:
      images: uint8 `[images, height, width, channels]`.
      labels: integers `[images]`.

    Returns:
      Indices `[images]` into both.
    """
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    place = np.empty(len(images))
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label), key=digests.__getitem__)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((labels, place))
