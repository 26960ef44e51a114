"""The evaluators by name. A new one is a file in this folder and a line in `EVALUATORS`."""

from typing import Any, Dict, Mapping

from supcon_tf.evaluation.classifier import evaluate_classifier
from supcon_tf.evaluation.inputs import EvaluationInputs, Evaluator
from supcon_tf.evaluation.multi_label import evaluate_multi_label

EVALUATORS: Dict[str, Evaluator] = {
    "classifier": evaluate_classifier,
    "multi_label": evaluate_multi_label,
}

# These judge the classifier itself. Their figures stand at the top level of metrics.json.
TOP_LEVEL = ("classifier", "multi_label")


def evaluate(inputs: EvaluationInputs, evaluators: Mapping[str, Evaluator] = EVALUATORS) -> Dict[str, Dict[str, Any]]:
    """Runs evaluators in their order.

    Args:
      inputs: the model and the held-out images.
      evaluators: name → evaluator.

    Returns:
      Name → figures, for each evaluator that applies.
    """
    results = {name: evaluator(inputs) for name, evaluator in evaluators.items()}
    return {name: figures for name, figures in results.items() if figures is not None}


def as_metrics(results: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """Returns the content of metrics.json.

    >>> as_metrics({"classifier": {"top1": 0.9}, "knn": {"top1": 0.8, "k": 20}})
    {'top1': 0.9, 'knn': {'top1': 0.8, 'k': 20}}

    Args:
      results: evaluator → figures, as `evaluate` returns them.
    """
    metrics: Dict[str, Any] = {}
    for name, figures in results.items():
        metrics.update(figures if name in TOP_LEVEL else {name: dict(figures)})
    return metrics


def scalars(metrics: Mapping[str, Any]) -> Dict[str, float]:
    """Returns the figures that are single numbers, for TensorBoard.

    >>> scalars({"top1": 0.9, "confusion_matrix": [[1]], "knn": {"top1": 0.8}})
    {'top1': 0.9, 'knn/top1': 0.8}
    """
    found: Dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found.update({f"{name}/{inner}": number for inner, number in scalars(value).items()})
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = value
    return found
