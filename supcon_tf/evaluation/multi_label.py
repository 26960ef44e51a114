"""Figures of a classifier of images that have several classes, on held-out ones, each image counted once."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import Batch
from supcon_tf.distribute import gather


def average_precision(scores: np.ndarray, labels: np.ndarray) -> Optional[float]:
    """Interpolated average precision of one class, as VOC 2007 has it (Everingham et al., 2010).

    The images are put in order of their scores, those of equal score in the order in which they come. Recall and
    precision after each of them are r and p(r); the result is the mean over t = 0, 0.1, ..., 1 of the largest p(r) with
    r ≥ t.

    Args:
      scores: `[images]`, higher for an image that more likely has the class.
      labels: `[images]`, 1 for those that have it, else 0.

    Returns:
      A number from 0 to 1; None if no image has the class.
    """
    hits = labels[np.argsort(-scores, kind="stable")].astype(np.int64)
    found = np.cumsum(hits)
    if not hits.any():
        return None
    precision = found / np.arange(1, len(hits) + 1)
    # The largest precision from each image on; and the first image from which on recall is t, in whole numbers.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[np.searchsorted(10 * found, found[-1] * np.arange(11))].mean())


def evaluate_multi_label(model: keras.Model, batches: tf.data.Dataset, steps: int) -> Dict[str, Any]:
    """Mean average precision over the classes, by scores of all images and replicas together.

    Of an image, classes of weight 0 are left out: neither found nor missed. On VOC these are those of which it has only
    objects marked difficult, as in VOCevalcls.m of the devkit.

    Args:
      model: images → logits `[batch, classes]`.
      batches: distributed batches as `supcon_tf.batch` describes them, with one view of each image; labels and weights
        are `[batch, classes]`. Images that only fill the last batch have weights of 0.
      steps: their number.

    Returns:
      `mean_average_precision`, over the classes that an image has, 0 if there are none; `average_precision`, of each
      class, None for those that no image has; `cross_entropy` (nats), the sum over an image's classes; `images`.
    """

    @tf.function
    def step(batch: Batch) -> Tuple[tf.Tensor, ...]:
        logits = model(batch["views"][:, 0], training=False)
        return gather(logits), gather(batch["labels"]), gather(batch["weights"])

    strategy, iterator = model.distribute_strategy, iter(batches)
    of_steps: List[List[np.ndarray]] = []
    for _ in range(steps):
        outputs = strategy.run(step, args=(next(iterator),))
        of_steps.append([strategy.experimental_local_results(output)[0].numpy() for output in outputs])
    logits, labels, weights = (np.concatenate(part) for part in zip(*of_steps))
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
