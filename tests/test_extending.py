"""Follows docs/extending.md literally: applies its steps to a copy of the package and runs its commands."""

import ast
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
STEP = re.compile(
    r"^(?:Create `(?P<file>[\w/.]+)`|In `(?P<place>[\w/.]+)`, add this (?P<what>import|entry to `(?P<name>\w+)`)"
    r"|(?P<run>Run it)):\n\n```\w+\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
TINY = (
    "--max_examples=64 --batch_size=32 --linear_batch_size=32 --pretrain_epochs=1 --warmup_epochs=0 --linear_epochs=1"
)
RUN_ALL = """
import json, sys
import app
for command in json.loads(sys.argv[1]):
    status = app.main(command)
    assert status == 0, command
"""


def insert_import(text, code):
    """Puts an import among those of the package, in alphabetical order."""
    module = code.split()[1]
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    before = [node.end_lineno for node in imports if node.module.startswith("supcon_tf.") and node.module < module]
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: before[-1]], code, *lines[before[-1] :]])


def insert_entry(text, name, code):
    """Puts an entry before the closing brace of the dict that is assigned to `name`."""
    found = [node for node in ast.parse(text).body if isinstance(node, ast.AnnAssign) and node.target.id == name]
    (assignment,) = found
    lines = text.splitlines(keepends=True)
    last = assignment.end_lineno - 1
    assert isinstance(assignment.value, ast.Dict) and lines[last].strip() == "}", name
    return "".join([*lines[:last], code, *lines[last:]])


def follow(folder):
    """Applies the steps of the page to the copy in `folder`; returns the commands to run."""
    commands = []
    for step in STEP.finditer(PAGE):
        code = step["code"]
        if step["file"]:
            assert not (folder / step["file"]).exists()
            (folder / step["file"]).write_text(code)
        elif step["run"]:
            commands += [shlex.split(line)[1:] for line in code.splitlines()]
        else:
            path = folder / step["place"]
            text = path.read_text()
            path.write_text(insert_entry(text, step["name"], code) if step["name"] else insert_import(text, code))
    return commands


@pytest.fixture(scope="module")
def followed(tmp_path_factory, digits_dir):
    """A copy of the package with the page's additions, in which its commands have run on tiny data."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("supcon_tf", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "flags.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    commands = [[*command, *TINY.split(), f"--data_dir={digits_dir}"] for command in follow(folder)]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_block_is_a_step_of_the_page():
    assert len(STEP.findall(PAGE)) == PAGE.count("```") // 2
    assert PAGE.count("Run it:") == 3


@pytest.mark.slow
def test_figures_of_the_evaluator_are_in_the_metrics(followed):
    metrics = json.loads((followed / "runs" / "closeness" / "metrics.json").read_text())
    assert -1 <= metrics["closeness"]["similarity"] <= 1
    assert "top1" in metrics
    assert "Closeness" in (followed / "runs" / "closeness" / "report.html").read_text()


@pytest.mark.slow
def test_encoder_and_loss_are_in_the_options_of_their_runs(followed):
    options = [json.loads(path.read_text()) for path in (followed / "runs").glob("*/config.json")]
    assert {"margin"} <= {run["contrastive_loss"] for run in options}
    assert {"patches"} <= {run["encoder"] for run in options}


def touched():
    """The files that the page creates or edits."""
    return sorted({step["file"] or step["place"] for step in STEP.finditer(PAGE)} - {None})


CHECKS = {
    "linter": ["ruff", "check", f"--config={ROOT / 'pyproject.toml'}", "--no-cache", *touched()],
    "format": ["ruff", "format", "--check", f"--config={ROOT / 'pyproject.toml'}", "--no-cache", *touched()],
    "types": ["mypy", f"--config-file={ROOT / 'pyproject.toml'}", "--cache-dir=.mypy_cache", *touched()],
}


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_the_edited_package_passes_the_checks_of_this_one(followed, check):
    done = subprocess.run([sys.executable, "-m", *CHECKS[check]], cwd=followed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_imports_of_the_edited_package_point_down(followed):
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache", f"--config={ROOT / 'pyproject.toml'}"],
        cwd=followed,
        env={**os.environ, "PYTHONPATH": str(followed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_the_tests_that_run_over_the_edited_dicts_pass(followed):
    by_name = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_by_name.py"))
    assert len(by_name) == 4
    rooms = ["tests/config", "tests/cli", "tests/test_names.py", "tests/models/test_other_encoders.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *by_name, *rooms],
        cwd=followed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_page_creates_and_edits_the_files_it_says():
    assert len([step for step in STEP.finditer(PAGE) if step["file"]]) == 3 and len(touched()) == 7
