"""Tells which Keras TensorFlow has. With Keras 3 only the losses work; `keras_2.py` says so for the rest."""

from tensorflow import keras

IS_KERAS_3 = getattr(keras, "__version__", "2.").startswith("3.")  # tf_keras does not say

# The package that holds Keras 2: its own, or tf_keras beside TensorFlow 2.16 and later.
KERAS_2 = keras.Model.__module__.split(".")[0]

SymbolicTensor = keras.KerasTensor if IS_KERAS_3 else keras.__internal__.KerasTensor

# The reduction of a loss that fits into `compile`. Keras 2 finds out whether a strategy is active.
DEFAULT_REDUCTION = "sum_over_batch_size" if IS_KERAS_3 else keras.losses.Reduction.AUTO
