"""voc/2007, whose images have several classes, as a user runs it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from app import main
from tests import voc

OPTIONS = [
    "--dataset=voc/2007",
    "--image_size=32",
    "--encoder=small",
    "--encoder_width=0.25",
    "--batch_size=8",
    "--linear_batch_size=8",
    "--pretrain_epochs=1",
    "--warmup_epochs=0",
    "--linear_epochs=1",
    "--log_every=1",
]


def run(voc_dir, run_dir, *arguments):
    return main(["app.py", *OPTIONS, f"--data_dir={voc_dir}", f"--run_dir={run_dir}", *arguments])


@pytest.mark.slow
def test_simclr_learns_without_the_classes_and_its_classifier_from_them(voc_dir, tmp_path, capsys):
    assert run(voc_dir, tmp_path, "--mode=simclr") == 0, capsys.readouterr().err
    printed = capsys.readouterr()
    assert "simclr on voc/2007: 22 training images of 32x32, 20 classes" in printed.err
    assert "mean AP" in printed.out and "20 held-out images" in printed.out and "top-" not in printed.out
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert set(figures) == {"mean_average_precision", "average_precision", "cross_entropy", "images"}
    assert len(figures["average_precision"]) == 20 and figures["images"] == 20
    assert "mean average precision" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "saved_model/assets/classes.txt").read_text().split() == list(voc.CLASSES)
    model = tf.saved_model.load(str(tmp_path / "saved_model"))
    answer = model.signatures["serving_default"](images=tf.zeros([1, 20, 30, 3], tf.uint8))
    assert np.sum(answer["probabilities"]) != pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_ce_learns_from_all_classes_and_is_watched(voc_dir, tmp_path, capsys):
    watched = ("--train_split=train", "--validation_split=validation", "--stages=pretrain,evaluate")
    assert run(voc_dir, tmp_path, "--mode=ce", *watched) == 0, capsys.readouterr().err
    assert "14 training images" in capsys.readouterr().err
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 20
    report = (tmp_path / "report.html").read_text()
    assert "Images whose top class is one of theirs" in report and ">validation: " in report


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--mode=supcon"], "--mode=supcon: needs a single label per image; use simclr or ce"),
        (["--mode=ce", "--mix=mixup"], "--mix=mixup: needs a single label per image; leave it out"),
        (["--mode=ce", "--label_smoothing=0.1"], "--label_smoothing=0.1: needs a single label per image; leave it out"),
        (["--mode=ce", "--label_noise=0.2"], "--label_noise=0.2: needs a single label per image; leave it out"),
        (["--mode=ce", "--classes_per_batch=4"], "--classes_per_batch=4: needs a single label per image; leave it out"),
    ],
)
def test_what_needs_one_class_is_refused_in_one_line(voc_dir, tmp_path, capsys, arguments, complaint):
    assert run(voc_dir, tmp_path, *arguments) == 2
    *warnings, line = capsys.readouterr().err.splitlines()
    assert all(warning.endswith("has no effect in mode ce") for warning in warnings)
    several = ", but images of --dataset=voc/2007 may have several"
    assert line == "app.py: " + complaint.replace("; ", f"{several}; ")
