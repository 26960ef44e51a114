"""Checks which results an option's change or `redo` discards, and that nothing else is lost."""

import json
import shutil

import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.errors import ArgumentError
from supcon_tf.run import run as run_lib
from supcon_tf.training import checkpoints
from tests.models.tiny import tiny_encoder

TINY = {
    "mode": "simclr",
    "dataset": "digits",
    "augment": ("crop_flip",),
    "projection_layers": (8,),
    "max_examples": 64,
    "eval_split": "test[:32]",
    "batch_size": 32,
    "pretrain_epochs": 1,
    "warmup_epochs": 0.0,
    "linear_epochs": 1,
    "linear_batch_size": 32,
}


@pytest.fixture(scope="module")
def places(digits_dir, tmp_path_factory):
    """The options that name the data and an encoder of a few weights."""
    encoder = tmp_path_factory.mktemp("encoder") / "tiny.keras"
    tiny_encoder((8, 8, 1)).save(encoder)
    return {"data_dir": digits_dir, "encoder": str(encoder)}


@pytest.fixture(scope="module")
def finished(places, tmp_path_factory):
    """The folder of a finished run."""
    path = tmp_path_factory.mktemp("finished") / "run"
    run(path, places)
    return path


@pytest.fixture
def again(finished, places, tmp_path):
    """Returns the folder of a copy of the finished run, and a function that runs there with further options."""
    path = shutil.copytree(finished, tmp_path / "run")
    return path, lambda **values: run(path, places, **{"stages": ("pretrain", "linear", "evaluate"), **values})


def run(path, places, **values):
    config = config_lib.from_values({**TINY, **places, "run_dir": str(path), **values})
    run_lib.run(config, tf.distribute.OneDeviceStrategy("/cpu:0"))


def content(path, *names):
    """Returns the bytes of all files below some folders or files of a run."""
    found = [file for name in names for file in [path / name, *(path / name).rglob("*")] if file.is_file()]
    assert found
    return {str(file): file.read_bytes() for file in found}


ENCODER = ("checkpoints/pretrain", "tensorboard/pretrain")


def test_another_option_of_the_linear_stage_is_refused_in_a_line_that_says_how(again):
    path, repeat = again
    before = content(path, ".")
    with pytest.raises(ArgumentError) as refused:
        repeat(linear_learning_rate=0.5)
    assert refused.value.text(config_lib.as_flag) == (
        f"--run_dir={path}: its stage 'linear' was trained with other options: --linear_learning_rate=0.5 (was 1); add "
        "--redo=linear to train that stage again on the same encoder, or give the earlier options"
    )
    assert content(path, ".") == before


@pytest.mark.slow
def test_the_linear_stage_is_repeated_on_the_same_encoder(again):
    path, repeat = again
    encoder, metrics = content(path, *ENCODER), json.loads((path / "metrics.json").read_text())
    repeat(linear_learning_rate=0.001, linear_epochs=2, redo=("linear",))
    assert content(path, *ENCODER) == encoder
    record = json.loads((path / "config.json").read_text())
    assert (record["linear_learning_rate"], record["total_steps"]) == (0.001, {"pretrain": 2, "linear": 4})
    assert checkpoints.latest_step(str(path / "checkpoints" / "linear")) == 4
    assert json.loads((path / "metrics.json").read_text())["cross_entropy"] != metrics["cross_entropy"]
    history = json.loads((path / "history.json").read_text())
    assert set(history) == {"pretrain", "linear"}
    assert max(step for curve in history["linear"].values() for step, _ in curve) == 4
    before = content(path, ".")
    repeat(linear_learning_rate=0.001, linear_epochs=2)  # the new options are those of the run from now on
    assert content(path, ".") == before


@pytest.mark.parametrize(
    ("stage", "written"),
    [
        pytest.param(
            "pretrain",
            {"checkpoints/pretrain", "checkpoints/linear", "metrics.json", "saved_model"},
            marks=pytest.mark.slow,
        ),
        pytest.param("linear", {"checkpoints/linear", "metrics.json", "saved_model"}, marks=pytest.mark.slow),
        ("evaluate", {"metrics.json", "saved_model"}),
        pytest.param("export", {"saved_model"}, marks=pytest.mark.slow),
    ],
)
def test_a_stage_and_all_later_ones_are_repeated(again, stage, written):
    path, repeat = again
    names = ("checkpoints/pretrain", "checkpoints/linear", "metrics.json", "saved_model")

    def times():
        return {name: max(path.stat().st_mtime_ns for path in files(path / name)) for name in names}

    def files(place):
        return [file for file in [place, *place.rglob("*")] if file.is_file()]

    before, metrics = times(), content(path, "metrics.json")
    repeat(redo=(stage,), stages=config_lib.STAGES)
    after = times()
    assert {name for name in names if after[name] != before[name]} == written
    assert content(path, "metrics.json") == metrics  # the same options give the same figures


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"linear_epochs": 3}, "its stage 'linear' was trained with other options: linear_epochs=3"),
        ({"pretrain_epochs": 3}, "holds a run with other options: pretrain_epochs=3"),
        ({"batch_size": 16, "linear_epochs": 3}, "holds a run with other options: batch_size=16"),
    ],
)
def test_other_options_are_named_where_they_make_a_finished_stage_look_unfinished(again, values, complaint):
    _, repeat = again
    with pytest.raises(ArgumentError, match=complaint):
        repeat(stages=("evaluate",), **values)


@pytest.mark.parametrize("stage", ["pretrain", "linear", "evaluate"])
def test_a_stage_of_no_run_cannot_be_repeated(places, tmp_path, stage):
    with pytest.raises(ArgumentError) as refused:
        run(tmp_path / "run", places, redo=(stage,))
    text = refused.value.text(config_lib.as_flag)
    assert text == f"--redo={stage}: {tmp_path}/run holds no finished stage '{stage}'; leave --redo out"
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_repetition_that_was_interrupted_after_discarding_can_be_repeated(again):
    path, repeat = again
    shutil.rmtree(path / "checkpoints")
    repeat(stages=("pretrain",), redo=("pretrain",))
    assert checkpoints.latest_step(str(path / "checkpoints" / "pretrain")) == 2


def test_a_change_that_concerns_the_encoder_is_refused_before_anything_is_discarded(again):
    path, repeat = again
    before = content(path, ".")
    with pytest.raises(ArgumentError, match="holds a run with other options: temperature=0.5"):
        repeat(temperature=0.5, redo=("linear",))
    with pytest.raises(ArgumentError, match="batch_size"):
        repeat(linear_batch_size=1000, redo=("linear",))
    assert content(path, ".") == before


def test_a_stage_that_would_be_discarded_and_missed_is_named_before_anything_is_discarded(again):
    path, repeat = again
    before = content(path, ".")
    with pytest.raises(ArgumentError, match="discards the stage 'linear', which 'evaluate' needs; add it to stages="):
        repeat(redo=("pretrain",), stages=("pretrain", "evaluate"))
    assert content(path, ".") == before


@pytest.mark.slow
def test_all_may_be_repeated_with_other_options(again):
    path, repeat = again
    encoder = content(path, "checkpoints/pretrain")
    repeat(temperature=0.5, redo=("pretrain",))
    assert content(path, "checkpoints/pretrain") != encoder
    assert json.loads((path / "config.json").read_text())["temperature"] == 0.5
    assert set(json.loads((path / "history.json").read_text())) == {"pretrain", "linear"}


@pytest.mark.slow
def test_options_of_a_stage_that_has_not_begun_may_change(places, tmp_path):
    run(tmp_path, places, stages=("pretrain",))
    encoder = content(tmp_path, *ENCODER)
    run(tmp_path, places, stages=("linear",), linear_learning_rate=0.5)
    assert content(tmp_path, *ENCODER) == encoder
    assert json.loads((tmp_path / "config.json").read_text())["linear_learning_rate"] == 0.5


@pytest.mark.slow
def test_an_unfinished_stage_with_the_same_options_resumes(again, monkeypatch):
    """The command with `redo` that was interrupted can be repeated."""
    path, repeat = again
    options = {"linear_epochs": 4, "redo": ("linear",)}
    repeat(**options, stages=("linear",))
    for file in (path / "checkpoints" / "linear").glob("ckpt-8.*"):
        file.unlink()
    steps = []
    monkeypatch.setattr("supcon_tf.training.fit._announce", lambda *given: steps.append(given[2].step))
    repeat(**options, stages=("linear",))
    assert steps == [6] and checkpoints.latest_step(str(path / "checkpoints" / "linear")) == 8


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"redo": ("linear",), "stages": ("pretrain",)}, "--redo=linear: is none of --stages=pretrain"),
        ({"redo": ("linear",), "mode": "ce"}, "--redo=linear: mode ce trains its classifier in the stage 'pretrain'"),
    ],
)
def test_a_stage_that_cannot_be_repeated_is_refused(values, complaint):
    with pytest.raises(ArgumentError) as refused:
        config_lib.from_values({"mode": "supcon", **values})
    assert refused.value.text(config_lib.as_flag).startswith(complaint)


def damage(path, stage):
    """Empties the data of all checkpoints of a stage."""
    files = list((path / "checkpoints" / stage).rglob("*.data-*"))
    assert files
    for file in files:
        file.write_bytes(b"")


def test_a_stage_that_needs_a_damaged_checkpoint_names_its_file(again):
    path, repeat = again
    damage(path, "pretrain")
    with pytest.raises(
        ArgumentError, match=r"needs the finished stage 'pretrain', but .*checkpoints/pretrain/.* cannot"
    ):
        repeat(stages=("linear",), redo=("linear",))


@pytest.mark.slow
def test_an_encoder_whose_checkpoints_are_all_damaged_is_trained_again(again):
    path, repeat = again
    damage(path, "pretrain")
    repeat(redo=("pretrain",))
    assert json.loads((path / "metrics.json").read_text())["top1"] >= 0
    assert checkpoints.latest_step(str(path / "checkpoints/pretrain")) is not None
