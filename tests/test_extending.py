"""Follows docs/extending.md literally: applies its steps to a copy of the package and runs its commands."""

import json
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
    """Puts an import behind the last one of the package at the top of the file."""
    last = list(re.finditer(r"^from supcon_tf\..*\n", text, re.MULTILINE))[-1]
    return text[: last.end()] + code + text[last.end() :]


def insert_entry(text, name, code):
    """Puts an entry at the beginning of the dict or tuple that is assigned to `name`."""
    opening = re.search(rf"^{name}\b[^=\n]*= [({{]", text, re.MULTILINE)
    assert opening, name
    return f"{text[: opening.end()]}\n{code}{text[opening.end() :]}"


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
    for name in ("supcon_tf", "recipes"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "flags.py"):
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


def test_figures_of_the_evaluator_are_in_the_metrics(followed):
    metrics = json.loads((followed / "runs" / "closeness" / "metrics.json").read_text())
    assert -1 <= metrics["closeness"]["similarity"] <= 1
    assert "top1" in metrics
    assert "Closeness" in (followed / "runs" / "closeness" / "report.html").read_text()


def test_encoder_and_loss_are_in_the_options_of_their_runs(followed):
    options = [json.loads(path.read_text()) for path in (followed / "runs").glob("*/config.json")]
    assert {"margin"} <= {run["contrastive_loss"] for run in options}
    assert {"patches"} <= {run["encoder"] for run in options}


def test_additions_pass_the_linter(followed):
    files = [step["file"] for step in STEP.finditer(PAGE) if step["file"]]
    assert len(files) == 3
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", f"--config={ROOT / 'pyproject.toml'}", *files], cwd=followed, check=True
    )
