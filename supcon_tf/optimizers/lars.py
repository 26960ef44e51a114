"""LARS: layer-wise adaptive rate scaling, for very large batches (You et al. 2017, arXiv 1708.03888)."""

from typing import Any, Dict, FrozenSet, List, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import check_number
from supcon_tf.optimizers import weight_sets
from supcon_tf.optimizers.schedules import check_learning_rate


@keras.saving.register_keras_serializable("supcon_tf")
class LARS(keras.optimizers.Optimizer):
    """Momentum with a learning rate that is scaled for each weight by the ratio of its norm to its gradient's norm.

    Algorithm 1 of You et al., in the form that SimCLR and the authors of SupCon use: the decay is part of the gradient
    and of its norm. For a weight w with gradient g, rate η, momentum m, decay β and trust coefficient c:

        g ← g + β·w
        λ = c·‖w‖/‖g‖, or 1 if a norm is 0
        v ← m·v + η·λ·g
        w ← w − v

    >>> weight = tf.Variable([3.0, -4.0])
    >>> _ = LARS(learning_rate=1.0).apply_gradients([(tf.constant([0.0, 10.0]), weight)])
    >>> weight.numpy()
    array([ 3.   , -4.005], dtype=float32)

    Args:
      learning_rate: η, a number or a schedule.
      momentum: m.
      weight_decay: β.
      trust_coefficient: c.
      exclude_from_weight_decay: weights for which β is 0: variables, their names, or their positions among the
        trained weights.
      exclude_from_layer_adaptation: weights for which λ is 1.
      weight_shapes: shapes of all trained weights that positions count, as `get_config` writes them; None for no check.
      kwargs: arguments of `keras.optimizers.Optimizer`, such as `global_clipnorm`.

    Raises:
      ArgumentError: an argument is not allowed, or the trained weights have other shapes than the positions count.
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        exclude_from_weight_decay: Sequence[weight_sets.Chosen] = (),
        exclude_from_layer_adaptation: Sequence[weight_sets.Chosen] = (),
        weight_shapes: Optional[Sequence[Any]] = None,
        name: str = "LARS",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        check_learning_rate(learning_rate)
        check_number("momentum", momentum, minimum=0, below=1)
        check_number("weight_decay", weight_decay, minimum=0)
        check_number("trust_coefficient", trust_coefficient, above=0)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.momentum = momentum
        self.decay_in_gradient = weight_decay  # Keras' own `weight_decay` does not add to the gradient
        self.trust_coefficient = trust_coefficient
        self.exclude_from_weight_decay: Sequence[weight_sets.Chosen] = weight_sets.as_chosen(
            "exclude_from_weight_decay", exclude_from_weight_decay
        )
        self.exclude_from_layer_adaptation: Sequence[weight_sets.Chosen] = weight_sets.as_chosen(
            "exclude_from_layer_adaptation", exclude_from_layer_adaptation
        )
        self.weight_shapes = weight_shapes

    def build(self, var_list: List[tf.Variable]) -> None:
        super().build(var_list)
        if not getattr(self, "_built", False):
            self._velocities = [self.add_variable_from_reference(weight, "velocity") for weight in var_list]
            self._undecayed = self._positions("exclude_from_weight_decay", var_list)
            self._unadapted = self._positions("exclude_from_layer_adaptation", var_list)
            self.weight_shapes = weight_sets.shapes_of(var_list)
            self._built = True

    def _positions(self, argument: str, weights: List[tf.Variable]) -> FrozenSet[int]:
        """Finds the weights of an argument, which from then on holds their positions."""
        found = weight_sets.positions(argument, getattr(self, argument), weights, self.weight_shapes)
        setattr(self, argument, sorted(found))
        return found

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        position = self._index_dict[self._var_key(variable)]
        velocity = self._velocities[position]
        gradient = tf.convert_to_tensor(gradient)
        if self.decay_in_gradient and position not in self._undecayed:
            gradient += self.decay_in_gradient * variable
        rate = tf.cast(self.learning_rate, variable.dtype)
        if position not in self._unadapted:
            weight_norm, gradient_norm = tf.norm(variable), tf.norm(gradient)
            ratio = self.trust_coefficient * tf.math.divide_no_nan(weight_norm, gradient_norm)
            rate = rate * tf.where((weight_norm > 0) & (gradient_norm > 0), ratio, 1.0)
        velocity.assign(self.momentum * velocity + rate * gradient)
        variable.assign_sub(velocity)

    def get_config(self) -> Dict[str, Any]:
        excluded = [*self.exclude_from_weight_decay, *self.exclude_from_layer_adaptation]
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "momentum": self.momentum,
            "weight_decay": self.decay_in_gradient,
            "trust_coefficient": self.trust_coefficient,
            "exclude_from_weight_decay": weight_sets.as_config(self.exclude_from_weight_decay),
            "exclude_from_layer_adaptation": weight_sets.as_config(self.exclude_from_layer_adaptation),
            "weight_shapes": self.weight_shapes if excluded else None,
        }
