import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics
from tensorflow import keras

from supcon_tf.evaluation import EvaluationInputs
from supcon_tf.evaluation.classifier import evaluate_classifier

CLASSES = 7


def evaluate(strategy, logits, labels, weights, batch_size):
    """Evaluates a model that answers with its input."""
    with strategy.scope():
        model = keras.Sequential([keras.layers.InputLayer((logits.shape[1],)), keras.layers.Activation("linear")])
    parts = {"views": logits[:, np.newaxis], "labels": labels, "weights": weights}
    dataset = tf.data.Dataset.from_tensor_slices(parts).batch(batch_size, drop_remainder=True)
    batches = strategy.experimental_distribute_dataset(dataset)
    names = [str(number) for number in range(logits.shape[1])]
    return evaluate_classifier(EvaluationInputs(model, lambda: (batches, len(logits) // batch_size), names))


@pytest.mark.parametrize("replicas", [1, 2])
def test_figures_are_those_of_scikit_learn_on_the_images_that_count(replicas):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(24, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, size=24)
    weights = (np.arange(24) < 19).astype(np.float32)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    figures = evaluate(strategy, logits, labels, weights, batch_size=8)
    logits, labels = logits[:19], labels[:19]
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    everything = np.arange(CLASSES)
    assert figures["images"] == 19
    assert figures["top1"] == pytest.approx(sklearn_metrics.accuracy_score(labels, logits.argmax(axis=1)), abs=1e-6)
    assert figures["top5"] == pytest.approx(
        sklearn_metrics.top_k_accuracy_score(labels, logits, k=5, labels=everything), abs=1e-6
    )
    assert figures["cross_entropy"] == pytest.approx(
        sklearn_metrics.log_loss(labels, probabilities, labels=everything), abs=1e-5
    )
    expected = sklearn_metrics.confusion_matrix(labels, logits.argmax(axis=1), labels=everything)
    assert figures["confusion_matrix"] == expected.tolist()


def test_with_fewer_than_five_classes_top5_counts_all():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    figures = evaluate(strategy, np.float32([[0, 1, 2]] * 4), np.array([0, 1, 2, 2]), np.ones(4, np.float32), 2)
    assert (figures["top1"], figures["top5"]) == (0.5, 1.0)
