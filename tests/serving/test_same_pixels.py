"""Each signature and `predict` answer to the pixels that training sees, for every format that training reads."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.data import pixels
from supcon_tf.serving import predict
from supcon_tf.serving.export import ServableModel, write_saved_model
from tests.data.test_pixels import FORMATS, SIDE, Pixels, view


def shape(channels):
    return (SIDE, SIDE, channels)


@pytest.fixture(scope="module", params=[pytest.param(1, marks=pytest.mark.slow), 3])
def exported(request, tmp_path_factory):
    """Number of channels, and the folder of a SavedModel whose probabilities tell the pixels."""
    path = str(tmp_path_factory.mktemp("exported") / "saved_model")
    channels = request.param
    names = [str(number) for number in range(SIDE * SIDE * channels)]
    write_saved_model(ServableModel(Pixels(), view, shape(channels), names), path)
    return channels, path


def test_signatures_and_predict_see_the_pixels_of_training(exported, tmp_path):
    channels, path = exported
    model, classify = tf.saved_model.load(path), predict.load_classifier(path)
    for name, content in FORMATS.items():
        trained_on = pixels.decode_image(tf.constant(pixels.encode(content)), channels)[tf.newaxis]
        answer = model.signatures["serving_default"](images=trained_on)
        np.testing.assert_array_equal(answer["probabilities"][0], tf.nn.softmax(Pixels().embed(view(trained_on)))[0])
        embedding = model.signatures["embed"](images=trained_on)["embedding"][0]
        expected = tf.math.l2_normalize(Pixels().embed(view(trained_on)), axis=1)[0]
        np.testing.assert_array_equal(embedding, expected, err_msg=name)

        encoded = model.signatures["serve_encoded"](encoded=tf.constant([content]))
        assert bool(encoded["valid"][0]) == name.startswith(("jpeg", "png")), name
        if encoded["valid"][0]:
            np.testing.assert_array_equal(encoded["probabilities"], answer["probabilities"], err_msg=name)
        else:
            assert encoded["classes"][0] == -1 and not np.any(encoded["probabilities"])

        (tmp_path / name).write_bytes(content)
        found, probability = classify(str(tmp_path / name))
        assert int(found) == int(answer["classes"][0]), name
        assert probability == float(tf.reduce_max(answer["probabilities"])), name


def test_a_bomb_is_not_valid_and_takes_no_memory(exported):
    _, path = exported
    serve = tf.saved_model.load(path).signatures["serve_encoded"]
    from tests.data.test_pixels import content, declaring, png_of

    good = content(np.zeros([SIDE, SIDE, 3], np.uint8), "PNG")
    serve(encoded=tf.constant([good, b"bad"]))
    before = peak_bytes()
    bombs = [declaring(FORMATS["jpeg"], 60_000, 60_000), png_of(20_000, 2_000)]
    assert serve(encoded=tf.constant([good, *bombs]))["valid"].numpy().tolist() == [True, False, False]
    assert peak_bytes() - before < 30e6  # each would take 100 MB and more


def peak_bytes():
    resource = pytest.importorskip("resource")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_an_empty_batch_has_an_empty_answer(exported):
    _, path = exported
    answer = tf.saved_model.load(path).signatures["serve_encoded"](encoded=tf.constant([], tf.string))
    assert answer["valid"].shape == (0,) and answer["probabilities"].shape[0] == 0
