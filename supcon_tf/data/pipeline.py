"""Prepared data sets as `tf.data` pipelines: which example, in which order, for which replica.

Order and randomness are a pure function of (seed, epoch, example, view): the same run sees the same views whatever the
number of threads, workers or interruptions, and whether images wait in memory or in files.
"""

import dataclasses
import functools
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.batch import UNLABELLED, Batch, with_weights
from supcon_tf.data import records, sampling
from supcon_tf.data.decoding import BadImages, decode_or_skip
from supcon_tf.data.load import ImageData
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages

SMALL_BYTES = 1 << 30  # up to this size of the images every pipeline draws from all of them
SHUFFLE_BYTES = 1 << 30  # larger ones are shuffled in a buffer of at most this size
UNLABELLED_EXAMPLES = 1 << 40  # where the indices of the unlabelled images begin, in seeds

# Maps an image [height, width, channels] and a seed [2] to the parts of a batch that follow from them: views and more.
MakeViews = Callable[[tf.Tensor, tf.Tensor], Dict[str, tf.Tensor]]
# Maps an image to the view [size, size, channels] that evaluation sees.
MakeView = Callable[[tf.Tensor], tf.Tensor]


def training_batches(
    images: TrainingImages,
    make_views: MakeViews,
    epochs: StepSchedule,
    *,
    seed: int,
    start_step: int = 0,
    context: tf.distribute.InputContext = tf.distribute.InputContext(),
    unlabelled: Optional[TrainingImages] = None,
) -> tf.data.Dataset:
    """Batches of all epochs from `start_step` on, for one input pipeline.

    A step's global batch holds the same images whatever the number of pipelines and replicas if the images are at most
    `SMALL_BYTES`, or chosen by class. Of larger ones each pipeline reads its own part only, the same in every epoch.
    No image is in a batch twice, but where one pass ends in it and the next begins, or where images are chosen by class
    and a class is smaller than its share.

    Args:
      images: what to train on.
      make_views: maps a decoded image and a seed to tensors of static shape by name, such as `Augmentation.on_host`.
      epochs: batch size and number of steps.
      seed: of the run.
      start_step: steps already done.
      context: which of how many pipelines this is, and of how many replicas.
      unlabelled: what the unlabelled images of a batch are of, none of them one of `images`; they are gone through in
        epochs of their own.

    Returns:
      Batches as `supcon_tf.batch` describes them, for one replica each: what `make_views` returns, and labels. Images
      with several classes have weights too.
    """
    of_labelled = dataclasses.replace(epochs, batch_size=epochs.labelled, unlabelled=0)
    channels = images.data.image_shape[2]
    dataset = _views(images, make_views, of_labelled, seed, start_step, context, channels)
    if epochs.unlabelled:
        assert unlabelled is not None
        passes = -(-epochs.total_steps * epochs.unlabelled // unlabelled.size)
        of_unlabelled = StepSchedule(epochs.unlabelled, unlabelled.size, passes)
        others = _views(unlabelled, make_views, of_unlabelled, seed, start_step, context, channels, labelled=False)
        pattern = sampling.is_unlabelled(epochs.batch_size, epochs.unlabelled)
        turns = tf.data.Dataset.from_tensor_slices(pattern[: epochs.batch_size // context.num_input_pipelines])
        turns = turns.map(lambda turn: tf.cast(turn, tf.int64)).repeat()
        dataset = tf.data.Dataset.choose_from_datasets([dataset, others], turns)
    dataset = dataset.batch(context.get_per_replica_batch_size(epochs.batch_size), drop_remainder=True)
    if images.data.multi_label:
        dataset = dataset.map(with_weights)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _views(
    images: TrainingImages,
    make_views: MakeViews,
    epochs: StepSchedule,
    seed: int,
    start_step: int,
    context: tf.distribute.InputContext,
    channels: int,
    *,
    labelled: bool = True,
) -> tf.data.Dataset:
    """Returns this pipeline's share of each step's images, one by one: parts of a batch, and the label."""
    data = images.data
    first_seed = 0 if labelled else UNLABELLED_EXAMPLES
    shifts, classes = images.label_shifts, len(data.class_names)

    def as_trained_on(index: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        if shifts is None:
            return label
        return tf.where(label < 0, label, (label + tf.gather(shifts, index)) % classes)

    def views_and_label(epoch: tf.Tensor, index: tf.Tensor, encoded: tf.Tensor, label: tf.Tensor) -> Batch:
        image, label = decode_or_skip(
            data,
            encoded,
            as_trained_on(index, label),
            bad_images=images.bad_images,
            split=data.train_split,
            index=index,
            channels=channels,
        )
        parts = make_views(image, tf.stack([_pair(seed, epoch), first_seed + index]))
        return {**parts, "labels": label if labelled else tf.constant(UNLABELLED)}

    examples = _examples_of_epochs(images, epochs, seed, start_step, context)
    return examples.map(views_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


class _Pool(NamedTuple):
    """What a pipeline draws its images from.

    Attributes:
      shared: whether all pipelines draw from the same, and each takes its share of every batch.
      split: the images, a slice of the training images if they are not shared.
      first: index of the first of them.
      size: number of images to draw.
      batch_size: how many to draw for a step.
    """

    shared: bool
    split: str
    first: int
    size: int
    batch_size: int


def _pool_of(images: TrainingImages, epochs: StepSchedule, context: tf.distribute.InputContext) -> _Pool:
    split = images.data.train_split
    if images.bytes <= SMALL_BYTES or images.kept is not None or epochs.classes_per_batch is not None:
        return _Pool(True, split, 0, images.size, epochs.batch_size)
    pipelines, number = context.num_input_pipelines, context.input_pipeline_id
    part = tfds.even_splits(split, pipelines, drop_remainder=True)[number]
    size = images.size // pipelines
    return _Pool(False, part, number * size, size, epochs.batch_size // pipelines)


def _examples_of_epochs(
    images: TrainingImages, epochs: StepSchedule, seed: int, start_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """(epoch, index, encoded image, label) in the order of training, from `start_step` on.

    The order is one of positions, whether images are then looked up in memory or read at their places in the files.
    Only where neither is so, of much data, files are read from end to end in that order.
    """
    data = images.data
    pool = _pool_of(images, epochs, context)
    parts = records.file_parts(data, pool.split, pool.first)
    of_pass = epochs.images if pool.shared else pool.size
    start_epoch, done = divmod(start_step * pool.batch_size, of_pass)

    def shuffled(examples: tf.data.Dataset, epoch: tf.Tensor, buffer: int) -> tf.data.Dataset:
        return examples.shuffle(buffer, seed=_pair(seed, epoch), reshuffle_each_iteration=False)

    def shuffled_files(epoch: tf.Tensor) -> tf.data.Dataset:
        return shuffled(records.columns(parts), epoch, len(parts))

    def in_epochs(of_epoch: Callable[[tf.Tensor], tf.data.Dataset]) -> tf.data.Dataset:
        """What is left of one epoch after the other, this pipeline's share of it, with the number of the epoch."""

        def rest_of(epoch: tf.Tensor) -> tf.data.Dataset:
            skipped = tf.where(epoch == start_epoch, tf.constant(done, tf.int64), 0)
            return of_epoch(epoch).skip(skipped).map(lambda *example: (epoch, *example))

        examples = tf.data.Dataset.range(start_epoch, tf.int64.max).flat_map(rest_of)
        examples = examples.take((epochs.total_steps - start_step) * pool.batch_size)
        if pool.shared and context.num_input_pipelines > 1:
            shares = examples.batch(epochs.batch_size // context.num_input_pipelines)
            examples = shares.shard(context.num_input_pipelines, context.input_pipeline_id).unbatch()
        return examples

    buffer = max(min(pool.size, SHUFFLE_BYTES * images.size // images.bytes), pool.batch_size)
    if epochs.classes_per_batch is not None:
        positions = in_epochs(_balanced_order(images, epochs, seed))
    elif pool.shared:
        positions = in_epochs(lambda epoch: shuffled(tf.data.Dataset.range(pool.size), epoch, pool.size))
    else:
        indices = in_epochs(lambda epoch: shuffled(records.indices(shuffled_files(epoch)), epoch, buffer))
        positions = indices.map(lambda epoch, index: (epoch, index - pool.first))

    if images.in_memory(pool.size):
        return _from_memory(images, pool, parts, positions)
    if pool.shared:
        return _from_files(images, positions)
    as_read = in_epochs(lambda epoch: shuffled(records.read(shuffled_files(epoch)), epoch, buffer))
    return as_read.map(
        lambda epoch, index, record: (epoch, index, *records.parse(data, record)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _balanced_order(images: TrainingImages, epochs: StepSchedule, seed: int) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Epoch → positions of its images, batch after batch."""
    assert epochs.classes_per_batch is not None
    members, sizes = images.classes
    balanced = functools.partial(
        sampling.balanced_epoch,
        members,
        sizes,
        steps=epochs.images // epochs.batch_size,
        classes_per_batch=epochs.classes_per_batch,
        per_class=epochs.batch_size // epochs.classes_per_batch,
    )
    return lambda epoch: tf.data.Dataset.from_tensor_slices(balanced(seed=_pair(seed, epoch)))


def _from_memory(
    images: TrainingImages, pool: _Pool, parts: Sequence[records.FilePart], positions: tf.data.Dataset
) -> tf.data.Dataset:
    """Reads all encoded images, then looks them up: (epoch, position) → (epoch, index, encoded image, label)."""
    data = images.data

    def look_up(indices: tf.Tensor, encoded: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
        places = tf.argsort(indices)  # files are read side by side

        def example(epoch: tf.Tensor, position: tf.Tensor) -> Tuple:
            place = tf.gather(places, position)
            return epoch, tf.gather(indices, place), tf.gather(encoded, place), tf.gather(labels, place)

        return positions.map(example)

    parsed = images.stored(parts).map(
        lambda index, record: (index, *records.parse(data, record)), num_parallel_calls=tf.data.AUTOTUNE
    )
    return parsed.batch(pool.size).flat_map(look_up)


def _from_files(images: TrainingImages, positions: tf.data.Dataset) -> tf.data.Dataset:
    """Reads each example by itself: (epoch, position) → (epoch, index, encoded image, label)."""
    data, kept, table = images.data, images.kept, images.index

    def example(epoch: tf.Tensor, position: tf.Tensor) -> Tuple:
        index = position if kept is None else tf.gather(kept, position)
        return (epoch, index, *records.parse(data, records.record_at(table, index)))

    return positions.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def evaluation_batches(
    data: ImageData,
    split: str,
    make_view: MakeView,
    batch_size: int,
    context: tf.distribute.InputContext = tf.distribute.InputContext(),
    bad_images: Optional[BadImages] = None,
) -> tf.data.Dataset:
    """Returns one pass over `split`, in its own order. Each image counts once on any number of replicas.

    Images of weight 0 fill up the last batch. Unlabelled images and stand-ins for `bad_images` have weight 0 too.

    Returns:
      `evaluation_steps` batches as `supcon_tf.batch` describes them, with one view of each image and weights.
    """

    def view_and_label(index: tf.Tensor, encoded: tf.Tensor, label: tf.Tensor) -> Batch:
        image, label = decode_or_skip(data, encoded, label, bad_images=bad_images, split=split, index=index)
        return {"views": make_view(image)[tf.newaxis], "labels": label}

    stored = records.read(records.columns(records.file_parts(data, split)))
    dataset = stored.map(lambda index, record: (index, *records.parse(data, record)))
    padding = evaluation_steps(data, split, batch_size) * batch_size - data.num_examples(split)
    filling = dataset.take(1).map(lambda index, encoded, label: (index, encoded, -tf.ones_like(label))).repeat(padding)
    shares = dataset.concatenate(filling).batch(batch_size // context.num_input_pipelines, drop_remainder=True)
    dataset = shares.shard(context.num_input_pipelines, context.input_pipeline_id).unbatch()
    dataset = dataset.map(view_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).map(with_weights)
    replica_batch = context.get_per_replica_batch_size(batch_size)
    return dataset.batch(replica_batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def evaluation_steps(data: ImageData, split: str, batch_size: int) -> int:
    """Batches that `evaluation_batches` has."""
    return -(-data.num_examples(split) // batch_size)


def _pair(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """One int64 that is another for each (seed, epoch); both are under 2³¹."""
    return tf.constant(seed << 32, tf.int64) + tf.cast(epoch, tf.int64)
