"""Gradient caching: the gradient of a loss over a batch with the activations of a small part of it in memory.

A contrastive loss is one of all projections together, but it needs the encoder's activations nowhere (Gao et al., 2021,
arXiv 2101.06983). So all images are projected first, a microbatch at a time, and nothing but the projections is kept;
the loss gives its gradient g at the projections z; then each microbatch is projected again, now for ∂(z·g)/∂θ.

The sum of these is the gradient of the whole batch, exactly, where an image's projection depends on that image alone
and is the same both times: dropout, say, would draw anew.
With batch normalisation it depends on its microbatch: statistics are those of a microbatch. The moving averages move
once in a step, by the mean over its microbatches.
"""

from typing import Any, Callable, List, Sequence, Tuple, Union

import tensorflow as tf
from tensorflow import keras

from supcon_tf.distribute import repeat

# views [batch, views, height, width, channels] → embeddings and projections, [batch, views, dim] each
EmbedAndProject = Callable[[tf.Tensor], Tuple[tf.Tensor, tf.Tensor]]


class Microbatches:
    """A batch that passes the encoder a few images at a time.

    Args:
      views: `[batch, views, height, width, channels]`.
      size: images in a microbatch; a last, smaller one is possible where the size of the batch is not known in advance.
      embed_and_project: what a microbatch passes, in training mode.
      layers: what that is made of.

    Raises:
      ValueError: `size` does not divide a batch whose size is known.
    """

    def __init__(
        self,
        views: tf.Tensor,
        size: int,
        embed_and_project: EmbedAndProject,
        layers: Sequence[keras.layers.Layer],
    ) -> None:
        batch = views.shape[0]
        if batch is not None and batch % size:
            raise ValueError(f"microbatches of {size} images don't divide a batch of {batch}")
        self._batch = batch
        self._size = size
        self._count: Union[int, tf.Tensor] = -(-tf.shape(views)[0] // size) if batch is None else batch // size
        self._views = self._cut(views)
        self._embed_and_project = embed_and_project
        parts = [part for layer in layers for part in layer.submodules if isinstance(part, keras.layers.Layer)]
        self._communicates = any(getattr(part, "synchronized", False) for part in parts)
        weights = [weight for layer in layers for weight in layer.non_trainable_weights]
        # What a layer updates by itself in every call: moving averages, which each replica has its own of.
        self._averages = [w for w in weights if w.synchronization == tf.VariableSynchronization.ON_READ]

    def embed_and_project(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Embeddings and projections of the whole batch, `[batch, views, dim]` each; not differentiable."""
        before = [tf.identity(average) for average in self._averages]
        shapes: List[tf.TensorShape] = []

        def body(k: Any, embeddings: tf.TensorArray, projections: tf.TensorArray, *sums: tf.Tensor) -> List[Any]:
            of_part = self._embed_and_project(self._part(self._views, k))
            shapes[:] = [x.shape for x in of_part]
            after = [tf.identity(average) for average in self._averages]
            self._reset(before)
            arrays = [array.write(k, x) for array, x in zip((embeddings, projections), of_part)]
            return [*arrays, *(sum + value for sum, value in zip(sums, after))]

        arrays = [tf.TensorArray(tf.float32, self._count, infer_shape=self._batch is not None) for _ in range(2)]
        start = [*arrays, *(tf.zeros_like(value) for value in before)]
        end = repeat(self._count, body, start, communicates=self._communicates)
        self._reset([sum / tf.cast(self._count, sum.dtype) for sum in end[2:]])
        joined = [tf.ensure_shape(array.concat(), [self._batch, *shape[1:]]) for array, shape in zip(end[:2], shapes)]
        return joined[0], joined[1]

    def gradient(self, of_projections: tf.Tensor, weights: Sequence[tf.Variable]) -> List[tf.Tensor]:
        """From the gradient at the projections, `[batch, views, dim]`, to that of `weights`."""
        before = [tf.identity(average) for average in self._averages]
        upstream = self._cut(of_projections)

        def body(k: Any, *sums: tf.Tensor) -> List[tf.Tensor]:
            with tf.GradientTape() as tape:
                _, projections = self._embed_and_project(self._part(self._views, k))
            gradients = tape.gradient(
                projections,
                weights,
                output_gradients=self._part(upstream, k),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return [sum + gradient for sum, gradient in zip(sums, gradients)]

        start = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
        sums = repeat(self._count, body, start, communicates=self._communicates)
        self._reset(before)
        return list(sums)

    def _cut(self, x: tf.Tensor) -> tf.Tensor:
        """`[batch, ...]` → `[count, size, ...]` where the size of the batch is known, for XLA; else `x`."""
        return x if self._batch is None else tf.reshape(x, [self._count, self._size, *x.shape[1:]])

    def _part(self, x: tf.Tensor, k: Any) -> tf.Tensor:
        return x[k * self._size : (k + 1) * self._size] if self._batch is None else tf.gather(x, k)

    def _reset(self, values: Sequence[tf.Tensor]) -> None:
        for average, value in zip(self._averages, values):
            average.assign(value)
