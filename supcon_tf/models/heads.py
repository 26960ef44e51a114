"""The projection head between the embedding and the contrastive loss (Khosla et al. 2020, section 3.1)."""

from typing import Any, Dict, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError, check_flags, check_whole, is_whole
from supcon_tf.models.initialization import derived_seed, initializer_of_projection
from supcon_tf.models.normalization import batch_normalization


def l2_normalize(vectors: tf.Tensor) -> tf.Tensor:
    """Returns vectors `[..., dim]` divided by their length, in float32. Zero stays zero, with a finite gradient.

    >>> l2_normalize(tf.constant([3.0, 4.0])).numpy()
    array([0.6, 0.8], dtype=float32)
    """
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)


@keras.saving.register_keras_serializable("supcon_tf")
class ProjectionHead(keras.layers.Layer):
    """A multilayer perceptron from embeddings `[batch, dim]` to projections `[batch, layers[-1]]` float32.

    Hidden layers have a bias or batch normalisation, and ReLU. The last layer is linear, without bias.

    >>> ProjectionHead((512, 128))(tf.zeros([4, 2048])).shape
    TensorShape([4, 128])

    Args:
      layers: number of units of each layer. A single number is the paper's linear head.
      batch_norm: whether hidden layers have batch normalisation instead of a bias.
      normalize: whether projections are L2-normalised.
      synchronized_batch_norm: whether batch statistics are those of all replicas together.
      initialization: how the weights begin, see `supcon_tf/models/initialization.py`.
      seed: seed of the initial weights.

    Raises:
      ArgumentError: an argument is not allowed.
    """

    def __init__(
        self,
        layers: Sequence[int] = (2048, 128),
        batch_norm: bool = False,
        normalize: bool = True,
        synchronized_batch_norm: bool = False,
        initialization: str = "default",
        seed: int = 0,
        name: str = "projection_head",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not _are_units(layers):
            raise ArgumentError("layers", layers, "must be the units of each layer, whole numbers above 0: (512, 128)")
        check_flags(batch_norm=batch_norm, normalize=normalize, synchronized_batch_norm=synchronized_batch_norm)
        check_whole("seed", seed)
        self.options = {
            "layers": tuple(layers),
            "batch_norm": batch_norm,
            "normalize": normalize,
            "synchronized_batch_norm": synchronized_batch_norm,
            "initialization": initialization,
            "seed": seed,
        }
        stack = []
        for index, units in enumerate(layers, start=1):
            hidden = index < len(layers)
            stack.append(
                keras.layers.Dense(
                    units,
                    use_bias=hidden and not batch_norm,
                    kernel_initializer=initializer_of_projection(
                        initialization, derived_seed(seed, f"projection_dense{index}"), hidden=hidden
                    ),
                    dtype=self.dtype_policy,
                    name=f"dense{index}",
                )
            )
            if hidden and batch_norm:
                stack.append(
                    batch_normalization(
                        momentum=0.9,
                        epsilon=1e-5,
                        synchronized=synchronized_batch_norm,
                        dtype=self.dtype_policy,
                        name=f"norm{index}",
                    )
                )
            if hidden:
                stack.append(keras.layers.ReLU(dtype=self.dtype_policy, name=f"relu{index}"))
        self.stack = keras.Sequential(stack, name="stack")

    def build(self, input_shape: tf.TensorShape) -> None:
        self.stack.build(input_shape)
        super().build(input_shape)

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        projections = tf.cast(self.stack(inputs, training=training), tf.float32)
        return l2_normalize(projections) if self.options["normalize"] else projections

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), **self.options}


def _are_units(layers: Any) -> bool:
    """Returns whether these are the numbers of units of one or more layers."""
    sizes = list(layers) if hasattr(layers, "__iter__") else []
    return bool(sizes) and all(is_whole(units) and units > 0 for units in sizes)
