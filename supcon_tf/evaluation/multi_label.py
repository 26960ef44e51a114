"""Evaluates a classifier on images that may have several classes. Every image counts once."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import tensorflow as tf

from supcon_tf.distribute import gather
from supcon_tf.evaluation.inputs import EvaluationInputs, held_out_batches, unpack


def average_precision(scores: np.ndarray, labels: np.ndarray) -> Optional[float]:
    """Computes the interpolated average precision of one class, as defined by VOC 2007 (Everingham et al., 2010).

    The images are sorted by falling score; equal scores keep their order. After each image, recall is r and precision
    is p(r). The result is the mean over t = 0, 0.1, ..., 1 of the largest p(r) with r ≥ t.

    >>> average_precision(np.array([4.0, 3.0, 2.0]), np.array([1, 0, 0]))
    1.0

    Args:
      scores: `[images]`, higher for an image that more likely has the class.
      labels: `[images]`, 1 for images that have the class, else 0.

    Returns:
      A number from 0 to 1, or None if no image has the class.
    """
    hits = labels[np.argsort(-scores, kind="stable")].astype(np.int64)
    found = np.cumsum(hits)
    if not hits.any():
        return None
    precision = found / np.arange(1, len(hits) + 1)
    # The envelope is the largest precision from each image on. Recall reaches t where 10·found reaches 10·t·total; both
    # are whole numbers, which compare exactly.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[np.searchsorted(10 * found, found[-1] * np.arange(11))].mean())


def evaluate_multi_label(inputs: EvaluationInputs) -> Optional[Dict[str, Any]]:
    """Measures the mean average precision over the classes, from the scores of all images and replicas together.

    Needs the model's logits and held-out images with labels and weights `[batch, classes]`. An image does not count for
    a class with weight 0. On VOC, these are classes with no object except ones marked difficult, as in VOCevalcls.m of
    the devkit.

    Returns:
      `mean_average_precision`, over the classes that an image has (0 if there are none); `average_precision`, a list
      with None for each class that no image has; `cross_entropy` (nats), the sum over an image's classes; `images`,
      their number. None where an image has one class, or none.
    """
    if not inputs.num_classes or not inputs.multi_label:
        return None

    @tf.function
    def step(batch: Any) -> Tuple[tf.Tensor, ...]:
        images, labels, weights = unpack(batch)
        return gather(inputs.model(images, training=False)), gather(labels), gather(weights)

    parts: List[List[np.ndarray]] = []
    for batch in held_out_batches(inputs):
        outputs = inputs.strategy.run(step, args=(batch,))
        parts.append([inputs.strategy.experimental_local_results(output)[0].numpy() for output in outputs])
    logits, labels, weights = (np.concatenate(part) for part in zip(*parts))
    counts = weights > 0
    precisions = [average_precision(*(x[counts[:, i], i] for x in (logits, labels))) for i in range(logits.shape[1])]
    cross_entropy = np.logaddexp(0, np.where(labels > 0, -1, 1) * logits.astype(np.float64))
    images = int(counts.any(axis=1).sum())
    there = [value for value in precisions if value is not None]
    return {
        "mean_average_precision": round(float(np.mean(there or [0.0])), 6),
        "average_precision": [None if value is None else round(value, 6) for value in precisions],
        "cross_entropy": round(float(cross_entropy[counts].sum() / max(images, 1)), 6),
        "images": images,
    }
