"""The one shape of a batch: what the pipeline yields, what the augmentation finishes, what the models train on.

A batch is a dict with these tensors:

    views    `[batch, views, height, width, channels]`, from 0 to 255. Contrastive training has several views of each
             image; classifier training and evaluation have one.
    labels   `[batch]` class numbers, int32 or int64, −1 for an unlabelled image; or `[batch, classes]`: distributions
             over the classes (mixed images) or 0 and 1 for each class (images with several classes).
    weights  `[batch]` float32 weight of each image, or `[batch, classes]` beside 0 and 1 for each class. Optional.
    numbers  `[batch, views, NUMBERS]` float32: the random numbers of the augmentation steps that the device takes.
             Only between the two halves of the augmentation.
    mixing   `[batch, 3]` float32: the random numbers that mix each image with a partner. Only between the two halves.

Keras calls `train_step` and `test_step` with `(x, y[, weights])` when a user calls `model.fit(views, labels)`.
`to_batch` turns these into a batch at the entrance of both steps, and brings labels of other forms in a dict to these.
Nothing behind the entrance sees another form.
"""

from typing import Any, ContextManager, Dict, List, Optional

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.shapes import Size, size_of

UNLABELLED = -1
EXACT_BITS = {tf.float32: 24, tf.float64: 53, tf.uint64: 63}  # up to 2 to this power all whole numbers are exact
LARGEST_SUM = 1.01  # of a distribution over the classes; half precision rounds

Batch = Dict[str, tf.Tensor]


@tf.autograph.experimental.do_not_convert
def to_batch(data: Any, *, distributions: bool, one_class: bool = False) -> Batch:
    """Returns what Keras gives to a step as a batch.

    >>> images = tf.zeros([2, 8, 8, 3], tf.uint8)
    >>> batch = to_batch((images, tf.constant([[0.0, 1.0], [0.0, 0.0]])), distributions=False)
    >>> batch["views"].shape, batch["labels"].numpy().tolist()
    (TensorShape([2, 1, 8, 8, 3]), [1, -1])

    Args:
      data: `(x, y)` or `(x, y, weights)`, or a dict with the keys `views`, `labels` and, if there are any, `weights`.
        `x` is views `[batch, views, height, width, channels]` or images `[batch, height, width, channels]`, which
        become one view each. `y` is labels as `class_indices` takes them. Weights are `[batch]` or `[batch, 1]`, or
        `[batch, classes]` for images with several classes. Other keys of a dict are kept.
      distributions: whether labels `[batch, classes]` are kept. Otherwise they must be one-hot and become class
        numbers.
      one_class: whether labels `[batch, 1]` are 0 and 1 for the one class, and not class numbers.

    Raises:
      ArgumentError: there are no labels, or images or labels have the wrong shape or type.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    others: Batch = {}
    if isinstance(x, dict) and y is None:
        if "views" not in x or "labels" not in x:
            raise ArgumentError(
                "x", NAME_ONLY, f"a batch with the keys {', '.join(map(str, x))} needs 'views' and 'labels'"
            )
        others, x, y, weights = x, x["views"], x["labels"], x.get("weights")
    if isinstance(x, (list, tuple, dict)) or x is None:
        problem = f"is of type {type(x).__name__}, but must be one tensor; tf.stack([a, b], axis=1) joins views"
        raise ArgumentError("x", NAME_ONLY, problem)
    views = tf.convert_to_tensor(x)
    if views.shape.rank not in (4, 5):
        shapes = "[batch, views, height, width, channels] or [batch, height, width, channels]"
        raise ArgumentError("x", NAME_ONLY, f"must be views or images, {shapes}, not of shape {views.shape}")
    if y is None:
        raise ArgumentError("y", None, "must hold a label for each image; -1 is an unlabelled image")
    labels = tf.convert_to_tensor(y)
    if not (distributions and labels.shape.rank == 2 and (one_class or labels.shape[1] != 1)):
        labels = class_indices(labels, size_of(views, 0))
    batch = {**others, "views": views if views.shape.rank == 5 else views[:, tf.newaxis], "labels": labels}
    if weights is not None:
        weights = tf.cast(weights, tf.float32)
        by_image = weights.shape[-1] == 1 and not (one_class and batch["labels"].shape.rank == 2)
        batch["weights"] = tf.reshape(weights, [-1]) if by_image else weights
    return batch


@tf.autograph.experimental.do_not_convert
def with_weights(batch: Batch) -> Batch:
    """Gives unlabelled images the weight 0 and the label 0, so that a classifier can take the batch.

    >>> with_weights({"labels": tf.constant([2, -1])})["weights"].numpy().tolist()
    [1.0, 0.0]

    Args:
      batch: labels are whole numbers, `[batch]` or `[batch, classes]`; −1 is unknown.

    Raises:
      InvalidArgumentError: a label is below −1.
    """
    labels = batch["labels"]
    with _after([_check_lowest(labels)]):
        known = tf.cast(labels >= 0, tf.float32)
    weights = known * batch["weights"] if "weights" in batch else known
    return {**batch, "labels": tf.maximum(labels, 0), "weights": weights}


@tf.autograph.experimental.do_not_convert
def without_labels(batch: Batch) -> Batch:
    """Makes every image of a batch an unlabelled one.

    >>> without_labels({"labels": tf.constant([[0, 1], [1, 1]])})["labels"].numpy().tolist()
    [-1, -1]
    """
    labels = tf.fill([size_of(batch["labels"], 0)], UNLABELLED)
    return {**{name: part for name, part in batch.items() if name != "weights"}, "labels": labels}


@tf.autograph.experimental.do_not_convert
def likeliest_classes(labels: tf.Tensor) -> tf.Tensor:
    """Returns the likeliest class of each image, `[batch]`; −1 for an unlabelled image.

    >>> likeliest_classes(tf.constant([[0.3, 0.7], [0.0, 0.0]])).numpy().tolist()
    [1, -1]

    Args:
      labels: class numbers `[batch]` or `[batch, 1]`, or distributions `[batch, classes]`, zeros for unlabelled.

    Raises:
      ArgumentError, InvalidArgumentError: see `class_indices` and `checked_distributions`.
    """
    if labels.shape.rank != 2 or labels.shape[1] == 1:
        return class_indices(labels, size_of(labels, 0))
    labels = checked_distributions(labels)
    known = tf.reduce_any(labels > 0, axis=1)
    return tf.where(known, tf.argmax(labels, axis=1, output_type=tf.int32), UNLABELLED)


@tf.autograph.experimental.do_not_convert
def checked_distributions(labels: tf.Tensor) -> tf.Tensor:
    """Returns labels `[batch, classes]` whose rows are distributions: not negative, with a sum of at most 1.

    The sum is less than 1 where a part of an image has no label, and 0 for an unlabelled image.

    Raises:
      InvalidArgumentError: a row is no distribution. XLA cannot raise and does not check.
    """
    message = "labels [batch, classes] must be distributions over the classes: not negative, with a sum of at most 1"
    numbers = tf.cast(labels, tf.float32)
    lowest, sums = tf.reduce_min(numbers, axis=1), tf.reduce_sum(numbers, axis=1)
    checks = [
        tf.debugging.assert_greater_equal(lowest, 0.0, message=message),
        tf.debugging.assert_less_equal(sums, LARGEST_SUM, message=message),
    ]
    with _after(checks):
        return tf.identity(labels)


@tf.autograph.experimental.do_not_convert
def class_indices(labels: tf.Tensor, batch: Size) -> tf.Tensor:
    """Returns labels as class numbers `[batch]`, int32 or int64; −1 is an unlabelled image.

    >>> class_indices(tf.constant([[0, 1], [1, 0], [0, 0]]), 3).numpy().tolist()
    [1, 0, -1]

    Args:
      labels: whole numbers `[batch]` or `[batch, 1]`, or one-hot `[batch, classes]` with zeros for unlabelled.
      batch: number of images.

    Raises:
      ArgumentError: the type or the shape does not fit. Class numbers in half precision are rejected: they would merge
        classes from 256 on. Keras casts float labels to the precision of the model's outputs.
      InvalidArgumentError: a row is neither one-hot nor zeros, or a number is not whole, below −1, or not below 2⁶³
        (float32: 2²⁴, float64: 2⁵³).
        Or there are more labels than images, or fewer, where static shapes did not tell. XLA does not check.
    """
    labels = tf.convert_to_tensor(labels)
    if not (labels.dtype.is_integer or labels.dtype.is_floating or labels.dtype.is_bool):
        raise ArgumentError("labels", NAME_ONLY, f"must be numbers, not {labels.dtype.name}")
    if labels.shape.rank not in (1, 2):
        shapes = "[batch], [batch, 1] or one-hot [batch, classes]"
        raise ArgumentError("labels", NAME_ONLY, f"must be {shapes}, not of shape {labels.shape}")
    given = size_of(labels, 0)
    if isinstance(given, int) and isinstance(batch, int) and given != batch:
        raise ArgumentError("labels", NAME_ONLY, f"there are {given} for {batch} images")
    checks = [tf.debugging.assert_equal(given, batch, message="the numbers of labels and images must be equal")]
    if labels.shape.rank == 2 and labels.shape[1] != 1:
        is_class = labels if labels.dtype.is_bool else labels != 0
        classes = tf.math.count_nonzero(is_class, axis=1, dtype=tf.int32)
        message = "labels [batch, classes] must be one-hot: an image has one class (1), or none (zeros)"
        checks.append(tf.debugging.assert_less_equal(classes, 1, message=message))
        numbers = tf.cast(labels, tf.float32)
        checks.append(tf.debugging.assert_equal(numbers, tf.cast(is_class, tf.float32), message=message))
        with _after(checks):
            return tf.where(classes == 0, UNLABELLED, tf.argmax(tf.cast(is_class, tf.int32), 1, tf.int32))
    labels = tf.reshape(labels, [-1])
    if labels.dtype in (tf.float16, tf.bfloat16):
        problem = "it merges classes; give integers, which Keras does not cast under mixed precision"
        raise ArgumentError("labels", NAME_ONLY, f"must not be {labels.dtype.name}: {problem}")
    if labels.dtype.is_floating:
        checks.append(tf.debugging.assert_equal(labels, tf.round(labels), message="labels must be whole numbers"))
    checks += [_check_lowest(labels), _check_highest(labels)]
    narrow = labels.dtype.is_bool or labels.dtype.size < 4 or labels.dtype == tf.int32
    with _after(checks):
        return tf.cast(labels, tf.int32 if narrow else tf.int64)


def _check_lowest(labels: tf.Tensor) -> Optional[tf.Operation]:
    """Checks that no label is below −1. XLA cannot raise and does not check."""
    if labels.dtype.is_bool or labels.dtype.is_unsigned:
        return None
    message = "labels must not be below -1, which is an unlabelled image; number the classes from 0"
    return tf.debugging.assert_greater_equal(labels, tf.cast(UNLABELLED, labels.dtype), message=message)


def _check_highest(labels: tf.Tensor) -> Optional[tf.Operation]:
    """Checks that no label is too large to be exact. XLA cannot raise and does not check."""
    if not labels.dtype.is_floating and labels.dtype != tf.uint64:
        return None
    bits = EXACT_BITS[labels.dtype]
    advice = "int64 cannot hold more" if labels.dtype == tf.uint64 else "from there on it merges numbers; give integers"
    message = f"labels of type {labels.dtype.name} must be finite and below 2^{bits}: {advice}"
    return tf.debugging.assert_less(labels, tf.constant(2**bits, labels.dtype), message=message)


def _after(checks: List[Optional[tf.Operation]]) -> ContextManager[None]:
    """Makes a graph wait for checks; an eager check is None and has passed."""
    return tf.control_dependencies([check for check in checks if check is not None])
