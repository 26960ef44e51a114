"""Presets on a folder of images, from the command line to the exported model."""

import json

import pytest
from tensorflow import keras

import app
from tests.brightness import write_folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Noise of two brightnesses, 24 images of 48 pixels a class."""
    return write_folder(tmp_path_factory.mktemp("photographs") / "images", side=48, images=24)


@pytest.mark.slow
def test_an_encoder_with_weights_of_another_task_is_trained_further(photographs, tmp_path):
    """The preset 'finetune' with a smaller encoder, whose weights need no download."""
    weights = tmp_path / "weights.keras"
    keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3), alpha=1.0).save(weights)
    given = [f"--dataset=folder:{photographs}", f"--data_dir={tmp_path / 'data'}", f"--run_dir={tmp_path / 'run'}"]
    chosen = ["--encoder=keras:MobileNetV2", f"--encoder_weights={weights}", "--image_size=32", "--pretrain_epochs=1"]
    assert app.main(["app.py", "--mode=supcon", "--preset=finetune", "--batch_size=16", *given, *chosen]) == 0
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (record["learning_rate"], record["batch_size"], record["linear_solver"]) == (0.02, 16, "lbfgs")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["images"] > 4
