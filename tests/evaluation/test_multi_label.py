import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.evaluation import EvaluationInputs
from supcon_tf.evaluation.multi_label import average_precision, evaluate_multi_label


def devkits(scores, marks):
    """Average precision after VOCevalcls.m of VOC 2007; marks are 1, −1 for an absent class, 0 for a difficult one."""
    order = np.argsort(-scores, kind="stable")
    found, wrong = np.cumsum(marks[order] > 0), np.cumsum(marks[order] < 0)
    recall = found / np.sum(marks > 0)
    with np.errstate(invalid="ignore"):
        precision = found / (found + wrong)
    total = 0.0
    for t in range(11):
        reached = precision[recall >= t / 10 - 1e-12]
        total += np.nanmax(reached) / 11
    return total


def evaluate(strategy, logits, marks, batch_size):
    """Evaluates a model that answers with its input."""
    with strategy.scope():
        model = keras.Sequential([keras.layers.InputLayer((logits.shape[1],)), keras.layers.Activation("linear")])
    labels, weights = (marks > 0).astype(np.int32), (marks != 0).astype(np.float32)
    parts = {"views": logits[:, np.newaxis], "labels": labels, "weights": weights}
    dataset = tf.data.Dataset.from_tensor_slices(parts).batch(batch_size, drop_remainder=True)
    batches = strategy.experimental_distribute_dataset(dataset)
    names = [str(number) for number in range(logits.shape[1])]
    held_out = (batches, len(logits) // batch_size)
    return evaluate_multi_label(EvaluationInputs(model, lambda: held_out, names, multi_label=True))


def test_average_precision_by_hand():
    # Recall .5, .5, 1, 1 and precision 1, 1/2, 2/3, 1/2: six times 1, then five times 2/3.
    expected = (6 * 1 + 5 * 2 / 3) / 11
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0])) == pytest.approx(expected)
    assert average_precision(np.array([1.0, 2.0]), np.array([1, 1])) == 1.0
    assert average_precision(np.array([1.0, 2.0]), np.array([0, 0])) is None


@pytest.mark.parametrize("replicas", [1, 2])
def test_figures_are_those_of_the_devkit_on_the_images_that_count(replicas):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(64, 6)).round(1).astype(np.float32)  # some are equal
    marks = rng.choice([1, 0, -1], p=[0.3, 0.1, 0.6], size=(64, 6))
    marks[:, 5] = np.minimum(marks[:, 5], 0)  # no image has the last class
    marks[57:] = 0  # what fills the last batch
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    figures = evaluate(strategy, logits, marks, batch_size=16)
    expected = [devkits(logits[:57, i].astype(np.float64), marks[:57, i]) for i in range(5)]
    np.testing.assert_allclose(figures["average_precision"][:5], expected, atol=1e-6)
    assert figures["average_precision"][5] is None
    assert figures["mean_average_precision"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert figures["images"] == 57
    probabilities = 1 / (1 + np.exp(-logits[:57].astype(np.float64)))
    class_losses = np.log(np.where(marks[:57] > 0, probabilities, 1 - probabilities)) * (marks[:57] != 0)
    assert figures["cross_entropy"] == pytest.approx(-class_losses.sum(axis=1).mean(), abs=1e-5)
