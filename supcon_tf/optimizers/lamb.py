"""LAMB: Adam with layer-wise adaptive rates, for very large batches (You et al. 2020, arXiv 1904.00962)."""

from typing import Any, Dict, List, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import check_number
from supcon_tf.optimizers import weight_sets
from supcon_tf.optimizers.schedules import check_learning_rate


@keras.saving.register_keras_serializable("supcon_tf")
class LAMB(keras.optimizers.Optimizer):
    """Adam whose step is scaled for each weight to the ratio of the weight's norm to the step's norm.

    Algorithm 2 of You et al. with φ(z) = z, and with values equal to those of TensorFlow Addons. For a weight w with
    gradient g at step t, rate η and decay β:

        m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
        u = m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε) + β·w
        w ← w − η·λ·u, with λ = ‖w‖/‖u‖, or 1 if a norm is 0

    >>> weight = tf.Variable([3.0, -4.0])
    >>> _ = LAMB(learning_rate=0.1).apply_gradients([(tf.constant([1.0, 0.0]), weight)])
    >>> weight.numpy().round(3)
    array([ 2.5, -4. ], dtype=float32)

    Args:
      learning_rate: η, a number or a schedule.
      beta_1, beta_2: β₁ and β₂.
      epsilon: ε.
      weight_decay: β.
      exclude_from_weight_decay: weights for which β is 0 and λ is 1: variables, their names, or their positions among
        the trained weights. Biases are always excluded.
      weight_shapes: shapes of all trained weights that positions count, as `get_config` writes them; None for no check.
      kwargs: arguments of `keras.optimizers.Optimizer`, such as `global_clipnorm`.

    Raises:
      ArgumentError: an argument is not allowed, or the trained weights have other shapes than the positions count.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        exclude_from_weight_decay: Sequence[weight_sets.Chosen] = (),
        weight_shapes: Optional[Sequence[Any]] = None,
        name: str = "LAMB",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        check_learning_rate(learning_rate)
        check_number("beta_1", beta_1, minimum=0, below=1)
        check_number("beta_2", beta_2, minimum=0, below=1)
        check_number("epsilon", epsilon, minimum=0)
        check_number("weight_decay", weight_decay, minimum=0)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.decay_in_step = weight_decay  # Keras' own `weight_decay` is not part of the step that is scaled
        self.excluded: Sequence[weight_sets.Chosen] = weight_sets.as_chosen(
            "exclude_from_weight_decay", exclude_from_weight_decay
        )
        self.weight_shapes = weight_shapes

    def build(self, var_list: List[tf.Variable]) -> None:
        super().build(var_list)
        if not getattr(self, "_built", False):
            self._momentums = [self.add_variable_from_reference(weight, "m") for weight in var_list]
            self._velocities = [self.add_variable_from_reference(weight, "v") for weight in var_list]
            argument = "exclude_from_weight_decay"
            found = weight_sets.positions(argument, self.excluded, var_list, self.weight_shapes)
            self.excluded = sorted(found)
            self.weight_shapes = weight_sets.shapes_of(var_list)
            self._undecayed = weight_sets.with_biases(found, var_list)
            self._built = True

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        position = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[position], self._velocities[position]
        gradient, dtype = tf.convert_to_tensor(gradient), variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        m.assign(self.beta_1 * m + (1 - self.beta_1) * gradient)
        v.assign(self.beta_2 * v + (1 - self.beta_2) * tf.square(gradient))
        unbiased_m = m / (1 - tf.pow(tf.constant(self.beta_1, dtype), step))
        unbiased_v = v / (1 - tf.pow(tf.constant(self.beta_2, dtype), step))
        update = unbiased_m / (tf.sqrt(unbiased_v) + self.epsilon)
        rate = tf.cast(self.learning_rate, dtype)
        if position not in self._undecayed:
            update += self.decay_in_step * variable
            weight_norm, update_norm = tf.norm(variable), tf.norm(update)
            ratio = tf.math.divide_no_nan(weight_norm, update_norm)
            rate = rate * tf.where((weight_norm > 0) & (update_norm > 0), ratio, 1.0)
        variable.assign_sub(rate * update)

    def get_config(self) -> Dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "weight_decay": self.decay_in_step,
            "exclude_from_weight_decay": weight_sets.as_config(self.excluded),
            "weight_shapes": self.weight_shapes if self.excluded else None,
        }
