"""Evaluates a classifier on images with one class each. Every image counts once."""

from typing import Any, Dict, List, Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.evaluation.inputs import EvaluationInputs, held_out_batches, unpack

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
        """Adds a batch: labels `[batch]` or `[batch, 1]`, logits `[batch, classes]`, weights `[batch]`."""
        predicted = tf.argmax(y_pred, axis=1)
        weights = None if sample_weight is None else tf.reshape(sample_weight, [-1])
        labels = tf.reshape(y_true, [-1])
        matrix = tf.math.confusion_matrix(labels, predicted, self.num_classes, weights, dtype=self.counts.dtype)
        self.counts.assign_add(matrix)

    def result(self) -> tf.Tensor:
        """Returns the counts, `[classes, classes]` float32."""
        return tf.identity(self.counts)


def evaluate_classifier(inputs: EvaluationInputs) -> Optional[Dict[str, Any]]:
    """Measures accuracy and cross-entropy, and counts the confusions of up to a thousand classes.

    Needs the model's logits and the held-out images with one class each.

    Returns:
      `top1` and `top5` (shares of the images; `top5` is 1 with fewer than five classes), `cross_entropy` (nats),
      `images` (their number) and `confusion_matrix` (a list of rows, or None). None where the images have no class, or
      may have several.
    """
    if not inputs.num_classes or inputs.multi_label:
        return None
    model, num_classes = inputs.model, inputs.num_classes
    with inputs.strategy.scope():
        metrics: List[keras.metrics.Metric] = [
            keras.metrics.SparseCategoricalAccuracy("top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(min(5, num_classes), "top5"),
            keras.metrics.SparseCategoricalCrossentropy("cross_entropy", from_logits=True),
            keras.metrics.Sum("images"),
        ]
        if num_classes <= LARGEST_CONFUSION_MATRIX:
            metrics.append(ConfusionMatrix(num_classes))

    @tf.function
    def step(batch: Any) -> None:
        images, labels, weights = unpack(batch)
        logits = model(images, training=False)
        for metric in metrics:
            if metric.name == "images":
                metric.update_state(weights)
            else:
                metric.update_state(labels, logits, sample_weight=weights)

    for batch in held_out_batches(inputs):
        inputs.strategy.run(step, args=(batch,))
    figures: Dict[str, Any] = {metric.name: metric.result().numpy() for metric in metrics}
    matrix = figures.pop("confusion_matrix", None)
    return {
        **{name: round(float(value), 6) for name, value in figures.items()},
        "images": int(figures["images"]),
        "confusion_matrix": None if matrix is None else matrix.astype(np.int64).tolist(),
    }
