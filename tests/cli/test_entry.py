"""The program says which package is missing, and how to get it, in a Python without the packages."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from supcon_tf.cli import entry

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone of this repository without an environment."""
    shutil.copytree(ROOT / "supcon_tf", tmp_path / "supcon_tf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run_bare(folder, *arguments):
    """Runs this Python without its packages."""
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys, runpy; sys.path.insert(0, '.'); sys.argv = sys.argv[1:]; ",
    ]
    command[-1] += "runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("asked", ["--help", "--mode=supcon"])
def test_a_python_without_the_packages_is_told_in_one_line_how_to_get_them(clone, asked):
    done = run_bare(clone, "app.py", asked)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "lacks the package absl; run 'make demo' or '" in done.stderr and done.stderr.startswith("app.py: ")


def test_the_environment_of_the_clone_is_named(clone):
    (clone / ".venv" / "bin").mkdir(parents=True)
    python = clone / ".venv" / "bin" / "python"
    python.touch()
    assert run_bare(clone, "app.py", "--help").stderr.endswith(f"lacks the package absl; use {python}\n")


@pytest.mark.parametrize("package", ["tensorflow", "absl"])
def test_an_installed_program_names_what_to_install(package, tmp_path):
    text = entry.missing_text(package, str(tmp_path))
    assert f"{sys.executable} lacks the package {package}; " in text
    assert ("pip install tensorflow==2." in text) == (package == "tensorflow")


@pytest.mark.parametrize("name", ["supcon_tf.no_such_module", "numpy.no_such_module"])
def test_a_part_that_is_missing_is_a_bug_and_keeps_its_traceback(monkeypatch, name):
    def broken(argv):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("supcon_tf.cli.main.main", broken)
    with pytest.raises(ModuleNotFoundError):
        entry.main(["app.py"])


def raise_missing(argv):
    raise ModuleNotFoundError(name="tf_keras")


def raise_missing_as_tfds_does(argv):
    try:
        raise ModuleNotFoundError(name="skimage.color")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("No module named 'skimage'") from error


def test_without_tensorflow_a_run_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("supcon_tf.cli.main.main", raise_missing)
    monkeypatch.setattr(entry, "_is_installed", lambda package: False)
    assert entry.main(["supcon"]) == 2
    assert capsys.readouterr().err.startswith(f"supcon: {sys.executable} lacks the package tf_keras; ")


def test_a_package_that_only_a_data_set_needs_is_named_by_its_name_for_pip(monkeypatch, capsys):
    monkeypatch.setattr("supcon_tf.cli.main.main", raise_missing_as_tfds_does)
    monkeypatch.setattr(entry, "_is_installed", lambda package: False)
    assert entry.main(["supcon"]) == 2
    line = f"lacks the package skimage, which a data set or another package needs; run '{sys.executable} -m pip install"
    assert f"{line} scikit-image'\n" in capsys.readouterr().err


def test_ctrl_c_while_packages_are_imported_is_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.importlib, "import_module", interrupted)
    assert entry.main(["app.py"]) == 130
    assert capsys.readouterr().err == "\napp.py: interrupted\n"


@pytest.mark.parametrize("program", ["run_path('app.py'", "run_module('supcon_tf'"])
def test_ctrl_c_in_the_first_import_leaves_no_traceback(program):
    code = f"""
import runpy, sys
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name.startswith("supcon_tf.cli"):
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
runpy.{program}, run_name='__main__')
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


LEAVES = """
import atexit, signal, sys, time
from supcon_tf.cli import entry
def clean_up():
    print("cleaning", flush=True)
    time.sleep(30)
atexit.register(clean_up)
entry.leave(0)
"""


def test_ctrl_c_while_a_finished_process_cleans_up_leaves_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVES], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == ""


def test_the_module_can_be_run():
    done = subprocess.run(
        [sys.executable, "-m", "supcon_tf", "--mode=supcn"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert done.returncode == 2
    assert done.stderr == "python -m supcon_tf: --mode=supcn: unknown; did you mean supcon?\n"
