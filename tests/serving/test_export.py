import io
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from supcon_tf import augment
from supcon_tf.cli import predict as predict_command
from supcon_tf.models import Classifier, ContrastiveModel, ProjectionHead
from supcon_tf.serving.export import ServableModel, write_saved_model
from tests.models.tiny import tiny_encoder

NAMES = ["cat", "dog", "emu"]
SIZES = [(16, 16), (40, 30), (9, 21)]

# Runs in a process that imports TensorFlow only; answers with every signature to the images in a file.
CONSUMER = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2], allow_pickle=True)
answers = {}
for i, image in enumerate(given["images"]):
    for name in ("serving_default", "embed"):
        for key, value in model.signatures[name](images=tf.constant(image[np.newaxis])).items():
            answers[f"{name}/{key}/{i}"] = value.numpy()
for key, value in model.signatures["serve_encoded"](encoded=tf.constant(list(given["encoded"]))).items():
    answers[f"serve_encoded/{key}"] = value.numpy()
np.savez(sys.argv[3], **answers)
assert not [name for name in sys.modules if name.startswith("supcon_tf")]
"""


def make_images(channels):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, size=(*size, channels)).astype(np.uint8) for size in SIZES]


def png(image):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    return file.getvalue()


def make_view(images):
    return augment.evaluation_view(images, 12, 0.875)


@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_signatures_give_the_models_answers_without_this_project(tmp_path, channels):
    model = Classifier(tiny_encoder((12, 12, channels)), 3, freeze_encoder=True)
    path = str(tmp_path / "saved_model")
    write_saved_model(ServableModel(model, make_view, (12, 12, channels), NAMES), path)
    images = make_images(channels)
    boxed = np.empty(len(images), dtype=object)
    encoded = np.empty(len(images), dtype=object)
    for i, image in enumerate(images):
        boxed[i], encoded[i] = image, png(image)
    np.savez(tmp_path / "given.npz", images=boxed, encoded=encoded)
    command = [sys.executable, "-c", CONSUMER, path, str(tmp_path / "given.npz"), str(tmp_path / "answers.npz")]
    subprocess.run(command, check=True, cwd=tmp_path)
    answers = np.load(tmp_path / "answers.npz")

    views = tf.stack([make_view(tf.constant(image)) for image in images])
    probabilities = tf.nn.softmax(model(views)).numpy()
    embeddings = model.embed(views).numpy()
    for i in range(len(images)):
        np.testing.assert_allclose(answers[f"serving_default/probabilities/{i}"][0], probabilities[i], atol=1e-6)
        np.testing.assert_allclose(answers[f"embed/embedding/{i}"][0], embeddings[i], atol=1e-6)
        assert answers[f"serving_default/classes/{i}"] == probabilities[i].argmax()
    np.testing.assert_allclose(answers["serve_encoded/probabilities"], probabilities, atol=1e-6)
    np.testing.assert_array_equal(answers["serve_encoded/classes"], probabilities.argmax(axis=1))
    assert np.ptp(probabilities, axis=0).max() > 1e-4  # the answers depend on the images


def test_embedding_is_normalised_even_if_the_model_does_not_normalise(tmp_path):
    model = Classifier(tiny_encoder((12, 12, 3)), 3, freeze_encoder=True, normalize_embedding=False)
    servable = ServableModel(model, make_view, (12, 12, 3), NAMES)
    embedding = servable.embed(tf.constant(make_images(3)[0][np.newaxis]))["embedding"]
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1.0, rtol=1e-5)


def test_multi_label_probabilities_are_independent():
    model = Classifier(tiny_encoder((12, 12, 3)), 3, freeze_encoder=True)
    model.linear.bias.assign([2.0, 1.0, -3.0])
    servable = ServableModel(model, make_view, (12, 12, 3), NAMES, multi_label=True)
    image = tf.constant(make_images(3)[0][np.newaxis])
    answer = servable.serve(image)
    np.testing.assert_allclose(answer["probabilities"], tf.sigmoid(model(make_view(image))), atol=1e-6)
    assert answer["classes"] == np.argmax(answer["probabilities"])


def test_a_model_without_classes_returns_the_embedding_from_each_signature(tmp_path):
    model = ContrastiveModel(tiny_encoder((12, 12, 3)), ProjectionHead((8,)))
    path = str(tmp_path / "saved_model")
    write_saved_model(ServableModel(model, make_view, (12, 12, 3), ()), path)
    loaded = tf.saved_model.load(path)
    image = make_images(3)[1]
    expected = model.embed(make_view(tf.constant(image[np.newaxis])))
    for name, argument in (
        ("serving_default", {"images": image[np.newaxis]}),
        ("serve_encoded", {"encoded": [png(image)]}),
        ("embed", {"images": image[np.newaxis]}),
    ):
        answer = loaded.signatures[name](**{key: tf.constant(value) for key, value in argument.items()})
        assert list(answer) == (["embedding", "valid"] if name == "serve_encoded" else ["embedding"])
        np.testing.assert_allclose(answer["embedding"], expected, atol=1e-6)
    assert os.listdir(os.path.join(path, "assets")) == []


@pytest.fixture(scope="module")
def classifier():
    """A classifier and what is exported of it, which is traced once."""
    model = Classifier(tiny_encoder((12, 12, 3)), 3, freeze_encoder=True)
    return model, ServableModel(model, make_view, (12, 12, 3), NAMES)


def test_nothing_is_left_in_the_folder_for_temporary_files(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    write_saved_model(classifier[1], str(tmp_path / "run" / "saved_model"))
    assert [name for name in os.listdir(tmp_path) if not name.startswith("__autograph")] == ["run"]  # removed at exit
    assert os.listdir(tmp_path / "run") == ["saved_model"]


def test_export_replaces_a_half_written_one(classifier, tmp_path):
    path = tmp_path / "saved_model"
    (path / "assets").mkdir(parents=True)
    (path / "assets" / "rest").write_text("")
    assert not tf.saved_model.contains_saved_model(str(path))
    write_saved_model(classifier[1], str(path))
    assert tf.saved_model.contains_saved_model(str(path)) and not (path / "assets" / "rest").exists()


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    """The classifier and the folder of its SavedModel."""
    model, servable = classifier
    path = str(tmp_path_factory.mktemp("exported") / "saved_model")
    write_saved_model(servable, path)
    return model, path


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
)
@pytest.mark.parametrize("damage", ["halved", "deleted"])
def test_predict_says_in_one_line_that_a_model_is_damaged(exported, tmp_path, capsys, name, damage):
    path = tmp_path / "saved_model"
    shutil.copytree(exported[1], path)
    if damage == "halved":
        os.truncate(path / name, (path / name).stat().st_size // 2)
    else:
        (path / name).unlink()
    image = tmp_path / "image.png"
    image.write_bytes(png(make_images(3)[0]))
    assert predict_command.main(["predict", str(path), str(image)]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"predict: {path}: ") and line.count("\n") == 1


def test_predict_names_the_class_of_each_file(exported, tmp_path, capsys):
    model, path = exported
    files = []
    for i, image in enumerate(make_images(3)):
        files.append(str(tmp_path / f"{i}.png"))
        (tmp_path / f"{i}.png").write_bytes(png(image))
    assert predict_command.main(["predict", path, *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(files)
    for file, line, image in zip(files, lines, make_images(3)):
        probabilities = tf.nn.softmax(model(make_view(tf.constant(image[np.newaxis]))))[0].numpy()
        assert line == f"{file}: {NAMES[probabilities.argmax()]} ({probabilities.max():.1%})"


@pytest.mark.parametrize("arguments", [["predict"], ["predict", "nowhere", "x.png"], ["predict", "--trust", "a", "b"]])
def test_predict_answers_a_mistake_with_one_line(arguments, capsys):
    assert predict_command.main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_predict_prints_one_line_for_any_name(exported, tmp_path, capsys):
    forged, latin = str(tmp_path / "x\ncat (100.0%).png"), os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png")
    for name in (forged, latin):
        with open(name, "wb") as file:
            file.write(png(make_images(1)[0]))
    assert predict_command.main(["predict", exported[1], forged, latin]) == 2
    printed = capsys.readouterr()
    (line,), (error,) = printed.out.splitlines(), printed.err.splitlines()
    assert line.startswith(f"{tmp_path}/x\\ncat (100.0%).png: ")
    assert "the path is not UTF-8" in error


def test_predict_names_the_bad_files_and_classifies_all_others(exported, tmp_path, capsys):
    _, path = exported
    first, bad, missing, folder, last = (tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png", "e.png"))
    first.write_bytes(png(make_images(3)[0]))
    last.write_bytes(png(make_images(3)[1]))
    bad.write_text("no image")
    folder.mkdir()
    assert predict_command.main(["predict", path, *map(str, (first, bad, missing, folder, last))]) == 2
    printed = capsys.readouterr()
    assert [line.split(": ")[0] for line in printed.out.splitlines()] == [str(first), str(last)]
    lines = printed.err.splitlines()
    assert (
        lines[0].startswith(f"predict: {bad}: cannot be read as an image (no known")
        and lines[1] == f"predict: {missing}: no such file"
    )
    assert lines[2] == f"predict: {folder}: is a folder; give {folder}/*" and len(lines) == 3


def test_predict_without_classes_says_so(tmp_path, capsys):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "x.png").write_bytes(png(make_images(3)[0]))
    assert predict_command.main(["predict", str(tmp_path), str(tmp_path / "x.png")]) == 2
    assert "was trained without classes" in capsys.readouterr().err
