"""Figures of a classifier on held-out images, each image counted once."""

from typing import Any, Dict, List, Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import Batch

LARGEST_CONFUSION_MATRIX = 1000


class ConfusionMatrix(keras.metrics.Metric):
    """Counts of images by true class (row) and predicted class (column).

    Args:
      num_classes: number of classes.
    """

    def __init__(self, num_classes: int, name: str = "confusion_matrix") -> None:
        super().__init__(name=name)
        self.num_classes = num_classes
        self.counts = self.add_weight("counts", shape=(num_classes, num_classes), initializer="zeros")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Optional[tf.Tensor] = None) -> None:
        """Labels `[batch]` or `[batch, 1]`, logits `[batch, classes]`, weights `[batch]`."""
        predicted = tf.argmax(y_pred, axis=1)
        weights = None if sample_weight is None else tf.reshape(sample_weight, [-1])
        labels = tf.reshape(y_true, [-1])
        matrix = tf.math.confusion_matrix(labels, predicted, self.num_classes, weights, dtype=self.counts.dtype)
        self.counts.assign_add(matrix)

    def result(self) -> tf.Tensor:
        """`[classes, classes]` float32."""
        return tf.identity(self.counts)


def evaluate_classifier(
    model: keras.Model, batches: tf.data.Dataset, steps: int, *, num_classes: int
) -> Dict[str, Any]:
    """Top-1 and top-5 accuracy, cross-entropy and, up to a thousand classes, the confusion matrix.

    Args:
      model: images → logits `[batch, classes]`.
      batches: distributed batches as `supcon_tf.batch` describes them, with one view of each image and weights; images
        that only fill the last batch have weight 0.
      steps: their number.
      num_classes: number of classes; with fewer than five, top-5 accuracy is 1.

    Returns:
      `top1` and `top5` (shares of the images), `cross_entropy` (nats), `images`, and `confusion_matrix` (a list of
      rows, or None).
    """
    with model.distribute_strategy.scope():
        metrics: List[keras.metrics.Metric] = [
            keras.metrics.SparseCategoricalAccuracy("top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(min(5, num_classes), "top5"),
            keras.metrics.SparseCategoricalCrossentropy("cross_entropy", from_logits=True),
            keras.metrics.Sum("images"),
        ]
        if num_classes <= LARGEST_CONFUSION_MATRIX:
            metrics.append(ConfusionMatrix(num_classes))

    @tf.function
    def step(batch: Batch) -> None:
        labels, weights = batch["labels"], batch["weights"]
        logits = model(batch["views"][:, 0], training=False)
        for metric in metrics:
            if metric.name == "images":
                metric.update_state(weights)
            else:
                metric.update_state(labels, logits, sample_weight=weights)

    iterator = iter(batches)
    for _ in range(steps):
        model.distribute_strategy.run(step, args=(next(iterator),))
    figures: Dict[str, Any] = {metric.name: metric.result().numpy() for metric in metrics}
    matrix = figures.pop("confusion_matrix", None)
    return {
        **{name: round(float(value), 6) for name, value in figures.items()},
        "images": int(figures["images"]),
        "confusion_matrix": None if matrix is None else matrix.astype(np.int64).tolist(),
    }
