"""Momentum and RMSProp as in the authors' code, which differs from Keras."""

from typing import Any, Optional

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("supcon_tf")
class SGD(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum, with the learning rate outside the velocity.

        v ← m·v + g
        w ← w − η·v, with Nesterov's momentum w ← w − η·(g + m·v)

    The authors trained on ImageNet with TensorFlow 1 and on CIFAR with PyTorch, which both do this. Keras' SGD puts η·g
    into the velocity, so that a change of the rate takes about 1/(1 − m) steps to have its full effect. At a constant
    rate both are equal.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        velocity = self.momentums[self._index_dict[self._var_key(variable)]]
        gradient = tf.convert_to_tensor(gradient)
        velocity.assign(self.momentum * velocity + gradient)
        direction = gradient + self.momentum * velocity if self.nesterov else velocity
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * direction)


@keras.saving.register_keras_serializable("supcon_tf")
class RMSprop(keras.optimizers.RMSprop):
    """RMSProp with a mean square that starts at 1, as in TensorFlow 1, so that the first steps are not too long."""

    def add_variable_from_reference(
        self,
        model_variable: tf.Variable,
        variable_name: str,
        shape: Optional[tf.TensorShape] = None,
        initial_value: Optional[tf.Tensor] = None,
    ) -> Any:
        if variable_name == "velocity":  # Keras' name for the mean square
            initial_value = tf.ones(model_variable.shape, model_variable.dtype)
        return super().add_variable_from_reference(model_variable, variable_name, shape, initial_value)
