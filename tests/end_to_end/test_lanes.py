"""Both lanes, TensorFlow 2.15 and TensorFlow 2.21, resume each other's runs and read each other's models."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[2]
OTHER = ROOT / f".venv-{'current' if sys.version_info < (3, 12) else 'addons'}" / "bin" / "python"
TINY = (
    "--mode=supcon --dataset=digits --encoder=small --encoder_width=0.25 --batch_size=64 --linear_batch_size=64 "
    "--max_examples=256 --pretrain_epochs=2 --warmup_epochs=1 --linear_epochs=2 --projection_layers=16,8 "
    "--optimizer=lars --queue_size=64 --learn_temperature"
)


def clean():
    """Returns the environment without what this lane has set for itself."""
    return {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}


def run(python, folder, digits_dir, stages):
    """Runs stages of the run in `folder` with a Python; returns what it prints on stderr."""
    arguments = [*TINY.split(), f"--stages={stages}", f"--run_dir={folder}", f"--data_dir={digits_dir}"]
    done = subprocess.run([python, "app.py", *arguments], cwd=ROOT, env=clean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.skipif(not OTHER.exists(), reason=f"{OTHER.parents[1].name} is missing; `make LANE=...` makes it")
@pytest.mark.parametrize("first", ["this lane", "the other lane"])
def test_a_lane_resumes_the_run_of_the_other_and_its_model_is_read(first, digits_dir, tmp_path):
    one, two = (sys.executable, str(OTHER)) if first == "this lane" else (str(OTHER), sys.executable)
    run(one, tmp_path / "run", digits_dir, "pretrain")
    record = (tmp_path / "run" / "config.json").read_text()
    run(two, tmp_path / "run", digits_dir, "pretrain,linear")  # finds the first stage finished
    run(one, tmp_path / "run", digits_dir, "linear,evaluate")
    run(two, tmp_path / "run", digits_dir, "export")
    assert (tmp_path / "run" / "config.json").read_text() == record
    assert 0 <= json.loads((tmp_path / "run" / "metrics.json").read_text())["top1"] <= 1

    image = tmp_path / "image.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    image.write_bytes(tf.io.encode_png(pixels).numpy())
    command = ["-m", "supcon_tf.cli.predict", str(tmp_path / "run" / "saved_model"), str(image)]
    answers = [subprocess.check_output([python, *command], cwd=ROOT, env=clean(), text=True) for python in (one, two)]
    assert answers[0] == answers[1] and answers[0].startswith(f"{image}: ")
