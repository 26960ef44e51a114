"""Runs training stages and keeps their checkpoints and curves."""

import supcon_tf.keras_2  # noqa: F401
