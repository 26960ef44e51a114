"""Reads encoded training images in the order of training, from memory or from files.

The order is a shuffled sequence of positions. Each image is then looked up in memory, or read at its place in the
files. Only a data set that is too large for both is read from end to end, in that order.
"""

import functools
from typing import Callable, NamedTuple, Sequence, Tuple

import tensorflow as tf

from supcon_tf.data import records, sampling
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages

SMALL_BYTES = 1 << 30  # all pipelines draw from all images if these take at most this size
SHUFFLE_BYTES = 1 << 30  # size of the shuffle buffer for larger data sets

MakeEpoch = Callable[[tf.Tensor], tf.data.Dataset]  # epoch → its examples, or their positions


class Pool(NamedTuple):
    """The images that one input pipeline draws from.

    Attributes:
      shared: whether all pipelines draw from the same images and take their shares of every batch.
      parts: parts of the files that hold the images.
      first: index of the first of these images.
      size: number of images in one pass.
      batch_size: number of images to draw for a step.
    """

    shared: bool
    parts: Tuple[records.FilePart, ...]
    first: int
    size: int
    batch_size: int


def in_training_order(
    images: TrainingImages, steps: StepSchedule, seed: int, start_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Returns (epoch, index, encoded image, label) in the order of training, from `start_step` on.

    Args:
      images: images to train on, all labelled or all unlabelled.
      steps: batch size and number of steps.
      seed: seed of the run.
      start_step: number of steps already done.
      context: number of this input pipeline, and the number of pipelines.
    """
    pool = _choose_pool(images, steps, context)
    parts = pool.parts
    all_epochs = functools.partial(_all_epochs, pool=pool, steps=steps, start_step=start_step, context=context)
    buffer = max(min(pool.size, SHUFFLE_BYTES * images.size // images.bytes), pool.batch_size)

    def shuffled_files(epoch: tf.Tensor) -> tf.data.Dataset:
        return sampling.shuffled(records.columns(parts), len(parts), seed, epoch)

    if steps.classes_per_batch is not None:
        positions = all_epochs(_balanced(images, steps, seed))
    elif pool.shared:
        positions = all_epochs(
            lambda epoch: sampling.shuffled(tf.data.Dataset.range(pool.size), pool.size, seed, epoch)
        )
    else:
        indices = all_epochs(
            lambda epoch: sampling.shuffled(records.indices(shuffled_files(epoch)), buffer, seed, epoch)
        )
        positions = indices.map(lambda epoch, index: (epoch, index - pool.first))
    if images.in_memory(pool.size):
        return _from_memory(images, pool, parts, positions)
    if pool.shared:
        return _from_files(images, positions)
    as_read = all_epochs(lambda epoch: sampling.shuffled(records.read(shuffled_files(epoch)), buffer, seed, epoch))
    return as_read.map(
        lambda epoch, index, record: (epoch, index, *records.parse(images.data, record)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _choose_pool(images: TrainingImages, steps: StepSchedule, context: tf.distribute.InputContext) -> Pool:
    """Returns all images if they are few, or chosen one by one; else this pipeline's part."""
    parts = records.file_parts(images.data, images.data.train_split)
    if images.bytes <= SMALL_BYTES or images.kept is not None or steps.classes_per_batch is not None:
        return Pool(True, parts, 0, images.size, steps.batch_size)
    pipelines, number = context.num_input_pipelines, context.input_pipeline_id
    size = images.size // pipelines
    own = records.part_of(parts, number * size, (number + 1) * size)
    return Pool(False, own, number * size, size, steps.batch_size // pipelines)


def _balanced(images: TrainingImages, steps: StepSchedule, seed: int) -> MakeEpoch:
    """Returns a function from an epoch to the positions of its class-balanced batches, batch after batch."""
    assert steps.classes_per_batch is not None
    members, sizes = images.classes
    balanced = functools.partial(
        sampling.balanced_epoch,
        members,
        sizes,
        steps=steps.images // steps.batch_size,
        classes_per_batch=steps.classes_per_batch,
        per_class=steps.batch_size // steps.classes_per_batch,
    )
    return lambda epoch: tf.data.Dataset.from_tensor_slices(balanced(seed=sampling.epoch_seed(seed, epoch)))


def _all_epochs(
    make_epoch: MakeEpoch, *, pool: Pool, steps: StepSchedule, start_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Returns (epoch, *example) of the remaining steps, epoch after epoch: this pipeline's share of each batch."""
    epoch_size = steps.images if pool.shared else pool.size
    start_epoch, done = divmod(start_step * pool.batch_size, epoch_size)

    @tf.autograph.experimental.do_not_convert
    def rest_of(epoch: tf.Tensor) -> tf.data.Dataset:
        skipped = tf.where(epoch == start_epoch, tf.constant(done, tf.int64), 0)
        return make_epoch(epoch).skip(skipped).map(lambda *example: (epoch, *example))

    examples = tf.data.Dataset.range(start_epoch, tf.int64.max).flat_map(rest_of)
    examples = examples.take((steps.total_steps - start_step) * pool.batch_size)
    if pool.shared and context.num_input_pipelines > 1:
        shares = examples.batch(steps.batch_size // context.num_input_pipelines)
        examples = shares.shard(context.num_input_pipelines, context.input_pipeline_id).unbatch()
    return examples


def _from_memory(
    images: TrainingImages, pool: Pool, parts: Sequence[records.FilePart], positions: tf.data.Dataset
) -> tf.data.Dataset:
    """Reads all encoded images, then looks them up: (epoch, position) → (epoch, index, encoded image, label)."""
    data = images.data

    @tf.autograph.experimental.do_not_convert
    def look_up(indices: tf.Tensor, encoded: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
        places = tf.argsort(indices)  # undoes the order of reading, in which files take turns

        @tf.autograph.experimental.do_not_convert
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

    @tf.autograph.experimental.do_not_convert
    def example(epoch: tf.Tensor, position: tf.Tensor) -> Tuple:
        index = position if kept is None else tf.gather(kept, position)
        return (epoch, index, *records.parse(data, records.record_at(table, index)))

    return positions.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
