"""What the device does to a batch at the start of a training step: the last steps of augmentation, and mixing."""

from typing import Any, Callable, Dict, Tuple

import tensorflow as tf

# What the host made of a batch, by name, and integer labels → views, and labels or distributions over the classes
Prepare = Callable[[Dict[str, tf.Tensor], tf.Tensor], Tuple[tf.Tensor, tf.Tensor]]


def prepared(model: Any, views: Any, labels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Views and labels as they are, or what the model's `prepare` makes of the parts that stand in their place."""
    return model.prepare(views, labels) if isinstance(views, dict) else (views, labels)


def likeliest(labels: tf.Tensor) -> tf.Tensor:
    """Integer labels `[batch]` of distributions `[batch, classes]`, −1 for a row of zeros; others as they are."""
    if labels.shape.rank != 2 or labels.shape[1] == 1:
        return labels
    return tf.where(tf.reduce_any(labels > 0, axis=1), tf.argmax(labels, axis=1, output_type=tf.int32), -1)
