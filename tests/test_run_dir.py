import json
import os

import pytest

from supcon_tf import config as config_lib
from supcon_tf import run_dir as run_dir_lib
from supcon_tf.errors import ArgumentError, UserError

FOUND = {
    "prepared_data": "images/1",
    "whitening_constants": {"mean": [0.0], "std": [0.5]},
    "total_steps": {"linear": 9},
}


def test_a_folder_belongs_to_the_first_run_that_claims_it(tmp_path):
    run_dir = run_dir_lib.RunDir(str(tmp_path / "run"))
    run_dir.claim(config_lib.from_values({"temperature": 0.7}), FOUND)  # which then saves nothing
    run_dir.claim(config_lib.Config(), FOUND)
    (tmp_path / "run" / "checkpoints").mkdir()
    run_dir.claim(config_lib.from_values({"log_every": 7, "stages": ("export",)}), FOUND)  # the same run
    with pytest.raises(ArgumentError, match=r"^run_dir=.*other options: temperature=0.5 \(was 0.1\)"):
        run_dir.claim(config_lib.from_values({"temperature": 0.5}), FOUND)


def test_a_run_is_not_resumed_on_other_images(tmp_path):
    run_dir = run_dir_lib.RunDir(str(tmp_path))
    run_dir.claim(config_lib.Config(), FOUND)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ArgumentError, match="^dataset='digits': its images have changed since the run in"):
        run_dir.claim(config_lib.Config(), {**FOUND, "prepared_data": "images/2"})


def test_record_of_a_run_is_there_once_it_has_saved_something(tmp_path):
    run_dir = run_dir_lib.RunDir(str(tmp_path))
    assert run_dir.record_of("digits") is None
    run_dir.claim(config_lib.from_values({"seed": 5}), {**FOUND, "total_steps": {"linear": 1}})
    assert run_dir.record_of("digits") is None
    (tmp_path / "checkpoints").mkdir()
    record = run_dir.record_of("digits")
    assert (record["seed"], record["prepared_data"], record["total_steps"]) == (5, "images/1", {"linear": 1})
    assert run_dir.record_of("cifar10") is None  # another run's


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="^run_dir=.*file/run': cannot be written"):
        run_dir_lib.RunDir(str(tmp_path / "file" / "run")).claim(config_lib.Config(), FOUND)


def test_a_process_that_is_not_the_chief_writes_nothing(tmp_path):
    run_dir_lib.RunDir(str(tmp_path / "run")).claim(config_lib.Config(), FOUND, write=False)
    assert not os.path.exists(tmp_path / "run")


def test_default_path_tells_runs_apart():
    paths = {
        config_lib.default_path(config_lib.from_values(values))
        for values in (
            {},
            {"temperature": 0.2},
            {"mode": "ce"},
            {"dataset": "folder:/a/b/"},
            {"dataset": "folder:/c/b"},
        )
    }
    assert len(paths) == 5
    assert all(path.startswith("runs/") and path.count("/") == 1 for path in paths)


def test_a_crash_while_writing_leaves_the_old_content(tmp_path, monkeypatch):
    path = str(tmp_path / "metrics.json")
    run_dir_lib.write_json(path, {"top1": 0.5})

    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_dir_lib.tf.io.gfile, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        run_dir_lib.write_json(path, {"top1": 0.9})
    assert run_dir_lib.read_json(path) == {"top1": 0.5}


def test_file_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(UserError, match="config.json: is not valid JSON"):
        run_dir_lib.read_json(str(path))


def test_each_row_of_a_matrix_is_a_line(tmp_path):
    path = tmp_path / "metrics.json"
    content = {"top1": 0.5, "confusion_matrix": [[4, 1], [0, 5]], "empty": []}
    run_dir_lib.write_json(str(path), content)
    assert "[4, 1]" in path.read_text() and run_dir_lib.read_json(str(path)) == content


def test_each_point_of_a_curve_is_a_line_and_text_is_untouched(tmp_path):
    path = tmp_path / "history.json"
    content = {"name": "[ 1, 2 ] [\n 3\n ]", "points": [[50, -2.5e-08], [100, 1.0]], "names": ["a 1", "b"]}
    run_dir_lib.write_json(str(path), content)
    assert "[50, -2.5e-08]" in path.read_text() and run_dir_lib.read_json(str(path)) == content


@pytest.mark.parametrize("version", [{}, {"record_version": config_lib.RECORD_VERSION + 1}])
def test_a_run_of_a_version_that_cannot_be_resumed_is_refused_in_one_line(tmp_path, version):
    run_dir = run_dir_lib.RunDir(str(tmp_path))
    old = {**config_lib.identity(config_lib.Config()), **FOUND, **version}
    (tmp_path / "config.json").write_text(json.dumps(old))
    (tmp_path / "checkpoints").mkdir()
    complaint = "^run_dir=.*: holds a run of a version that this one cannot resume; give another run_dir$"
    with pytest.raises(ArgumentError, match=complaint):
        run_dir.record_of("digits")
    with pytest.raises(ArgumentError, match=complaint):
        run_dir.claim(config_lib.Config(), FOUND)


def test_curves_of_a_run_that_saved_nothing_go_when_another_claims_the_folder(tmp_path):
    run_dir = run_dir_lib.RunDir(str(tmp_path))
    run_dir.claim(config_lib.Config(), FOUND)
    run_dir_lib.write_json(run_dir.history, {"pretrain": {}})
    run_dir.claim(config_lib.from_values({"temperature": 0.7}), FOUND)
    assert not os.path.exists(run_dir.history)
    (tmp_path / "checkpoints").mkdir()
    run_dir_lib.write_json(run_dir.history, {"pretrain": {}})
    run_dir.claim(config_lib.from_values({"temperature": 0.7}), FOUND)
    assert os.path.exists(run_dir.history)


def test_missing_file_reads_as_none(tmp_path):
    assert run_dir_lib.read_json(str(tmp_path / "none.json")) is None


def test_recorded_options_are_readable(tmp_path):
    run_dir = run_dir_lib.RunDir(str(tmp_path))
    run_dir.claim(config_lib.from_values({"seed": 5}), FOUND)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 5


def test_leftovers_of_interrupted_writes_are_removed_and_nothing_else(tmp_path):
    stage = tmp_path / "checkpoints" / "pretrain"
    kept = ["config.json", "notes.txt", "checkpoints/pretrain/checkpoint", "checkpoints/pretrain/README"]
    kept += [f"checkpoints/pretrain/ckpt-3{end}" for end in (".index", ".data-00000-of-00001")]
    left = ["metrics.json.partial", "saved_model.partial/classes.txt", "checkpoints/pretrain/checkpoint.tmp0a"]
    left += ["checkpoints/pretrain/ckpt-4_temp/part-0", "checkpoints/pretrain/ckpt-2.data-00000-of-00001"]
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    run_dir_lib.RunDir(str(tmp_path)).remove_leftovers()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    assert sorted(path.name for path in stage.iterdir() if path.is_dir()) == []
    assert not (tmp_path / "saved_model.partial").exists()


@pytest.mark.parametrize("content", ["", "[]", "null", "3", '{"a', "\udcff"])
def test_a_damaged_record_is_not_to_be_removed(tmp_path, content):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match="config.json: is not valid JSON; put back a copy, or give another run_dir$"):
        run_dir_lib.RunDir(str(tmp_path)).record_of("digits")


def test_checkpoints_without_a_record_are_not_resumed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="config.json: is missing, so nobody knows which options"):
        run_dir_lib.RunDir(str(tmp_path)).record_of("digits")
