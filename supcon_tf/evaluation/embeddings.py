"""Embeds images once, for what is computed from frozen embeddings."""

from typing import Any, List, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf import progress
from supcon_tf.distribute import gather, is_chief
from supcon_tf.evaluation.inputs import unpack


class Embeddings(NamedTuple):
    """Embeddings of labelled images.

    Attributes:
      vectors: `[images, dim]` float32.
      labels: `[images]` integers.
    """

    vectors: np.ndarray
    labels: np.ndarray


def embed_images(model: keras.Model, batches: tf.data.Dataset, steps: int) -> Embeddings:
    """Embeds the images of distributed batches, each once; leaves out those of weight 0, which fill a batch.

    Every process gets the embeddings of all images, in the same order.

    Args:
      model: its `embed` maps images `[batch, height, width, channels]` to embeddings `[batch, dim]`.
      batches: distributed batches of images with one class each, as `supcon_tf.batch` describes them.
      steps: their number.
    """
    strategy = model.distribute_strategy

    @tf.autograph.experimental.do_not_convert
    def step(batch: Any) -> Any:
        images, labels, weights = unpack(batch)
        return [gather(x) for x in (model.embed(images), labels, weights)]

    run = tf.function(lambda batch: strategy.run(step, args=(batch,)), autograph=False)
    found: List[Any] = []
    iterator = iter(batches)
    for _ in progress.counted(range(steps), steps, "embed", show=is_chief(strategy)):
        values = [strategy.experimental_local_results(value)[0].numpy() for value in run(next(iterator))]
        known = values[2] > 0
        found.append([value[known] for value in values[:2]])
    vectors, labels = (np.concatenate(parts) for parts in zip(*found))
    return Embeddings(vectors, labels)
