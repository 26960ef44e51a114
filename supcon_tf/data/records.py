"""Reads the examples of a split from TFDS's files: one file after the other, or any example by its position.

An example's index is its position in the split, counted through its files in order. It does not depend on the order of
reading.
"""

import concurrent.futures
import dataclasses
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.data.load import ImageData
from supcon_tf.errors import UserError

FILES_AT_A_TIME = 16
BLOCK = 16  # successive examples that are read from one file before the next file
FRAME = 16  # bytes of a TFRecord around its content: length and checksums


class FilePart(NamedTuple):
    """Successive examples of one file.

    Attributes:
      path: path of the file.
      skip: number of examples in the file before the part.
      take: number of examples in the part.
      first: index of the part's first example.
    """

    path: str
    skip: int
    take: int
    first: int


def file_parts(data: ImageData, split: str, first: int = 0) -> Tuple[FilePart, ...]:
    """Returns the parts of files that hold the examples of a split.

    Args:
      data: the data set.
      split: may be a slice.
      first: index to give to its first example.

    Raises:
      UserError: the examples are not in TFRecord files.
    """
    info = data.builder.info
    file_format = getattr(info.file_format, "value", "tfrecord")
    if file_format != "tfrecord":
        raise UserError(
            f"{info.data_dir}: holds {info.full_name} as {file_format} files, but training reads only tfrecord; "
            "prepare the data set as tfrecord"
        )
    parts = []
    for instruction in info.splits[split].file_instructions:
        parts.append(FilePart(instruction.filename, instruction.skip, instruction.take, first))
        first += instruction.take
    return tuple(part for part in parts if part.take)


def is_about_damage(error: Exception) -> bool:
    """Returns whether the error may come from a damaged file, or from one that has lost its last examples."""
    if isinstance(error, (tf.errors.DataLossError, tf.errors.OutOfRangeError, StopIteration)):
        return True
    texts = ("Input dataset was expected to contain", "is not in [0, ", "generator raised StopIteration")
    return any(text in str(error) for text in texts)


def find_damaged_file(data: ImageData, split: str) -> Optional[Tuple[str, str]]:
    """Reads the files of a split. Returns path and damage of the first that is not whole, or None."""
    for part in file_parts(data, split):
        records = tf.data.TFRecordDataset(part.path, buffer_size=1 << 20).take(part.skip + part.take)
        try:
            count = sum(1 for _ in records)
        except tf.errors.DataLossError as error:
            return part.path, error.message.split(" [Op:")[0].rpartition("}} ")[2].partition("'")[0]
        if count < part.skip + part.take:
            return part.path, f"{count:,} of {part.skip + part.take:,} examples"
    return None


def part_of(parts: Sequence[FilePart], start: int, stop: int) -> Tuple[FilePart, ...]:
    """Returns the parts of files that hold the examples of `parts` from number `start` up to `stop`, exclusive."""
    found, before = [], 0
    for part in parts:
        skipped = max(start - before, 0)
        take = min(part.take, stop - before) - skipped
        if take > 0:
            found.append(FilePart(part.path, part.skip + skipped, take, part.first + skipped))
        before += part.take
    return tuple(found)


def columns(parts: Sequence[FilePart]) -> tf.data.Dataset:
    """Returns the parts as a `tf.data` data set of `FilePart`s of tensors."""
    return tf.data.Dataset.from_tensor_slices(FilePart._make(map(list, zip(*parts))))


def read(parts: tf.data.Dataset) -> tf.data.Dataset:
    """Returns (index int64, record) of all examples. Reads several files at a time, in a fixed order.

    Args:
      parts: `FilePart`s, as from `columns`.
    """

    @tf.autograph.experimental.do_not_convert
    def read_file(part: FilePart) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(part.path, buffer_size=1 << 20)
        records = records.skip(tf.cast(part.skip, tf.int64)).take(tf.cast(part.take, tf.int64))
        return records.enumerate(tf.cast(part.first, tf.int64))

    return _side_by_side(parts, read_file)


def indices(parts: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the indices alone, in the order of `read`, without reading the files."""

    @tf.autograph.experimental.do_not_convert
    def read_file(part: FilePart) -> tf.data.Dataset:
        first = tf.cast(part.first, tf.int64)
        return tf.data.Dataset.range(first, first + tf.cast(part.take, tf.int64))

    return _side_by_side(parts, read_file)


def _side_by_side(parts: tf.data.Dataset, read_file: Callable[[FilePart], tf.data.Dataset]) -> tf.data.Dataset:
    return parts.interleave(
        read_file,
        cycle_length=FILES_AT_A_TIME,
        block_length=BLOCK,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


@tf.autograph.experimental.do_not_convert
def parse(data: ImageData, record: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the encoded image of a record and its label, int32.

    A scalar label is −1 for an unlabelled image. If an image may have several classes, its label is `[classes]`. It is
    1 for a class of the image, 0 for another class, and −1 for a class whose objects are all marked difficult. VOC's
    evaluation ignores difficult objects.
    """
    features = data.builder.info.features.deserialize_example(
        record, decoders={data.image_key: tfds.decode.SkipDecoding()}
    )
    label = features[data.label_key] if data.label_key else -1
    if data.multi_label:
        there = _has_classes(data, label)
        certain = _has_classes(data, features[data.no_difficult_key]) if data.no_difficult_key else there
        label = tf.where(certain, 1, tf.where(there, -1, 0))
    return features[data.image_key], tf.cast(label, tf.int32)


def _has_classes(data: ImageData, classes: tf.Tensor) -> tf.Tensor:
    """Returns for each class of the data set whether it is among the given class numbers, `[classes]` bool."""
    return tf.reduce_any(tf.one_hot(classes, len(data.class_names), True, False), axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """Positions and labels of all examples, so that any example can be read alone and its class known without reading.

    Attributes:
      paths: paths of the files.
      file: number of each example's file, `[examples]` int64.
      offset: byte at which its record begins in the file, `[examples]` int64.
      length: length of its record in bytes, `[examples]` int64.
      labels: labels as from `parse`, `[examples]` or `[examples, classes]` int32.
    """

    paths: Tuple[str, ...]
    file: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    labels: np.ndarray


def read_index(data: ImageData, split: str) -> Index:
    """Reads the split once from end to end and returns its index, which takes 28 bytes per example.

    Raises:
      tf.errors.DataLossError: a file is damaged or has lost examples.
    """
    parts = file_parts(data, split)

    def read_part(part: FilePart) -> Tuple[np.ndarray, np.ndarray]:
        records = tf.data.TFRecordDataset(part.path, buffer_size=1 << 20).take(part.skip + part.take)
        lengths_and_labels = records.map(
            lambda record: (tf.strings.length(record), parse(data, record)[1]), num_parallel_calls=tf.data.AUTOTUNE
        )
        batches = list(lengths_and_labels.batch(4096).as_numpy_iterator())
        if sum(len(lengths) for lengths, _ in batches) < part.skip + part.take:
            raise tf.errors.DataLossError(None, None, f"{part.path} has lost examples")
        lengths, labels = (np.concatenate(column) for column in zip(*batches))
        return lengths.astype(np.int64), labels

    with concurrent.futures.ThreadPoolExecutor(FILES_AT_A_TIME) as threads:
        read_parts = list(threads.map(read_part, parts))
    offsets, lengths, labels, files = [], [], [], []
    for number, (part, (all_lengths, all_labels)) in enumerate(zip(parts, read_parts)):
        starts = np.cumsum(all_lengths + FRAME) - all_lengths - FRAME
        offsets.append(starts[part.skip :])
        lengths.append(all_lengths[part.skip :])
        labels.append(all_labels[part.skip :])
        files.append(np.full(part.take, number, np.int64))
    return Index(
        paths=tuple(part.path for part in parts),
        file=np.concatenate(files),
        offset=np.concatenate(offsets),
        length=np.concatenate(lengths),
        labels=np.concatenate(labels),
    )


def record_at(index: Index, position: tf.Tensor) -> tf.Tensor:
    """Returns the record of the example at a position of the index. Reads no other part of its file."""
    file, offset, length = (tf.gather(column, position) for column in (index.file, index.offset, index.length))
    kind: Dict[str, Any] = {"output_types": [tf.string], "output_shapes": [[]]}
    # Only the op behind tf.data.TFRecordDataset can start inside a file. A FixedLengthRecordDataset with a long header
    # would read everything before the record.
    from_there_on = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.reshape(tf.gather(list(index.paths), file), [1]),
        compression_type="",
        buffer_size=length + FRAME,
        byte_offsets=tf.reshape(offset, [1]),
    )
    first = tf.raw_ops.TakeDataset(input_dataset=from_there_on, count=tf.constant(1, tf.int64), **kind)
    return tf.raw_ops.DatasetToSingleElement(dataset=first, **kind)[0]
