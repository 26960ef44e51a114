"""Prepared data sets as `tf.data` pipelines: which example, in which order, for which replica.

Order and randomness are a pure function of (seed, epoch, example, view): the same run sees the same views whatever the
number of threads, workers or interruptions.
"""

import dataclasses
from typing import Callable, Tuple

import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.data.load import ImageData
from supcon_tf.errors import UserError

CACHE_BYTES = 1 << 30  # encoded images are kept in memory up to this size of the data set
SHUFFLE_BYTES = 1 << 30  # and shuffled in a buffer of at most this size

# image [height, width, channels] and seed [2] → views, and image → what evaluation sees
MakeViews = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
MakeView = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Epochs:
    """How a stage goes through its training images.

    Attributes:
      batch_size: images in a batch, over all replicas.
      steps_per_epoch: whole batches in one pass; the remainder of a pass is left out, another one each time.
      epochs: number of passes.
    """

    batch_size: int
    steps_per_epoch: int
    epochs: int

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.epochs


def plan_epochs(data: ImageData, batch_size: int, epochs: int, replicas: int, flag: str) -> Epochs:
    """How many steps `epochs` passes over the training images are; `flag` is what sets the batch size.

    Raises:
      UserError: the batch is larger than the data, or cannot be shared equally by the replicas.
    """
    images = data.num_examples(data.train_split)
    if images < batch_size:
        raise UserError(f"--{flag}={batch_size}: larger than the {images} training images; give {images} or less")
    if batch_size % replicas:
        nearest = max(round(batch_size / replicas), 1) * replicas
        raise UserError(f"--{flag}={batch_size}: must divide by the {replicas} replicas; the nearest is {nearest}")
    return Epochs(batch_size, images // batch_size, epochs)


def training_batches(
    data: ImageData,
    make_views: MakeViews,
    epochs: Epochs,
    *,
    seed: int,
    start_step: int = 0,
    context: tf.distribute.InputContext = tf.distribute.InputContext(),
) -> tf.data.Dataset:
    """Batches of all epochs from `start_step` on, for one input pipeline.

    A step's global batch holds the same images whatever the number of pipelines and replicas if the data set is small
    enough to be kept in memory. Of a larger one each pipeline reads its own part only, the same in every epoch.

    Args:
      data: where the images come from.
      make_views: decoded image and seed → a tensor of static shape.
      epochs: batch size and number of steps.
      seed: of the run.
      start_step: steps already done.
      context: which of how many pipelines this is, and of how many replicas.

    Returns:
      Batches (what `make_views` returns `[local_batch, ...]`, labels `[local_batch]` int32, −1 for unlabelled).
    """
    images = data.num_examples(data.train_split)
    pipelines, pipeline_id = context.num_input_pipelines, context.input_pipeline_id
    pipeline_batch = epochs.batch_size // pipelines
    bytes_on_disk = max(int(data.builder.info.dataset_size), 1)
    in_memory = bytes_on_disk <= CACHE_BYTES
    if in_memory:
        examples = _examples(data, data.train_split).enumerate().cache()
        buffer = images
    else:
        part = tfds.even_splits(data.train_split, pipelines, drop_remainder=True)[pipeline_id]
        examples = _examples(data, part).enumerate(start=pipeline_id * (images // pipelines))
        total_images = max(data.builder.info.splits.total_num_examples, 1)
        buffer = max(min(images // pipelines, SHUFFLE_BYTES * total_images // bytes_on_disk), pipeline_batch)
    shared = pipelines if in_memory else 1  # by how many pipelines what is shuffled below is taken apart
    start_epoch, steps_to_skip = divmod(start_step, epochs.steps_per_epoch)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        step_size = pipeline_batch * shared
        done = tf.where(epoch == start_epoch, steps_to_skip, 0) * step_size
        shuffled = examples.shuffle(buffer, seed=_pair(seed, epoch), reshuffle_each_iteration=False)
        shuffled = shuffled.take(epochs.steps_per_epoch * step_size).skip(tf.cast(done, tf.int64))
        if shared > 1:
            shuffled = shuffled.batch(pipeline_batch).shard(shared, pipeline_id).unbatch()
        return shuffled.map(lambda index, example: (epoch, index, example))

    def views_and_label(epoch: tf.Tensor, index: tf.Tensor, example: Tuple[tf.Tensor, tf.Tensor]) -> Tuple:
        encoded, label = example
        return make_views(_decode(data, encoded), tf.stack([_pair(seed, epoch), index])), label

    dataset = tf.data.Dataset.range(start_epoch, epochs.epochs).flat_map(one_epoch)
    dataset = dataset.map(views_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(context.get_per_replica_batch_size(epochs.batch_size), drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    data: ImageData,
    split: str,
    make_view: MakeView,
    batch_size: int,
    context: tf.distribute.InputContext = tf.distribute.InputContext(),
) -> tf.data.Dataset:
    """One pass over `split`, in its own order, each image counted once on any number of replicas.

    The last batch is filled up with images of weight 0, which unlabelled images have too.

    Returns:
      `evaluation_steps` batches (images `[local_batch, size, size, channels]`, labels `[local_batch]` int32, weights
      `[local_batch]` float32).
    """

    def view_and_label(encoded: tf.Tensor, label: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        return make_view(_decode(data, encoded)), label

    dataset = _examples(data, split)
    padding = evaluation_steps(data, split, batch_size) * batch_size - data.num_examples(split)
    filling = dataset.take(1).map(lambda encoded, label: (encoded, tf.constant(-1))).repeat(padding)
    shares = dataset.concatenate(filling).batch(batch_size // context.num_input_pipelines, drop_remainder=True)
    dataset = shares.shard(context.num_input_pipelines, context.input_pipeline_id).unbatch()
    dataset = dataset.map(view_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).map(with_weights)
    replica_batch = context.get_per_replica_batch_size(batch_size)
    return dataset.batch(replica_batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def evaluation_steps(data: ImageData, split: str, batch_size: int) -> int:
    """Batches that `evaluation_batches` has."""
    return -(-data.num_examples(split) // batch_size)


def with_weights(images: tf.Tensor, labels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images, labels and weights: 1, or 0 for an unlabelled image, whose label becomes 0."""
    return images, tf.maximum(labels, 0), tf.cast(labels >= 0, tf.float32)


def _examples(data: ImageData, split: str) -> tf.data.Dataset:
    """(encoded image, label int32) in the data set's own order; label −1 where there is none."""
    dataset = data.builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={data.image_key: tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=16),  # files read side by side
    )

    def image_and_label(features: dict) -> Tuple[tf.Tensor, tf.Tensor]:
        label = features[data.label_key] if data.label_key else -1
        return features[data.image_key], tf.cast(label, tf.int32)

    return dataset.map(image_and_label)


def _decode(data: ImageData, encoded: tf.Tensor) -> tf.Tensor:
    """Encoded image → `[height, width, channels]`, with 1 or 3 channels."""
    image = data.builder.info.features[data.image_key].decode_example(encoded)
    channels = data.image_shape[2]
    image = image[..., :channels]
    image.set_shape([None, None, channels])
    return image


def _pair(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """One int64 that is another for each (seed, epoch); both are under 2³¹."""
    return tf.constant(seed << 32, tf.int64) + tf.cast(epoch, tf.int64)
