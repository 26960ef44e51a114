"""Evaluates a trained model on held-out images, and reports the figures."""

from supcon_tf.evaluation.by_name import EVALUATORS, as_metrics, evaluate, scalars
from supcon_tf.evaluation.inputs import EvaluationInputs, Evaluator
from supcon_tf.evaluation.report import report_html

__all__ = [
    "EVALUATORS",
    "EvaluationInputs",
    "Evaluator",
    "as_metrics",
    "evaluate",
    "report_html",
    "scalars",
]
