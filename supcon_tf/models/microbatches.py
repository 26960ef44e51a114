"""Gradient caching: the exact gradient of a loss over a batch with the activations of a small part of it in memory.

A contrastive loss needs the projections of all images together, but not the encoder's activations (Gao et al., 2021,
arXiv 2101.06983). So there are three passes:

1. Project all images, a microbatch at a time, and keep only the projections z.
2. Compute the loss and its gradient g at z.
3. Project each microbatch again and compute ∂(z·g)/∂θ.

The sum over microbatches is the exact gradient of the whole batch if two conditions hold. An image's projection depends
on that image alone, and it is the same in both passes. So random layers, such as dropout, draw the same numbers in both
(`replay.py`).
With batch normalisation, statistics are those of a microbatch. The moving averages move once in a step, by the mean
over its microbatches.
"""

from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

import tensorflow as tf
from tensorflow import keras

from supcon_tf.distribute import repeat
from supcon_tf.errors import ArgumentError
from supcon_tf.models.replay import make_replayable, parts_of, replayed

# views [batch, views, height, width, channels] → embeddings and projections, [batch, views, dim] each
EmbedAndProject = Callable[[tf.Tensor], Tuple[tf.Tensor, tf.Tensor]]


class Microbatches:
    """A batch that passes the encoder a few images at a time.

    Args:
      views: `[batch, views, height, width, channels]`.
      size: number of images in a microbatch. The last one may be smaller where the batch size is not static.
      embed_and_project: maps the views of a microbatch to embeddings and projections, in training mode.
      layers: the layers that `embed_and_project` uses.
      seed: returns the seed `[2]` int32 of this step's random layers.

    Raises:
      ArgumentError: `size` does not divide a static batch size.
    """

    def __init__(
        self,
        views: tf.Tensor,
        size: int,
        embed_and_project: EmbedAndProject,
        layers: Sequence[keras.layers.Layer],
        seed: Callable[[], tf.Tensor],
    ) -> None:
        batch = views.shape[0]
        if batch is not None and batch % size:
            raise ArgumentError("microbatch_size", size, f"must divide the batch of {batch} images")
        self._batch = batch
        self._size = size
        # A replica without images has one microbatch without images, so that it has projections `[0, views, dim]`.
        whole = tf.maximum(-(-tf.shape(views)[0] // size), 1) if batch is None else batch // size
        self._count: Union[int, tf.Tensor] = whole
        self._views = self._cut(views)
        self._embed_and_project = embed_and_project
        self._seed = seed
        make_replayable(layers)
        self._communicates = any(getattr(part, "synchronized", False) for part in parts_of(layers))
        weights = [weight for layer in layers for weight in layer.non_trainable_weights]
        # Moving averages, which a layer updates in every call. Each replica has its own.
        self._averages = [w for w in weights if w.synchronization == tf.VariableSynchronization.ON_READ]

    def embed_and_project(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Returns embeddings and projections of the whole batch, `[batch, views, dim]` each; not differentiable."""
        before = [tf.identity(average) for average in self._averages]
        shapes: List[tf.TensorShape] = []

        def body(k: Any, embeddings: tf.TensorArray, projections: tf.TensorArray, *sums: tf.Tensor) -> List[Any]:
            outputs = self._project_part(k)
            shapes[:] = [x.shape for x in outputs]
            after = [tf.identity(average) for average in self._averages]
            self._reset(before)
            arrays = [array.write(k, x) for array, x in zip((embeddings, projections), outputs)]
            return [*arrays, *(sum + value for sum, value in zip(sums, after))]

        arrays = [tf.TensorArray(tf.float32, self._count, infer_shape=self._batch is not None) for _ in range(2)]
        start = [*arrays, *(tf.zeros_like(value) for value in before)]
        end = repeat(self._count, body, start, communicates=self._communicates)
        self._reset([sum / tf.cast(self._count, sum.dtype) for sum in end[2:]])
        joined = [tf.ensure_shape(array.concat(), [self._batch, *shape[1:]]) for array, shape in zip(end[:2], shapes)]
        return joined[0], joined[1]

    def gradient(self, upstream: Sequence[Optional[tf.Tensor]], weights: Sequence[tf.Variable]) -> List[tf.Tensor]:
        """Returns the gradient of `weights` from those at embeddings and projections, `[batch, views, dim]` or None."""
        before = [tf.identity(average) for average in self._averages]
        reached = [number for number, values in enumerate(upstream) if values is not None]
        cut = [self._cut(upstream[number]) for number in reached]

        def body(k: Any, *sums: tf.Tensor) -> List[tf.Tensor]:
            with tf.GradientTape() as tape:
                outputs = self._project_part(k)
            gradients = tape.gradient(
                [outputs[number] for number in reached],
                weights,
                output_gradients=[self._part(values, k) for values in cut],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return [sum + gradient for sum, gradient in zip(sums, gradients)]

        start = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
        sums = repeat(self._count, body, start, communicates=self._communicates)
        self._reset(before)
        return list(sums)

    def _project_part(self, k: Any) -> Tuple[tf.Tensor, tf.Tensor]:
        """Returns embeddings and projections of microbatch `k`, with equal random numbers in each call."""
        with replayed(lambda: tf.random.experimental.stateless_fold_in(self._seed(), k)):
            return self._embed_and_project(self._part(self._views, k))

    def _cut(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes `[batch, ...]` to `[count, size, ...]` where the batch size is static, as XLA needs it."""
        return x if self._batch is None else tf.reshape(x, [self._count, self._size, *x.shape[1:]])

    def _part(self, x: tf.Tensor, k: Any) -> tf.Tensor:
        """Returns the part of microbatch `k` of what `_cut` returned."""
        return x[k * self._size : (k + 1) * self._size] if self._batch is None else tf.gather(x, k)

    def _reset(self, values: Sequence[tf.Tensor]) -> None:
        for average, value in zip(self._averages, values):
            average.assign(value)


def minimize_in_microbatches(
    optimizer: keras.optimizers.Optimizer,
    microbatches: Microbatches,
    objective: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    variables: Sequence[tf.Variable],
    *,
    projecting: Sequence[tf.Variable],
) -> None:
    """Takes the optimizer's step, like `optimizer.minimize`, by way of the gradient at embeddings and projections.

    Args:
      optimizer: a `LossScaleOptimizer` too.
      microbatches: the batch.
      objective: maps embeddings and projections of the whole batch, `[batch, views, dim]` each, to a scalar.
      variables: the variables to train.
      projecting: the variables among them that embeddings or projections depend on.
    """
    embeddings, projections = microbatches.embed_and_project()
    scaling = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    with tf.GradientTape() as tape:
        tape.watch([embeddings, projections])
        value = objective(embeddings, projections)
        if scaling:
            value = optimizer.get_scaled_loss(value)
    *upstream, direct = tape.gradient(value, [embeddings, projections, list(variables)])
    through_outputs = dict(zip(map(id, projecting), microbatches.gradient(upstream, projecting)))
    gradients = [_sum_of(gradient, through_outputs.get(id(variable))) for gradient, variable in zip(direct, variables)]
    if scaling:
        gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, variables))


def _sum_of(*gradients: Optional[tf.Tensor]) -> Optional[tf.Tensor]:
    """Returns the sum of the gradients that are not None; None if all are None."""
    present = [gradient for gradient in gradients if gradient is not None]
    return tf.add_n(present) if present else None
