"""The images that a run trains on: a choice from the data set, label noise, and caching in memory."""

import dataclasses
import functools
from typing import Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from supcon_tf.data import memory, records, sampling, splits
from supcon_tf.data.decoding import BadImages
from supcon_tf.data.load import ImageData

CACHE_SHARE = 4  # encoded images may take a fourth of the available memory
CACHE_BYTES = 1 << 30  # limit if the system does not say how much memory is available


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images to train on. A position counts these images from 0; an index counts all examples of the split.

    Attributes:
      data: the data set.
      max_examples: number of images to keep, stratified by class; the first ones if an image may have several classes;
        None to keep all.
      left_out: indices of images not to train on; used if `max_examples` is None.
      label_noise: share of the images whose label is replaced by another class.
      seed: seed of the run, which decides the label noise.
      cache: 'memory' to keep the encoded images in memory, 'off' to read them from files, or 'auto' to decide by size.
      bad_images: collects images that cannot be decoded and are skipped; None to stop at such an image.
    """

    data: ImageData
    max_examples: Optional[int] = None
    left_out: Sequence[int] = ()
    label_noise: float = 0.0
    seed: int = 0
    cache: str = "auto"
    bad_images: Optional[BadImages] = None

    @property
    def size(self) -> int:
        """Number of images."""
        images = self.data.num_examples(self.data.train_split) - len(self.left_out)
        return images if self.max_examples is None else min(images, self.max_examples)

    @property
    def bytes(self) -> int:
        """Approximate size of the encoded images in bytes."""
        info = self.data.builder.info
        return max(int(info.dataset_size) * self.size // max(info.splits.total_num_examples, 1), 1)

    @functools.cached_property
    def index(self) -> records.Index:
        """Index of the whole split, read when first used."""
        return records.read_index(self.data, self.data.train_split)

    @functools.cached_property
    def kept(self) -> Optional[np.ndarray]:
        """Indices of the images, ascending; None for the whole split."""
        if len(self.left_out):
            return np.setdiff1d(np.arange(self.data.num_examples(self.data.train_split)), self.left_out)
        if self.max_examples is None or self.max_examples >= self.data.num_examples(self.data.train_split):
            return None
        if self.data.multi_label:
            return np.arange(self.max_examples)
        return sampling.stratified_subset(self.index.labels, self.max_examples)

    def taken(self, split: str) -> np.ndarray:
        """Returns the positions in a whole split of the images for training, validation or evaluation."""
        builder = self.data.builder
        trained_on = splits.positions(builder, self.data.train_split, split)
        if self.kept is not None:
            trained_on = trained_on[self.kept]
        held_out = [
            splits.positions(builder, spec, split) for spec in (self.data.validation_split, self.data.eval_split)
        ]
        taken = np.unique(np.concatenate([trained_on, *held_out]))
        return taken[taken >= 0]

    @functools.cached_property
    def label_shifts(self) -> Optional[np.ndarray]:
        """Label noise of each example of the split, see `sampling.label_shifts`; None without noise."""
        if not self.label_noise:
            return None
        examples = self.data.num_examples(self.data.train_split)
        return sampling.label_shifts(examples, self.label_noise, len(self.data.class_names), self.seed)

    @tf.autograph.experimental.do_not_convert
    def label_trained_on(self, index: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Returns the label that training sees, with the label noise of the example `index`."""
        if self.label_shifts is None:
            return label
        return tf.where(label < 0, label, (label + tf.gather(self.label_shifts, index)) % len(self.data.class_names))

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Labels that training sees, with label noise, by position; −1 for an unlabelled image."""
        labels = self.index.labels
        if self.label_shifts is not None:
            labels = np.where(labels < 0, labels, (labels + self.label_shifts) % len(self.data.class_names))
        return labels if self.kept is None else labels[self.kept]

    @functools.cached_property
    def classes(self) -> Tuple[np.ndarray, np.ndarray]:
        """Positions of labelled images, sorted by class, and the number of images of each class that has any."""
        labels = self.labels
        positions = np.argsort(labels, kind="stable")
        positions = positions[labels[positions] >= 0]
        return positions, np.unique(labels[positions], return_counts=True)[1]

    def class_weights(self, balance: float) -> Optional[np.ndarray]:
        """Returns the weight of the images of each class, see `sampling.class_weights`; None with `balance` 0."""
        if not balance:
            return None
        sizes = np.bincount(self.labels[self.labels >= 0], minlength=len(self.data.class_names))
        return sampling.class_weights(sizes, balance)

    def stored(self, parts: Sequence[records.FilePart]) -> tf.data.Dataset:
        """Returns (index, record) of the images in parts of files, in the order of `records.read`."""
        examples, kept = records.read(records.columns(parts)), self.kept
        if kept is None:
            return examples
        is_kept = np.isin(np.arange(self.data.num_examples(self.data.train_split)), kept)
        return examples.filter(lambda index, _: tf.gather(is_kept, index))

    def in_memory(self, images: int) -> bool:
        """Returns whether to keep `images` encoded images in memory. Only speed depends on it."""
        if self.cache != "auto":
            return self.cache == "memory"
        available = memory.available_bytes()
        limit = CACHE_BYTES if available is None else available // CACHE_SHARE
        return self.bytes * images // self.size <= limit
