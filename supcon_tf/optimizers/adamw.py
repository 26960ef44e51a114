"""AdamW whose excluded weights survive saving and loading (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

from typing import Any, Dict, List, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import check_number
from supcon_tf.optimizers import weight_sets
from supcon_tf.optimizers.schedules import check_learning_rate


@keras.saving.register_keras_serializable("supcon_tf")
class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW, which forgets in a `.keras` file which weights do not decay. Biases never decay.

    >>> weight = tf.Variable([1.0], name="scale")
    >>> optimizer = AdamW(0.1, weight_decay=0.5, exclude_from_weight_decay=["scale"])
    >>> _ = optimizer.apply_gradients([(tf.constant([0.0]), weight)])
    >>> weight.numpy()
    array([1.], dtype=float32)

    Args:
      learning_rate: a number or a schedule.
      weight_decay: share of a weight that a step subtracts, times the learning rate.
      exclude_from_weight_decay: weights that do not decay: variables, their names, or their positions among the trained
        weights.
      weight_shapes: shapes of all trained weights that positions count, as `get_config` writes them; None for no check.
      kwargs: arguments of `keras.optimizers.AdamW`.

    Raises:
      ArgumentError: an argument is not allowed, or the trained weights have other shapes than the positions count.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        exclude_from_weight_decay: Sequence[weight_sets.Chosen] = (),
        weight_shapes: Optional[Sequence[Any]] = None,
        **kwargs: Any,
    ) -> None:
        check_learning_rate(learning_rate)
        check_number("weight_decay", weight_decay, minimum=0)
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        self.excluded: Sequence[weight_sets.Chosen] = weight_sets.as_chosen(
            "exclude_from_weight_decay", exclude_from_weight_decay
        )
        self.weight_shapes = weight_shapes

    def build(self, var_list: List[tf.Variable]) -> None:
        if not getattr(self, "_built", False):
            argument = "exclude_from_weight_decay"
            found = weight_sets.positions(argument, self.excluded, var_list, self.weight_shapes)
            self.excluded = sorted(found)
            self.weight_shapes = weight_sets.shapes_of(var_list)
            undecayed = weight_sets.with_biases(found, var_list)
            self.exclude_from_weight_decay(var_list=[var_list[position] for position in undecayed])
        super().build(var_list)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "exclude_from_weight_decay": weight_sets.as_config(self.excluded),
            "weight_shapes": self.weight_shapes if self.excluded else None,
        }
