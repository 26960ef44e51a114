"""The evaluators by name. A new one is a file in this folder and a line in `EVALUATORS`."""

from typing import Any, Dict, Mapping

from supcon_tf.errors import ArgumentError
from supcon_tf.evaluation.classifier import evaluate_classifier
from supcon_tf.evaluation.figures import plain
from supcon_tf.evaluation.inputs import EvaluationInputs, Evaluator, check_dict
from supcon_tf.evaluation.multi_label import evaluate_multi_label

EVALUATORS: Dict[str, Evaluator] = {
    "classifier": evaluate_classifier,
    "multi_label": evaluate_multi_label,
}

# These judge the classifier itself. Their figures stand at the top level of metrics.json.
TOP_LEVEL = ("classifier", "multi_label")


def evaluate(inputs: EvaluationInputs, evaluators: Mapping[str, Evaluator] = EVALUATORS) -> Dict[str, Dict[str, Any]]:
    """Runs evaluators in their order.

    >>> import tensorflow as tf
    >>> from supcon_tf.models import Classifier, build_encoder
    >>> model = Classifier(build_encoder("small", (8, 8, 3)), num_classes=2, freeze_encoder=True)
    >>> images, labels = tf.zeros([4, 1, 8, 8, 3], tf.uint8), tf.constant([0, 1, 1, 0])
    >>> batches = tf.data.Dataset.from_tensors({"views": images, "labels": labels, "weights": tf.ones([4])})
    >>> inputs = EvaluationInputs(model, held_out=lambda: (batches, 1), class_names=["cat", "dog"])
    >>> evaluate(inputs)["classifier"]["top1"]
    0.5

    Args:
      inputs: the model and the held-out images.
      evaluators: name → evaluator.

    Returns:
      Name → figures, for each evaluator that applies. Numbers and arrays of NumPy become Python's own.

    Raises:
      ArgumentError: an argument is not allowed.
      TypeError: an evaluator returns anything but a dict of figures, or None.
    """
    if not isinstance(inputs, EvaluationInputs):
        raise ArgumentError("inputs", inputs, "must be EvaluationInputs")
    check_dict("evaluators", evaluators)
    if not all(map(callable, evaluators.values())):
        raise ArgumentError("evaluators", evaluators, "must hold functions")
    results = {}
    for name, evaluator in evaluators.items():
        figures = evaluator(inputs)
        if isinstance(figures, Mapping):
            results[name] = plain(name, figures)
        elif figures is not None:
            raise TypeError(f"evaluator {name} must return a dict of figures or None, not {figures!r}")
    return results


def as_metrics(results: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """Returns the content of metrics.json.

    >>> as_metrics({"classifier": {"top1": 0.9}, "knn": {"top1": 0.8, "k": 20}})
    {'top1': 0.9, 'knn': {'top1': 0.8, 'k': 20}}

    Args:
      results: evaluator → figures, as `evaluate` returns them.

    Raises:
      ArgumentError: `results` is no dict.
    """
    check_dict("results", results)
    metrics: Dict[str, Any] = {}
    for name, figures in results.items():
        metrics.update(figures if name in TOP_LEVEL else {name: dict(figures)})
    return metrics


def scalars(metrics: Mapping[str, Any]) -> Dict[str, float]:
    """Returns the figures that are single numbers, for TensorBoard.

    >>> scalars({"top1": 0.9, "confusion_matrix": [[1]], "knn": {"top1": 0.8}})
    {'top1': 0.9, 'knn/top1': 0.8}

    Raises:
      ArgumentError: `metrics` is no dict.
    """
    check_dict("metrics", metrics)
    found: Dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found.update({f"{name}/{inner}": number for inner, number in scalars(value).items()})
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = value
    return found
