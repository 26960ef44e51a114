"""Momentum and RMSProp as the authors' code has them, where Keras' differ."""

from typing import Any, Optional

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("supcon_tf")
class SGD(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum, the learning rate outside of the velocity.

        v ← m·v + g
        w ← w − η·v, with Nesterov's momentum w ← w − η·(g + m·v)

    So do TensorFlow 1, with which the authors trained on ImageNet, and PyTorch, with which they trained on CIFAR. With
    Keras' SGD, which sums η·g, a change of the rate takes 1/(1 − m) steps to have its effect; at one rate they agree.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        velocity = self.momentums[self._index_dict[self._var_key(variable)]]
        gradient = tf.convert_to_tensor(gradient)
        velocity.assign(self.momentum * velocity + gradient)
        direction = gradient + self.momentum * velocity if self.nesterov else velocity
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * direction)


@keras.saving.register_keras_serializable("supcon_tf")
class RMSprop(keras.optimizers.RMSprop):
    """RMSProp whose mean square starts at 1, as in TensorFlow 1, so that its first steps are no longer than others."""

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
