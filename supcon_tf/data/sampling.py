"""Which training images, with which labels, in which batches: arithmetic on indices and labels alone."""

from typing import Sequence

import numpy as np
import tensorflow as tf

# Seeds of draws that are not about one example; examples have seeds from 0 on.
CLASS_ORDER, IMAGE_ORDER, BATCH_ORDER, LABEL_NOISE = -1, -2, -3, -4


def stratified_subset(labels: np.ndarray, count: int) -> np.ndarray:
    """At most `count` examples in which each class keeps its share, the first ones of each.

    Places go to the classes one by one, as seats by Webster's method: the first to each class, the largest class
    first, then each to the class of which (taken + 1/2) / size is smallest. So every class has one where `count` allows
    it, and the choice for a count holds that for any smaller one.

    Args:
      labels: `[examples]`; all negative ones count as one class.
      count: at least 1.

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


def label_shifts(examples: int, probability: float, num_classes: int, seed: int) -> np.ndarray:
    """By how many classes to move each example's label: 0, or with `probability` any of 1..num_classes − 1 alike.

    An example's shift follows from the seed and its index alone. The label moved is (label + shift) mod num_classes,
    so that each other class is as likely (symmetric noise).

    Returns:
      `[examples]` int32.
    """
    with tf.init_scope(), tf.device("cpu"):
        # Philox gives the numbers of the first examples first, however many follow.
        uniforms = tf.random.stateless_uniform([examples, 2], [seed, LABEL_NOISE], alg="philox").numpy()
    others = np.minimum((uniforms[:, 1] * (num_classes - 1)).astype(np.int32), num_classes - 2)
    return np.where(uniforms[:, 0] < probability, 1 + others, 0).astype(np.int32)


def balanced_epoch(
    members: np.ndarray, sizes: np.ndarray, *, steps: int, classes_per_batch: int, per_class: int, seed: tf.Tensor
) -> tf.Tensor:
    """The examples of an epoch of class-balanced batches.

    The classes are shuffled and dealt out in batches; where fewer than a batch's are left, all are shuffled anew. So no
    class is in a batch twice, and all come up about as often. Of each class the images come in an order of the epoch's
    own, again from its start when they are used up: none is twice in a batch, unless the class is smaller than that.

    Args:
      members: `[examples]` examples of the first class, then of the second, and so on.
      sizes: `[classes]` number of examples of each class, at least 1.
      steps: batches.
      classes_per_batch: at most the number of classes.
      per_class: images of each class in a batch.
      seed: scalar int64, of the epoch.

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
    # In random order, so that no replica has a few classes only.
    mixed = tf.gather(images, _shuffled([steps, batch_size], seed, BATCH_ORDER), batch_dims=1)
    return tf.reshape(mixed, [steps * batch_size])


def _shuffled(shape: Sequence[int], seed: tf.Tensor, purpose: int) -> tf.Tensor:
    """Random permutations of the last axis, int32."""
    numbers = tf.random.stateless_uniform(
        shape, tf.stack([seed, tf.constant(purpose, tf.int64)]), None, None, tf.int64, alg="philox"
    )
    return tf.argsort(numbers, axis=-1)


def is_unlabelled(batch_size: int, unlabelled: int) -> np.ndarray:
    """Which places of a batch are for unlabelled images, `[batch_size]` bool: spread evenly.

    Each of r equal parts of the batch has the same number of them if r divides both arguments.
    """
    counts = np.arange(batch_size + 1) * unlabelled // batch_size
    return np.diff(counts) > 0
