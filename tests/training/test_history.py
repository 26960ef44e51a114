"""The curves on disk: `history.json`."""

import json

import numpy as np
import pytest

from supcon_tf import run_dir as run_dir_lib
from supcon_tf.training.history import History


def read(path):
    return json.loads(path.read_text())


def test_points_of_a_stage_are_kept_by_tag(tmp_path):
    path = tmp_path / "history.json"
    history = History(str(path), "pretrain", resumed_from=0)
    history.add(1, {"train/loss": 5.0, "train/top1": 0.5})
    history.add(2, {"train/loss": 4.0})
    history.write()
    assert read(path) == {"pretrain": {"train/loss": [[1, 5.0], [2, 4.0]], "train/top1": [[1, 0.5]]}}


def test_points_after_the_checkpoint_are_dropped_and_steps_taken_again_count_once(tmp_path):
    path = tmp_path / "history.json"
    history = History(str(path), "pretrain", resumed_from=0)
    for step, value in [(1, 5.0), (2, 4.0), (3, 3.5)]:
        history.add(step, {"train/loss": value})
    history.add(3, {"validation/top1": 0.5})
    history.write()
    resumed = History(str(path), "pretrain", resumed_from=2)
    resumed.add(3, {"train/loss": 3.0})
    resumed.add(4, {"train/loss": 2.0})
    resumed.write()
    assert read(path)["pretrain"]["train/loss"] == [[1, 5.0], [2, 4.0], [3, 3.0], [4, 2.0]]
    assert read(path)["pretrain"].keys() == {"train/loss"}


def test_a_stage_that_starts_again_keeps_nothing_of_its_earlier_start(tmp_path):
    path = tmp_path / "history.json"
    first = History(str(path), "pretrain", resumed_from=0)
    first.add(1, {"train/loss": 5.0})
    first.write()
    History(str(path), "pretrain", resumed_from=0).write()
    assert read(path)["pretrain"] == {}


def test_other_stages_stay_as_they_are(tmp_path):
    path = tmp_path / "history.json"
    for stage in ("pretrain", "linear"):
        history = History(str(path), stage, resumed_from=0)
        history.add(4, {"train/loss": 2.0})
        history.write()
    assert read(path) == {stage: {"train/loss": [[4, 2.0]]} for stage in ("pretrain", "linear")}


def test_each_value_is_the_float32_of_tensorboard(tmp_path):
    values = np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)
    history = History(str(tmp_path / "history.json"), "pretrain", resumed_from=0)
    for step, value in enumerate(values):
        history.add(step, {"train/loss": value})
    history.write()
    read_again = [value for _, value in read(tmp_path / "history.json")["pretrain"]["train/loss"]]
    np.testing.assert_array_equal(np.float32(read_again), np.float32(values))


def test_a_number_that_is_not_finite_is_left_out_so_that_the_file_is_json(tmp_path):
    history = History(str(tmp_path / "history.json"), "pretrain", resumed_from=0)
    history.add(1, {"train/loss": float("nan"), "train/top1": float("inf"), "train/rate": 1.0})
    history.write()
    assert read(tmp_path / "history.json")["pretrain"] == {"train/rate": [[1, 1.0]]}


def test_a_crash_while_writing_leaves_the_points_before(tmp_path, monkeypatch):
    path = tmp_path / "history.json"
    history = History(str(path), "pretrain", resumed_from=0)
    history.add(1, {"train/loss": 5.0})
    history.write()
    before = path.read_text()
    monkeypatch.setattr(run_dir_lib.tf.io.gfile, "rename", lambda *_, **__: 1 / 0)
    history.add(2, {"train/loss": 4.0})
    with pytest.raises(ZeroDivisionError):
        history.write()
    assert path.read_text() == before


def test_nothing_new_is_not_written_again(tmp_path, monkeypatch):
    history = History(str(tmp_path / "history.json"), "pretrain", resumed_from=0)
    history.add(1, {"train/loss": 5.0})
    history.write()
    monkeypatch.setattr(run_dir_lib.tf.io.gfile, "rename", lambda *_, **__: 1 / 0)
    history.write()
