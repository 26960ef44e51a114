"""Makes batches for training and evaluation from a prepared data set, as `tf.data` pipelines.

Order and randomness are a pure function of (seed, epoch, example, view). So a run sees the same views with any number
of threads and workers, with and without interruptions, and with images in memory or in files.
"""

import dataclasses
import math
from typing import Callable, Dict, Optional, Tuple

import numpy as np
import tensorflow as tf

from supcon_tf.batch import UNLABELLED, Batch, with_weights
from supcon_tf.data import records, sampling
from supcon_tf.data.decoding import BadImages, decode_or_skip
from supcon_tf.data.load import ImageData
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.data.training_order import in_training_order

KEPT_BYTES = 1 << 28  # 256 MB
UNLABELLED_EXAMPLES = 1 << 40  # is added to the indices of unlabelled images in seeds

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
    class_weights: Optional[np.ndarray] = None,
) -> tf.data.Dataset:
    """Returns the batches of all epochs from `start_step` on, for one input pipeline.

    The global batch of a step holds the same images for any number of pipelines and replicas, if the images take at
    most `training_order.SMALL_BYTES` or are chosen by class. For larger data sets each pipeline reads its own part, the
    same part in every epoch. An image is in a batch twice only if one pass ends and the next begins in it, or if a
    class has fewer images than its share of a class-balanced batch.

    Args:
      images: what to train on.
      make_views: maps a decoded image and a seed to tensors of static shape by name, such as `Augmentation.on_host`.
      epochs: batch size and number of steps.
      seed: seed of the run.
      start_step: number of steps already done.
      context: number of this input pipeline, and the number of pipelines and replicas.
      unlabelled: images for the unlabelled part of each batch; must share no image with `images`. Their epochs are
        counted separately.
      class_weights: weight of the images of each class, `[classes]`; None for equal weights. An unlabelled image has
        the weight 1.

    Returns:
      Batches as `supcon_tf.batch` describes them, for one replica each: what `make_views` returns, and labels. Images
      with several classes have weights too.
    """
    labelled_steps = dataclasses.replace(epochs, batch_size=epochs.labelled, unlabelled=0)
    channels = images.data.image_shape[2]
    dataset = _views(images, make_views, labelled_steps, seed, start_step, context, channels)
    if epochs.unlabelled:
        assert unlabelled is not None
        passes = -(-epochs.total_steps * epochs.unlabelled // unlabelled.size)
        unlabelled_steps = StepSchedule(epochs.unlabelled, unlabelled.size, passes)
        others = _views(unlabelled, make_views, unlabelled_steps, seed, start_step, context, channels, labelled=False)
        pattern = sampling.is_unlabelled(epochs.batch_size, epochs.unlabelled)
        turns = tf.data.Dataset.from_tensor_slices(pattern[: epochs.batch_size // context.num_input_pipelines])
        turns = turns.map(lambda turn: tf.cast(turn, tf.int64)).repeat()
        dataset = tf.data.Dataset.choose_from_datasets([dataset, others], turns)
    dataset = dataset.batch(context.get_per_replica_batch_size(epochs.batch_size), drop_remainder=True)
    if images.data.multi_label:
        dataset = dataset.map(with_weights)
    if class_weights is not None:
        table = tf.constant(class_weights, tf.float32)
        dataset = dataset.map(lambda batch: {**batch, "weights": _weights_of(batch["labels"], table)})
    return dataset.prefetch(tf.data.AUTOTUNE)


@tf.autograph.experimental.do_not_convert
def _weights_of(labels: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    return tf.where(labels < 0, 1.0, tf.gather(table, tf.maximum(labels, 0)))


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

    @tf.autograph.experimental.do_not_convert
    def views_and_label(epoch: tf.Tensor, index: tf.Tensor, encoded: tf.Tensor, label: tf.Tensor) -> Batch:
        image, label = decode_or_skip(
            data,
            encoded,
            images.label_trained_on(index, label),
            bad_images=images.bad_images,
            split=data.train_split,
            index=index,
            channels=channels,
        )
        parts = make_views(image, tf.stack([sampling.epoch_seed(seed, epoch), first_seed + index]))
        return {**parts, "labels": label if labelled else tf.constant(UNLABELLED)}

    examples = in_training_order(images, epochs, seed, start_step, context)
    return examples.map(views_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def evaluation_batches(
    data: ImageData,
    split: str,
    make_view: MakeView,
    batch_size: int,
    context: tf.distribute.InputContext = tf.distribute.InputContext(),
    bad_images: Optional[BadImages] = None,
    *,
    keep: bool = False,
) -> tf.data.Dataset:
    """Returns one pass over `split`, in its own order. Each image counts once on any number of replicas.

    Images of weight 0 fill up the last batch. Unlabelled images and stand-ins for `bad_images` have weight 0 too.

    Args:
      data: the data set.
      split: may be a slice.
      make_view: maps a decoded image to what the encoder sees.
      batch_size: images in a batch, over all replicas.
      context: number of this input pipeline, and the number of pipelines and replicas.
      bad_images: collects images that cannot be decoded; None to stop at the first.
      keep: whether to keep the views in memory for further passes, up to `KEPT_BYTES`.

    Returns:
      `number_of_batches` batches as `supcon_tf.batch` describes them, with one view of each image and weights.
    """
    stored = records.read(records.columns(records.file_parts(data, split)))
    examples = stored.map(lambda index, record: (index, *records.parse(data, record)))
    count = data.num_examples(split)
    return _one_pass(data, split, examples, count, make_view, batch_size, context, bad_images, keep=keep)


def training_images_once(
    images: TrainingImages,
    make_view: MakeView,
    batch_size: int,
    context: tf.distribute.InputContext = tf.distribute.InputContext(),
) -> tf.data.Dataset:
    """Returns one pass over the training images like `evaluation_batches`, with the labels that training sees."""
    data = images.data

    @tf.autograph.experimental.do_not_convert
    def example(index: tf.Tensor, record: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        encoded, label = records.parse(data, record)
        return index, encoded, images.label_trained_on(index, label)

    examples = images.stored(records.file_parts(data, data.train_split)).map(example)
    return _one_pass(data, data.train_split, examples, images.size, make_view, batch_size, context, images.bad_images)


def _one_pass(
    data: ImageData,
    split: str,
    dataset: tf.data.Dataset,
    count: int,
    make_view: MakeView,
    batch_size: int,
    context: tf.distribute.InputContext,
    bad_images: Optional[BadImages],
    *,
    keep: bool = False,
) -> tf.data.Dataset:
    """Returns batches of `count` examples: (index, encoded image, label). Examples of weight 0 fill up the last."""

    @tf.autograph.experimental.do_not_convert
    def view_and_label(index: tf.Tensor, encoded: tf.Tensor, label: tf.Tensor) -> Batch:
        image, label = decode_or_skip(data, encoded, label, bad_images=bad_images, split=split, index=index)
        return {"views": make_view(image)[tf.newaxis], "labels": label}

    padding = number_of_batches(count, batch_size) * batch_size - count
    height, width, channels = data.image_shape
    nothing = tf.io.encode_png(tf.zeros([height or 1, width or 1, channels], tf.uint8))  # is decoded in no time
    filling = dataset.take(1).map(lambda index, encoded, label: (index, nothing, -tf.ones_like(label))).repeat(padding)
    shares = dataset.concatenate(filling).batch(batch_size // context.num_input_pipelines, drop_remainder=True)
    dataset = shares.shard(context.num_input_pipelines, context.input_pipeline_id).unbatch()
    dataset = dataset.map(view_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).map(with_weights)
    if keep and _bytes_of(dataset.element_spec["views"]) * count <= KEPT_BYTES:
        dataset = dataset.cache()
    replica_batch = context.get_per_replica_batch_size(batch_size)
    return dataset.batch(replica_batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _bytes_of(spec: tf.TensorSpec) -> float:
    """Returns the bytes of a tensor; infinity where its shape is not known."""
    elements = spec.shape.num_elements()
    return math.inf if elements is None else elements * spec.dtype.size


def number_of_batches(images: int, batch_size: int) -> int:
    """Returns the number of batches that hold all images of a pass."""
    return -(-images // batch_size)
