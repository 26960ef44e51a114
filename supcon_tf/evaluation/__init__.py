"""How good a trained model is."""

from supcon_tf.evaluation.classifier import evaluate_classifier
from supcon_tf.evaluation.curves import read_curves
from supcon_tf.evaluation.report import report_html

__all__ = ["evaluate_classifier", "read_curves", "report_html"]
