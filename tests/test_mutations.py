"""`tools/mutations.py`: its list fits the code, and it tells a fault that is caught from one that survives."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]

LIST = """
from typing import NamedTuple

class Edit(NamedTuple):
    file: str
    old: str
    new: str

class Mutation(NamedTuple):
    name: str
    room: str
    fault: str
    edits: tuple
    tests: tuple

def mutation(name, old, new):
    edits = (Edit("gone.py", old, new), Edit("sums.py", old, new))
    return Mutation(name, "room", "", edits, ("test_gone.py", "test_sums.py"))

MUTATIONS = (mutation("seen", "x + 1", "x - 1"), mutation("unseen", "x * 2", "x * 3"), mutation("gone", "x / 7", ""))
"""


def run(*arguments: str, tools: pathlib.Path = ROOT / "tools") -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(tools / "mutations.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_every_mutation_in_the_list_applies_to_this_tree():
    done = run("--check")
    assert done.returncode == 0, done.stdout


def test_a_caught_fault_is_told_from_one_that_survives_and_the_tree_stays_as_it_was(tmp_path):
    tools, tree = tmp_path / "tools", tmp_path / "tree"
    tools.mkdir()
    tree.mkdir()
    (tools / "mutations.py").write_text((ROOT / "tools" / "mutations.py").read_text())
    (tools / "mutation_list.py").write_text(LIST)
    code = "def up(x):\n    return x + 1\n\n\ndef double(x):\n    return x * 2\n"
    (tree / "sums.py").write_text(code)
    (tree / "test_sums.py").write_text("import sums\n\n\ndef test_up():\n    assert sums.up(1) == 2\n")
    done = run("--tree", str(tree), tools=tools)
    assert done.returncode == 1
    assert "| seen | caught: test_sums.py::test_up |" in done.stdout
    assert "| unseen | SURVIVED |" in done.stdout
    assert "| gone | NOT PLANTED: text not found in gone.py, sums.py |" in done.stdout
    assert "on the unchanged code: 1 passed" in done.stdout
    assert "1 of 3 faults were caught" in done.stdout
    assert (tree / "sums.py").read_text() == code
    assert run("--tree", str(tree), "seen", tools=tools).returncode == 0
