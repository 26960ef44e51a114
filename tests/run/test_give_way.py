"""Batch sizes that nobody has given by hand give way to a small data set; those given by hand are refused."""

import json

import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.cli import flags
from supcon_tf.errors import ArgumentError
from supcon_tf.plan import make_plan
from supcon_tf.run import give_way
from supcon_tf.run import run as run_lib

BOTH = frozenset(give_way.NAMES)
TINY = ("--mode=supcon", "--dataset=digits", "--encoder_width=0.125", "--max_examples=200", "--projection_layers=8")


def changes(images, replicas=1, not_by_hand=BOTH, record=None, **values):
    config = config_lib.from_values({"mode": "supcon", "batch_size": 256, "linear_batch_size": 256, **values})
    found = give_way.batch_sizes(config, images, replicas, not_by_hand=not_by_hand, record=record)
    return {name: change.now for name, change in found.items()}


@pytest.mark.parametrize(
    ("images", "arguments", "expected"),
    [
        (256, {}, {}),
        (255, {}, {"batch_size": 128, "linear_batch_size": 128}),
        (200, {"not_by_hand": {"linear_batch_size"}}, {"linear_batch_size": 128}),
        (200, {"not_by_hand": ()}, {}),
        (200, {"replicas": 3}, {"batch_size": 192, "linear_batch_size": 192}),
        (200, {"classes_per_batch": 10}, {"batch_size": 160, "linear_batch_size": 128}),
        (200, {"linear_solver": "lbfgs"}, {"batch_size": 128}),
        (200, {"mode": "ce"}, {"batch_size": 128}),
        (200, {"unlabelled": "mnist"}, {"linear_batch_size": 128}),  # half of the 256 images have labels
        (100, {"unlabelled": "mnist"}, {"batch_size": 128, "linear_batch_size": 64}),
        (2, {"replicas": 3}, {}),  # rejected later
        (200, {"record": {"batch_size": 32, "linear_batch_size": 64}}, {"batch_size": 32, "linear_batch_size": 64}),
    ],
)
def test_the_largest_power_of_two_that_fits_is_taken(images, arguments, expected):
    assert changes(images, **arguments) == expected


def command(tmp_path, digits_dir, *given):
    paths = (f"--data_dir={digits_dir}", f"--run_dir={tmp_path / 'run'}")
    return flags.parse(["app.py", *TINY, *paths, "--pretrain_epochs=1", "--linear_epochs=1", *given])


def prepared(asked):
    open_to = {"undecided": asked.undecided, "not_by_hand": asked.not_by_hand}
    return run_lib.prepare(asked.config, tf.distribute.OneDeviceStrategy("/cpu:0"), **open_to).config


def test_a_short_run_on_few_images_needs_no_further_flags(tmp_path, digits_dir, capsys):
    config = prepared(command(tmp_path, digits_dir))
    assert (config.pretrain.batch_size, config.linear.batch_size, config.pretrain.warmup_epochs) == (128, 128, 0.1)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (record["batch_size"], record["linear_batch_size"]) == (128, 128)
    changed = "--batch_size=128 (was 256), --linear_batch_size=128 (was 256)"
    assert f"Changed, because there are 200 training images: {changed}" in capsys.readouterr().err.splitlines()
    (tmp_path / "run" / "checkpoints").mkdir()  # as if the run had saved something
    assert prepared(command(tmp_path, digits_dir)) == config


def test_a_batch_given_by_hand_is_refused(tmp_path, digits_dir):
    with pytest.raises(ArgumentError, match="linear_batch_size=201: exceeds the 200 training images"):
        prepared(command(tmp_path, digits_dir, "--linear_batch_size=201"))


def test_a_plan_gives_way_as_the_run_does(tmp_path, digits_dir):
    asked = command(tmp_path, digits_dir, "--plan", "--stages=pretrain")
    plan = make_plan(asked.config, asked.plan, undecided=asked.undecided, not_by_hand=asked.not_by_hand)
    assert plan.config.pretrain.batch_size == 128 and plan.gave_way["batch_size"].then == 256
    assert plan.stages[0].batch_size == 128
