"""Is imported first by the packages that need Keras 2, and raises ImportError where TensorFlow has taken Keras 3."""

from supcon_tf.keras_version import IS_KERAS_3

if IS_KERAS_3:
    raise ImportError(
        "supcon_tf needs Keras 2 for its models, optimizers and training, and TensorFlow has taken Keras 3: install "
        "tf_keras, leave TF_USE_LEGACY_KERAS unset or 1, and import supcon_tf before TensorFlow. The losses work with "
        "Keras 3."
    )
