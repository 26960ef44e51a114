"""Paths on the command line are looked at before TensorFlow is imported."""

import json
import pathlib
import subprocess
import sys

import pytest

from supcon_tf import config as config_lib
from supcon_tf.cli import flags, main, paths
from supcon_tf.errors import ArgumentError, UserError

ROOT = pathlib.Path(__file__).parents[2]
NEITHER = "is neither 'imagenet' nor a file; did you mean imagenet?"
DIGITS = ("--mode=supcon", "--dataset=digits")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory: two folders, a table, a text, and a finished run."""
    for name in ("two", "mnist", "run/saved_model"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("list.csv", "notes.txt", "run/saved_model/saved_model.pb"):
        (tmp_path / name).touch()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"mode": "supcon", "dataset": "digits"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys, *given):
    """The line with which the program refuses a command line."""
    assert main.main(["app.py", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("app.py: ")


@pytest.mark.parametrize(
    ("dataset", "problem"),
    [
        ("two", "is a folder here; write --dataset=folder:two"),
        ("two/", "is a folder here; write --dataset=folder:two/"),
        ("./two", "is a path; write --dataset=folder:./two"),
        ("list.csv", "is a file; write --dataset=csv:list.csv"),
        ("./notes.txt", "is a file, but no table of images"),
        ("./images", "is a path, but there is no such folder"),
        ("Folder:two", "no such data set; did you mean --dataset=folder:two?"),
        ("CSV:list.csv", "no such data set; did you mean --dataset=csv:list.csv?"),
        ("folder:/nope", "there is no such folder"),
        ("folder:list.csv", "is a file, not a folder"),
        ("csv:/nope.csv", "there is no such file"),
        ("csv:two", "is a folder; write --dataset=folder:two"),
    ],
)
def test_a_data_set_that_is_no_name_is_answered_with_what_to_write(here, capsys, dataset, problem):
    assert answer(capsys, "--mode=supcon", f"--dataset={dataset}").startswith(f"--dataset={dataset}: {problem}")


def test_a_folder_with_the_name_of_a_data_set_changes_nothing(here):
    (here / "digits").mkdir()
    (here / "fashion_mnist").mkdir()
    for name in ("mnist", "digits", "fashion_mnist"):
        assert flags.parse(["app.py", "--mode=supcon", f"--dataset={name}"]).config.data.dataset == name


@pytest.mark.parametrize("more", [[], ["--print_config"], ["--plan"]])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--encoder=keras:VGG16", "--encoder_weights=imagnet"], NEITHER),
        (["--encoder=keras:VGG16", "--encoder_weights=./x.h5"], "no such file"),
        (["--encoder=run/saved_model"], "is an exported run; use --warm_start=run"),
        (["--encoder=run/"], "is the folder of a run; use --warm_start=run"),
        (["--run_dir=notes.txt"], "is a file, not a folder"),
    ],
)
def test_a_path_that_leads_to_nothing_or_to_something_else_is_refused(here, capsys, given, problem, more):
    assert answer(capsys, *DIGITS, *given, *more) == f"{given[-1]}: {problem}"
    assert not (here / "runs").exists()


@pytest.mark.parametrize("more", [[], ["--plan"]])
def test_an_encoder_file_that_is_missing_is_refused_where_it_is_needed(here, capsys, more):
    assert answer(capsys, *DIGITS, "--encoder=./nope.keras", *more) == "--encoder=./nope.keras: no such file or folder"


def test_initial_weights_that_are_gone_do_not_stop_a_run_that_has_started(here):
    (here / "run" / "checkpoints").mkdir()
    given = ("--encoder=keras:VGG16", "--encoder_weights=./x.h5")
    paths.check(flags.parse(["app.py", *DIGITS, *given, "--run_dir=run"]).config)
    config = flags.parse(["app.py", *DIGITS, *given]).config
    with pytest.raises(ArgumentError, match="no such file"):
        paths.check(config)
    (here / config_lib.default_path(config) / "checkpoints").mkdir(parents=True)
    paths.check(config)


@pytest.mark.parametrize("run_dir", ["run", "run/"])
def test_a_run_tells_its_mode_and_data_set(here, run_dir):
    with pytest.raises(UserError) as error:
        flags.parse(["app.py", f"--run_dir={run_dir}"])
    held = f"--run_dir={run_dir} holds a run with --mode=supcon --dataset=digits"
    assert str(error.value) == f"--mode is missing; {held}"


@pytest.mark.parametrize("content", ["", "[1]", "{}"])
def test_a_record_that_cannot_be_read_is_passed_over(here, content):
    (here / "run" / "config.json").write_text(content)
    with pytest.raises(UserError, match="--mode is missing; for example: "):
        flags.parse(["app.py", "--run_dir=run"])


def test_paths_are_looked_at_without_tensorflow(here):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom supcon_tf.cli import main\n"
    for given in ("--dataset=two", "--dataset=folder:/nope", "--dataset=digits --encoder=./nope.keras"):
        code += f"assert main.main(['app.py', '--mode=supcon', *{given.split()}]) == 2\n"
    code += "assert not {'tensorflow', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
