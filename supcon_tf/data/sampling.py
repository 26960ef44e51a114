"""Chooses training images, labels and batches, by arithmetic on indices and labels alone."""

from typing import Sequence

import numpy as np
import tensorflow as tf

DEFAULT_GRAPH_SEED = 87654321  # TensorFlow's own first seed, with which tf.data shuffles
# Second half of the seeds for draws that concern no single example. Examples have seeds from 0 on.
CLASS_ORDER, IMAGE_ORDER, BATCH_ORDER, LABEL_NOISE = -1, -2, -3, -4


def stratified_subset(labels: np.ndarray, count: int) -> np.ndarray:
    """Chooses at most `count` examples so that each class keeps its share. Takes the first examples of each class.

    Webster's method for seats decides how many each class gets. Every class gets one example first, the largest class
    before the others. Each further example goes to the class with the smallest (taken + 1/2) / size. The choice for a
    count contains the choice for any smaller count.

    >>> stratified_subset(np.array([1, 1, 0, 1, 0, 1, 0, 0, 1]), 4)
    array([0, 1, 2, 4])

    Args:
      labels: `[examples]` integers; all negative labels count as one class.
      count: number of examples, at least 1.

    Returns:
      Their indices, ascending, int64.
    """
    _, number = np.unique(np.maximum(labels, -1), return_inverse=True)
    by_class = np.argsort(number, kind="stable")
    sizes = np.bincount(number)
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = (rank + 0.5) / sizes[number]
    order = np.lexsort((number, share, rank > 0))
    return np.sort(order[:count]).astype(np.int64)


def class_weights(sizes: np.ndarray, balance: float) -> np.ndarray:
    """Returns the weight of the images of each class: (1−β)/(1−βⁿ) times a constant (Cui et al. 2019, Eq. 2).

    >>> [round(float(weight), 4) for weight in class_weights(np.array([1, 3]), 0.5)]  # effective numbers 1 and 1.75
    [1.4737, 0.8421]

    Args:
      sizes: number n of images of each class, `[classes]`. A class without images gets the weight 0.
      balance: β, at least 0 and below 1. 0 gives all images the weight 1.

    Returns:
      `[classes]` float32; the mean over the images is 1.
    """
    effective = (1 - np.power(balance, sizes, dtype=np.float64)) / (1 - balance)
    weights = np.divide(1, effective, out=np.zeros(len(sizes)), where=sizes > 0)
    return (weights * sizes.sum() / (weights * sizes).sum()).astype(np.float32)


def label_shifts(examples: int, probability: float, num_classes: int, seed: int) -> np.ndarray:
    """Draws symmetric label noise: the noisy label is (label + shift) mod num_classes.

    A shift depends on the seed and the example's index alone.

    Args:
      examples: number of examples.
      probability: chance of a shift other than 0. All other classes are equally likely.
      num_classes: number of classes, at least 2.
      seed: seed of the run.

    Returns:
      Shifts, `[examples]` int32, from 0 to num_classes − 1.
    """
    with tf.init_scope(), tf.device("cpu"):
        # With Philox the numbers of the first examples do not depend on the number of examples.
        uniforms = tf.random.stateless_uniform([examples, 2], [seed, LABEL_NOISE], alg="philox").numpy()
    others = np.minimum((uniforms[:, 1] * (num_classes - 1)).astype(np.int32), num_classes - 2)
    return np.where(uniforms[:, 0] < probability, 1 + others, 0).astype(np.int32)


@tf.autograph.experimental.do_not_convert
def epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns a different int64 for each (seed of the run, epoch); both must be below 2³¹."""
    return tf.constant(seed << 32, tf.int64) + tf.cast(epoch, tf.int64)


@tf.autograph.experimental.do_not_convert
def shuffled(examples: tf.data.Dataset, buffer: int, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """Shuffles the examples of an epoch, in another order for each (seed of the run, epoch).

    `tf.data.Dataset.shuffle` keeps one seed modulo 2³¹ − 1, so that different pairs would share an order. The op under
    it takes two seeds of 64 bits. With seed 0 both give the same order.

    Args:
      examples: the examples in the order of the files.
      buffer: number of examples to draw from.
      seed: seed of the run.
      epoch: number of the pass, a scalar int64.
    """
    first_seed = tf.constant(DEFAULT_GRAPH_SEED + seed, tf.int64)
    variant = tf.raw_ops.ShuffleDatasetV3(
        input_dataset=tf.data.experimental.to_variant(examples),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=first_seed,
        seed2=tf.cast(epoch, tf.int64),
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        reshuffle_each_iteration=False,
        output_types=tf.nest.flatten(tf.nest.map_structure(lambda spec: spec.dtype, examples.element_spec)),
        output_shapes=tf.nest.flatten(tf.nest.map_structure(lambda spec: spec.shape, examples.element_spec)),
    )
    return tf.data.experimental.from_variant(variant, examples.element_spec)


def balanced_epoch(
    members: np.ndarray, sizes: np.ndarray, *, steps: int, classes_per_batch: int, per_class: int, seed: tf.Tensor
) -> tf.Tensor:
    """Draws the examples of an epoch of class-balanced batches.

    Classes are shuffled and dealt out to batches. They are shuffled again when too few are left for a batch. So a batch
    has each class once at most, and all classes come up about equally often. The images of a class are shuffled for
    each epoch and taken in turn, from the start again when used up. A batch repeats an image only if its class has
    fewer than `per_class`.

    Args:
      members: `[examples]` examples of the first class, then of the second, and so on.
      sizes: `[classes]` number of examples of each class, at least 1.
      steps: number of batches.
      classes_per_batch: number of classes in a batch, at most the number of classes.
      per_class: number of images of each class in a batch.
      seed: seed of the epoch, a scalar int64.

    Returns:
      `[steps · classes_per_batch · per_class]` int64, batch after batch, each in random order.
    """
    classes = len(sizes)
    batches_of_deal = classes // classes_per_batch
    dealt = batches_of_deal * classes_per_batch
    deals = -(-steps // batches_of_deal)
    order = _shuffled([deals, classes], seed, CLASS_ORDER)
    dealt_in = tf.cast(tf.argsort(order, axis=1) < dealt, tf.int64)
    times_before = tf.gather(tf.cumsum(dealt_in, axis=0, exclusive=True), order[:, :dealt], batch_dims=1)
    batch_classes = tf.reshape(order[:, :dealt], [-1, classes_per_batch, 1])[:steps]
    times_before = tf.reshape(times_before, [-1, classes_per_batch, 1])[:steps]

    class_of = tf.constant(np.repeat(np.arange(classes), sizes), tf.int64)
    shuffled = _shuffled([len(members)], seed, IMAGE_ORDER)
    within_classes = tf.gather(shuffled, tf.argsort(tf.gather(class_of, shuffled), stable=True))
    starts = tf.gather(tf.constant(np.cumsum(sizes) - sizes, tf.int64), batch_classes)
    place = times_before * per_class + tf.range(per_class, dtype=tf.int64)
    place = starts + place % tf.gather(tf.constant(sizes, tf.int64), batch_classes)
    images = tf.gather(tf.constant(members, tf.int64), tf.gather(within_classes, place))

    batch_size = classes_per_batch * per_class
    images = tf.reshape(images, [steps, batch_size])
    # Batches are in random order, so that no replica has a few classes only.
    mixed = tf.gather(images, _shuffled([steps, batch_size], seed, BATCH_ORDER), batch_dims=1)
    return tf.reshape(mixed, [steps * batch_size])


def _shuffled(shape: Sequence[int], seed: tf.Tensor, purpose: int) -> tf.Tensor:
    """Draws random permutations along the last axis, int32."""
    numbers = tf.random.stateless_uniform(
        shape, tf.stack([seed, tf.constant(purpose, tf.int64)]), None, None, tf.int64, alg="philox"
    )
    return tf.argsort(numbers, axis=-1)


def is_unlabelled(batch_size: int, unlabelled: int) -> np.ndarray:
    """Spreads the unlabelled images of a batch evenly over its places.

    Each of r equal parts of the batch has equally many unlabelled images if r divides both arguments.

    >>> is_unlabelled(batch_size=6, unlabelled=2)
    array([False, False,  True, False, False,  True])

    Returns:
      Whether each place is for an unlabelled image, `[batch_size]` bool.
    """
    counts = np.arange(batch_size + 1) * unlabelled // batch_size
    return np.diff(counts) > 0
