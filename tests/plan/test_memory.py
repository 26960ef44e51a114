"""Whether a step fits into the memory is known before it is taken."""

import json

import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import distribute, plan
from supcon_tf.plan import memory
from supcon_tf.run import run as run_lib
from tests.brightness import write_folder

OPTIONS = {
    "encoder": "small",
    "encoder_width": 0.25,
    "projection_layers": (8, 4),
    "image_size": 16,
    "batch_size": 32,
    "pretrain_epochs": 1,
    "warmup_epochs": 0.0,
    "linear_epochs": 1,
    "linear_batch_size": 16,
}
GIB = 1 << 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("memory") / "pictures", side=16, images=24)


@pytest.fixture
def config(folder, tmp_path):
    def config(mode="supcon", **options):
        places = {
            "dataset": f"folder:{folder}",
            "data_dir": str(folder.parent / "data"),
            "run_dir": str(tmp_path / "r"),
        }
        return config_lib.from_values({"mode": mode, **OPTIONS, **places, **options})

    return config


@pytest.fixture
def experiment(config):
    def experiment(strategy=None, **options):
        return run_lib.prepare(config(**options), strategy or distribute.make_strategy("one_device"))

    return experiment


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_microbatches_are_the_largest_that_fit(experiment, replicas):
    found = experiment(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)]))
    step = memory.plan_of_pretraining(found.config, found.images, None, replicas)
    whole = plan.total(step.memory)
    assert memory.room_for(found, free=whole) is None
    room = memory.room_for(found, free=0.6 * whole)
    assert room.needed == whole and (32 // replicas) % room.microbatch_size == 0
    sizes = [size for size in (16, 8, 4, 2, 1) if size < 32 // replicas]
    plans = {size: load_with(found, replicas, size) for size in sizes}
    assert room.microbatch_size == next(size for size in sizes if plan.total(plans[size].memory) <= 0.6 * whole)


def load_with(experiment, replicas, size):
    values = {**config_lib.values(experiment.config), "microbatch_size": size}
    return memory.plan_of_pretraining(config_lib.from_values(values), experiment.images, None, replicas)


def test_a_step_that_surely_fits_is_not_counted(experiment, monkeypatch):
    monkeypatch.setattr(memory, "plan_of_pretraining", None)
    assert memory.room_for(experiment(), free=GIB) is None


@pytest.mark.slow
def test_no_encoder_takes_more_than_the_bound_below_which_nothing_is_counted():
    options = {"mode": "supcon", "dataset": "cifar10", "encoder": "resnet50", "stem": "small", "stages": ("pretrain",)}
    asked = config_lib.PlanOptions(plan=True)
    (step,) = plan.make_plan(config_lib.from_values({**options, "image_size": 32, "batch_size": 256}), asked).stages
    assert plan.total(step.memory) < 256 * 2 * 32 * 32 * memory.BYTES_PER_PIXEL


def test_memory_of_a_cpu_is_shared_by_its_replicas(monkeypatch):
    monkeypatch.setattr(memory.memory, "available_bytes", lambda: 10 * GIB)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert memory.usable_bytes(strategy) == pytest.approx(3 * GIB)
    assert memory.usable_bytes(distribute.make_strategy("one_device")) == pytest.approx(6 * GIB)
    monkeypatch.setattr(memory.memory, "available_bytes", lambda: None)
    assert memory.usable_bytes(strategy) is None


def test_a_run_takes_microbatches_says_so_and_keeps_them(config, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(memory, "usable_bytes", lambda strategy: 2.5e6)
    open_to = {"undecided": {"microbatch_size"}, "fit_into_memory": memory.fit_into_memory}
    run_lib.run(config(stages=("pretrain",)), distribute.make_strategy("one_device"), **open_to)
    said, record = capsys.readouterr().err, json.loads((tmp_path / "r/config.json").read_text())
    size = record["microbatch_size"]
    assert size in (8, 16) and f"--microbatch_size={size}  (memory: a step of the whole batch needs about" in said
    assert record["decided"]["microbatch_size"][0] == size
    monkeypatch.setattr(memory, "usable_bytes", lambda strategy: 1e12)
    run_lib.run(config(), distribute.make_strategy("one_device"), **open_to)
    assert json.loads((tmp_path / "r/config.json").read_text())["microbatch_size"] == size


@pytest.mark.parametrize("mode, undecided", [("ce", {"microbatch_size"}), ("supcon", set())])
def test_what_may_not_be_changed_is_warned_of(experiment, capsys, monkeypatch, mode, undecided):
    monkeypatch.setattr(memory, "usable_bytes", lambda strategy: 1e6)
    found = experiment(mode=mode)
    assert memory.fit_into_memory(found, may_change="microbatch_size" in undecided) == {}
    assert "Warning: a step needs about" in (said := capsys.readouterr().err) and "--batch_size=" in said
    assert ("--microbatch_size=" in said) == (mode == "supcon")
