"""How good a trained model is."""

from supcon_tf.evaluation.classifier import evaluate_classifier
from supcon_tf.evaluation.curves import read_curves
from supcon_tf.evaluation.multi_label import evaluate_multi_label
from supcon_tf.evaluation.report import report_html

__all__ = ["evaluate_classifier", "evaluate_multi_label", "read_curves", "report_html"]
