"""`supcon_tf.fit`, as a notebook would use it."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import supcon_tf
from supcon_tf.api import _write_images
from supcon_tf.errors import ArgumentError

QUICK = {"encoder": "small", "encoder_width": 0.25, "pretrain_epochs": 2, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return np.round(found.images / 16 * 255).astype(np.uint8)[:600], found.target[:600]


@pytest.fixture(scope="module")
def classifier(digits, tmp_path_factory):
    images, labels = digits
    names = np.array([f"no {label}" for label in labels])
    return supcon_tf.fit(images[:500], names[:500], run_dir=str(tmp_path_factory.mktemp("fit")), **QUICK)


def test_it_learns_and_answers_in_the_labels_that_it_was_given(classifier, digits):
    images, labels = digits
    names = np.array([f"no {label}" for label in labels])[500:]
    assert classifier.classes.tolist() == [f"no {label}" for label in range(10)]
    assert set(classifier.predict(images[500:])) <= set(classifier.classes)
    score = np.mean(classifier.predict(images[500:]) == names)
    assert classifier.score(images[500:], names) == score > 0.3  # chance is 0.1
    assert 0.3 < classifier.metrics["top1"] <= 1 and 80 < classifier.metrics["images"] < 120  # a fifth of 500


def test_probabilities_and_embeddings_are_those_of_the_model(classifier, digits):
    images, _ = digits
    probabilities, embeddings = classifier.predict_proba(images[:300]), classifier.embed(images[:300])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(classifier.predict_proba(images[290:300]), probabilities[290:], atol=1e-5)


def test_other_images_in_the_same_folder_take_the_place_of_the_earlier_ones(digits, tmp_path):
    images, labels = digits
    folder = str(tmp_path / "images")
    _write_images(folder, {"train": (images[:4], labels[:4])})
    untouched = (tmp_path / "images/train_0000001.png").stat().st_mtime_ns
    changed = images[:4].copy()
    changed[0] = 255 - changed[0]
    classes = _write_images(folder, {"train": (changed, [2, 10, 1, 2])})
    read = [np.asarray(PIL.Image.open(tmp_path / f"images/train_{number:07d}.png"))[..., 0] for number in range(4)]
    np.testing.assert_array_equal(read, changed)
    assert (tmp_path / "images/train_0000001.png").stat().st_mtime_ns == untouched
    assert classes.tolist() == [1, 2, 10]
    assert (tmp_path / "images/images.csv").read_text().split()[:2] == ["path,label", "train_0000000.png,2"]


@pytest.mark.slow
def test_a_data_set_and_held_out_images_are_taken(digits, tmp_path):
    images, labels = digits
    pairs = tf.data.Dataset.from_tensor_slices((images[:300, ..., np.newaxis], labels[:300]))
    found = supcon_tf.fit(
        pairs,
        mode="ce",
        held_out=(images[500:], labels[500:]),
        run_dir=str(tmp_path),
        **{**QUICK, "pretrain_epochs": 1},
    )
    assert found.metrics["images"] == 100 and found.classes.tolist() == list(range(10))
    assert found.predict(images[:5]).dtype.kind == "i"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros([2, 8, 8]), "labels": [0, 1]}, "images=.*float64.*must be uint8"),
        ({"images": np.zeros([2, 8, 8], np.uint8)}, "labels=None: are missing"),
        ({"images": np.zeros([2, 8, 8], np.uint8), "labels": [0]}, r"labels=.*must be \[2\], one for each image"),
        ({"images": np.zeros([2, 8, 8], np.uint8), "labels": [0, 1], "mode": "simclr"}, "mode='simclr': must be"),
        ({"images": np.zeros([2, 8, 8], np.uint8), "labels": [0, 1], "dataset": "x"}, "dataset='x': is not an option"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        supcon_tf.fit(run_dir=str(tmp_path), **arguments)


def test_one_image_is_not_taken_for_several_grey_ones(classifier):
    with pytest.raises(ArgumentError, match="looks like one image; give a list of images"):
        classifier.predict(np.zeros([16, 16, 3], np.uint8))
    assert classifier.predict([np.zeros([16, 16, 3], np.uint8)]).shape == (1,)
