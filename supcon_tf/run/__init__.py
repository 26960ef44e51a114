"""A run from its options to its report: resolve the options, build the models, train, evaluate, export."""

from supcon_tf.run.run import run

__all__ = ["run"]
