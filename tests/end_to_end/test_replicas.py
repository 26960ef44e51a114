"""A run on several devices or in several processes makes the weights of one on a single device."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.config import MODES
from supcon_tf.run.run import run as run_stages
from tests.cluster import free_addresses, tf_config

ROOT = pathlib.Path(__file__).parents[2]

# Five steps of SGD on 1,200 images in each stage.
OPTIONS = {
    "image_size": 8,
    "encoder": "small",
    "encoder_width": 0.25,
    "projection_layers": (16, 8),
    "sync_batch_norm": True,
    "batch_size": 232,
    "pretrain_epochs": 1,
    "warmup_epochs": 0.0,
    "optimizer": "sgd",
    "learning_rate": 0.03,
    "linear_batch_size": 232,
    "linear_epochs": 1,
    "linear_optimizer": "sgd",
    "momentum": 0.0,
}


def values(mode, noise, run_dir, stages):
    return {**OPTIONS, **noise, "mode": mode, "run_dir": str(run_dir), "stages": stages}


def weights(run_dir, stage):
    """Name → value of all the model's weights in the stage's last checkpoint."""
    path = tf.train.latest_checkpoint(str(run_dir / "checkpoints" / stage))
    assert path.endswith("-5")
    reader = tf.train.load_checkpoint(path)
    parts = ("encoder", "projection_head", "online_classifier", "linear")
    names = [
        name for name in reader.get_variable_to_shape_map() if name.startswith(tuple(f"model/{p}/" for p in parts))
    ]
    return {name: reader.get_tensor(name) for name in names if "OPTIMIZER_SLOT" not in name}


def assert_same_weights(run_dir, expected_dir, stage):
    """Equal to 1e-5 of each weight's largest entry, or to 2e-7: what float32 rounds by where a small shift is added."""
    found, expected = weights(run_dir, stage), weights(expected_dir, stage)
    assert found.keys() == expected.keys() and len(found) > 20
    for name, value in expected.items():
        atol = 1e-5 * max(np.abs(value).max(), 2e-2)
        np.testing.assert_allclose(found[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Images of noise in four classes, and where they are prepared.

    In the even parts of drawings a rounding of one pixel's activation about 0 is one of many pixels', so that a step
    would depend on it.
    """
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for split, number in (("train", 300), ("test", 100)):
        for label in "abcd":
            (folder / split / label).mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                PIL.Image.fromarray(pixels).save(folder / split / label / f"{i}.png")
    return {"dataset": f"folder:{folder}", "data_dir": str(tmp_path_factory.mktemp("prepared"))}


@pytest.fixture(scope="module")
def on_one_device(noise, tmp_path_factory):
    """Mode → the folder of a run of all stages on one device."""
    folders = {}

    def run(mode):
        if mode not in folders:
            folders[mode] = tmp_path_factory.mktemp("one") / mode
            options = values(mode, noise, folders[mode], ("pretrain", "linear", "evaluate"))
            run_stages(config.from_values(options), tf.distribute.OneDeviceStrategy("/cpu:0"))
        return folders[mode]

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "mode"), [(2, "supcon"), (2, "ce"), (4, "simclr"), (8, "supcon")])
def test_devices(replicas, mode, noise, on_one_device, tmp_path):
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    every = replicas == 2 and mode != "simclr"  # the later stages, which simclr has as supcon, once: to save time
    stages = ("pretrain", "linear", "evaluate") if every else ("pretrain",)
    run_stages(config.from_values(values(mode, noise, tmp_path, stages)), strategy)
    expected = on_one_device(mode)
    assert_same_weights(tmp_path, expected, "pretrain")
    if every:
        if mode != "ce":
            assert_same_weights(tmp_path, expected, "linear")
        found, wanted = (json.loads((path / "metrics.json").read_text()) for path in (tmp_path, expected))
        assert found["images"] == wanted["images"] == 400
        assert found["confusion_matrix"] == wanted["confusion_matrix"]


WORKER = """
import json, sys
from supcon_tf import config, distribute
from supcon_tf.run.run import run as run_stages
strategy = distribute.make_strategy("multi_worker")
for values in json.loads(sys.argv[1]):
    run_stages(config.from_values(values), strategy)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [4])  # two are in test_app.py
def test_workers(number, noise, on_one_device, tmp_path):
    addresses = free_addresses(number)
    runs = [values(mode, noise, tmp_path / mode, ["pretrain"]) for mode in MODES]
    workers = []
    for index in range(number):
        workers.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, json.dumps(runs)],
                env={**os.environ, "TF_CONFIG": tf_config(addresses, index), "TF_CPP_MIN_LOG_LEVEL": "3"},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [worker.communicate(timeout=500) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * number, said
    assert f"{number} replicas" in said[0][1] and said[1:] == [("", "")] * (number - 1)  # only the chief speaks
    for mode in MODES:
        assert_same_weights(tmp_path / mode, on_one_device(mode), "pretrain")
