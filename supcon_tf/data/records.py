"""The examples of a split as TFDS stores them: read file after file, or any one of them by its place.

An example's index is its place in the split, files one after the other, whatever the order of reading.
"""

import concurrent.futures
import dataclasses
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.data.load import ImageData
from supcon_tf.errors import UserError

FILES_AT_A_TIME = 16
BLOCK = 16  # examples of one file in a row
FRAME = 16  # bytes of a TFRecord around its content: its length and check sums


class FilePart(NamedTuple):
    """Successive examples of one file.

    Attributes:
      path: of the file.
      skip: examples before them.
      take: their number.
      first: index of the first of them.
    """

    path: str
    skip: int
    take: int
    first: int


def file_parts(data: ImageData, split: str, first: int = 0) -> Tuple[FilePart, ...]:
    """Where the examples of `split` are, which may be a slice; `first` is the index of its first example.

    Raises:
      UserError: they are not in TFRecord files.
    """
    info = data.builder.info
    file_format = getattr(info.file_format, "value", "tfrecord")
    if file_format != "tfrecord":
        raise UserError(
            f"--dataset={info.full_name}: is prepared in {info.data_dir} as {file_format} files, of which training "
            "cannot read; prepare it as tfrecord"
        )
    parts = []
    for instruction in info.splits[split].file_instructions:
        parts.append(FilePart(instruction.filename, instruction.skip, instruction.take, first))
        first += instruction.take
    return tuple(part for part in parts if part.take)


def columns(parts: Sequence[FilePart]) -> tf.data.Dataset:
    """The parts as elements `FilePart` of tensors."""
    return tf.data.Dataset.from_tensor_slices(FilePart._make(map(list, zip(*parts))))


def read(parts: tf.data.Dataset) -> tf.data.Dataset:
    """(index int64, record) of all examples, several files side by side, in a fixed order.

    Args:
      parts: `FilePart`s, as from `columns`.
    """

    def of_file(part: FilePart) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(part.path, buffer_size=1 << 20)
        records = records.skip(tf.cast(part.skip, tf.int64)).take(tf.cast(part.take, tf.int64))
        return records.enumerate(tf.cast(part.first, tf.int64))

    return _side_by_side(parts, of_file)


def indices(parts: tf.data.Dataset) -> tf.data.Dataset:
    """The indices alone, in the order of `read`; reads nothing."""

    def of_file(part: FilePart) -> tf.data.Dataset:
        first = tf.cast(part.first, tf.int64)
        return tf.data.Dataset.range(first, first + tf.cast(part.take, tf.int64))

    return _side_by_side(parts, of_file)


def _side_by_side(parts: tf.data.Dataset, of_file: Callable[[FilePart], tf.data.Dataset]) -> tf.data.Dataset:
    return parts.interleave(
        of_file,
        cycle_length=FILES_AT_A_TIME,
        block_length=BLOCK,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def parse(data: ImageData, record: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """A record → encoded image and label int32, −1 where there is none.

    Where an image has several classes the label is `[classes]`: 1 for those it has, 0 for the others, and −1 for one of
    which it has only objects marked difficult. VOC's own lists of images mark them so, and its evaluation leaves them
    out.
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
    """Numbers of classes, any many → whether each class is among them, `[classes]` bool."""
    return tf.reduce_any(tf.one_hot(classes, len(data.class_names), True, False), axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """What lets any example be read by itself, and its class be known without.

    Attributes:
      paths: of the files.
      file: number of each example's file, `[examples]` int64.
      offset: byte of the file at which its record begins, `[examples]` int64.
      length: of its record in bytes, `[examples]` int64.
      labels: `[examples]` int32, −1 where there is none; or `[examples, classes]`, as from `parse`.
    """

    paths: Tuple[str, ...]
    file: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    labels: np.ndarray


def read_index(data: ImageData, split: str) -> Index:
    """Reads the split once from end to end for the index; what is kept of an example are 28 bytes."""
    parts = file_parts(data, split)

    def of_part(part: FilePart) -> Tuple[np.ndarray, np.ndarray]:
        records = tf.data.TFRecordDataset(part.path, buffer_size=1 << 20).take(part.skip + part.take)
        lengths_and_labels = records.map(
            lambda record: (tf.strings.length(record), parse(data, record)[1]), num_parallel_calls=tf.data.AUTOTUNE
        )
        batches = list(lengths_and_labels.batch(4096).as_numpy_iterator())
        lengths, labels = (np.concatenate(column) for column in zip(*batches))
        return lengths.astype(np.int64), labels

    with concurrent.futures.ThreadPoolExecutor(FILES_AT_A_TIME) as threads:
        read_parts = list(threads.map(of_part, parts))
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
    """The record of the example at `position` of the index; reads nothing else of its file."""
    file, offset, length = (tf.gather(column, position) for column in (index.file, index.offset, index.length))
    kind: Dict[str, Any] = {"output_types": [tf.string], "output_shapes": [[]]}
    # Only the op behind tf.data.TFRecordDataset can begin inside a file. (A FixedLengthRecordDataset with a header of
    # that size reads all that comes before.)
    from_there_on = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.reshape(tf.gather(list(index.paths), file), [1]),
        compression_type="",
        buffer_size=length + FRAME,
        byte_offsets=tf.reshape(offset, [1]),
    )
    first = tf.raw_ops.TakeDataset(input_dataset=from_there_on, count=tf.constant(1, tf.int64), **kind)
    return tf.raw_ops.DatasetToSingleElement(dataset=first, **kind)[0]
