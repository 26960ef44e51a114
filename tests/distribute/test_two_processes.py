"""Two worker processes that ask each other for real: maxima, the options of a run, and a folder that both share."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.cluster import free_addresses, tf_config

ROOT = pathlib.Path(__file__).parents[2]

WORKER = """
import json, sys
import tensorflow as tf
from tensorflow import keras
from supcon_tf import config, distribute
from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import UserError
from supcon_tf.models import Classifier
from supcon_tf.run.prepare import check_same_options
from supcon_tf.run_dir import RunDir
from supcon_tf.training.fit import Stage, fit

index, folder = int(sys.argv[1]), sys.argv[2]
strategy = distribute.make_strategy("multi_worker")


def complaint(function, *arguments, **named):
    try:
        function(*arguments, **named)
    except UserError as error:
        return str(error)


def options(**values):
    return config.from_values({"mode": "supcon", "dataset": "digits", **values})


def train(run_dir):
    with strategy.scope():
        images = keras.Input((2, 2, 1))
        encoder = keras.Model(images, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images)))
        model = Classifier(encoder, 2, freeze_encoder=False)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum_over_batch_size")
        model.compile(keras.optimizers.SGD(0.1), loss)
    batch = {"views": tf.zeros([4, 1, 2, 2, 1], tf.uint8), "labels": tf.zeros([4], tf.int32)}
    batches = lambda start, context: tf.data.Dataset.from_tensors(batch).repeat(3 - start)
    stage = Stage("pretrain", StepSchedule(batch_size=4, images=12, epochs=1), batches, lambda step: 0.1, {}, None)
    fit(model, stage, RunDir(run_dir), log_every=2, checkpoint_minutes=10.0, described={}, chief=index == 0)


alone = options(run_dir=f"/{index}", cache=("off", "memory")[index], checkpoint_minutes=1.0 + index)
found = {
    "maxima": distribute.all_reduce_max(strategy, [(15, 0, -100_000), (7, 3, -5)][index]),
    "steps_between_syncs": distribute.steps_between_syncs(strategy, 50),
    "options of a worker": complaint(check_same_options, alone, strategy),
    "options of the run": complaint(check_same_options, options(temperature=0.1 + index), strategy),
    "shared folder": complaint(train, f"{folder}/shared"),
    "own folder": complaint(train, f"{folder}/shared" if index == 0 else f"{folder}/own"),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Returns the findings of each of the two, by name."""
    folder, addresses = tmp_path_factory.mktemp("two"), free_addresses(2)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(index), str(folder)],
            env={**os.environ, "TF_CONFIG": tf_config(addresses, index), "TF_CPP_MIN_LOG_LEVEL": "3"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        said = [worker.communicate(timeout=300) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], said
    return [json.loads(stdout.splitlines()[-1]) for stdout, _ in said]


def test_the_largest_value_of_any_process_counts(found):
    assert [one["maxima"] for one in found] == [[15, 3, -5]] * 2
    assert [one["steps_between_syncs"] for one in found] == [50, 50]


def test_workers_must_agree_on_the_options_of_the_run(found):
    complaint = "TF_CONFIG: its workers were started with different options; start each with the same command"
    assert [one["options of the run"] for one in found] == [complaint] * 2


def test_options_of_a_worker_may_differ(found):
    assert [one["options of a worker"] for one in found] == [None, None]


def test_a_folder_that_the_workers_do_not_share_is_named(found):
    assert [one["shared folder"] for one in found] == [None, None]
    for one, name, step in zip(found, ("shared", "own"), (3, 0)):
        assert f"{name}': this worker finds step {step} saved there, others between 0 and 3; it" in one["own folder"]
