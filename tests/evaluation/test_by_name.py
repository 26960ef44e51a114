"""The evaluators by name, and how their figures reach metrics.json and TensorBoard."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import evaluation
from supcon_tf.evaluation.inputs import held_out_batches, unpack


@pytest.fixture(scope="module")
def inputs():
    """A model that answers with its input, and four images of two classes."""
    model = keras.Sequential([keras.layers.InputLayer((2,)), keras.layers.Activation("linear")])
    logits = np.float32([[1, 0], [0, 1], [1, 0], [1, 0]])
    parts = {"views": logits[:, np.newaxis], "labels": [0, 1, 1, 0], "weights": np.ones(4, np.float32)}
    batches = tf.data.Dataset.from_tensor_slices(parts).batch(2)
    return evaluation.EvaluationInputs(model, lambda: (batches, 2), ["cat", "dog"])


JUDGES = {name: evaluation.EVALUATORS[name] for name in ("classifier", "multi_label")}


def count_images(inputs):
    return {"images": sum(len(unpack(batch)[0]) for batch in held_out_batches(inputs)), "classes": inputs.num_classes}


def test_one_of_the_two_judges_of_the_classifier_applies(inputs):
    assert list(evaluation.evaluate(inputs, JUDGES)) == ["classifier"]
    changed = evaluation.EvaluationInputs(inputs.model, inputs.held_out, inputs.class_names, multi_label=True)
    assert evaluation.EVALUATORS["classifier"](changed) is None
    unlabelled = evaluation.EvaluationInputs(inputs.model, inputs.held_out, [], multi_label=True)
    assert evaluation.evaluate(unlabelled, JUDGES) == {}


def test_a_new_evaluator_is_one_more_line_in_the_dict(inputs):
    results = evaluation.evaluate(inputs, {**JUDGES, "toy": count_images, "not_this_time": lambda inputs: None})
    metrics = evaluation.as_metrics(results)
    assert metrics["top1"] == 0.75 and metrics["images"] == 4
    assert metrics["toy"] == {"images": 4, "classes": 2} and "not_this_time" not in metrics
    assert "toy" in evaluation.report_html("title", results, inputs.class_names, {}, {}, 50).lower()


def test_figures_of_numpy_and_tensorflow_become_plain_numbers(inputs):
    given = {
        "share": np.float32(0.5),
        "images": np.int64(4),
        "by_class": np.float64([0.25, 1.0]),
        "by_k": {5: tf.constant(3), "best": (np.bool_(True), None)},
        "note": b"text",
    }
    results = evaluation.evaluate(inputs, {"toy": lambda inputs: given})
    expected = {"share": 0.5, "images": 4, "by_class": [0.25, 1], "by_k": {"5": 3, "best": [True, None]}}
    assert json.loads(json.dumps(evaluation.as_metrics(results))) == {"toy": {**expected, "note": "text"}}


@pytest.mark.parametrize(
    ("figures", "complaint"),
    [
        ({"classes": {1, 2}}, r"^toy.classes={1, 2}: a figure must be a number"),
        (0.5, "^evaluator toy must return a dict of figures or None, not 0.5"),
    ],
)
def test_anything_but_figures_is_an_error_that_names_the_evaluator(inputs, figures, complaint):
    with pytest.raises(TypeError, match=complaint):
        evaluation.evaluate(inputs, {"toy": lambda inputs: figures})


def test_figures_of_the_classifier_are_flat_and_those_of_others_are_objects():
    results = {"multi_label": {"mean_average_precision": 0.5}, "knn": {"top1": 0.8, "k": 20}}
    assert evaluation.as_metrics(results) == {"mean_average_precision": 0.5, "knn": {"top1": 0.8, "k": 20}}


def test_single_numbers_of_all_evaluators_are_scalars():
    metrics = {"top1": 0.9, "confusion_matrix": [[1]], "ood": {"svhn": {"auroc": 0.8}}, "fitted": True, "note": None}
    assert evaluation.scalars(metrics) == {"top1": 0.9, "ood/svhn/auroc": 0.8}
