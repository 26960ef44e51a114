"""`make lint`: the lengths, the order of the rooms, and the command line's freedom from TensorFlow."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = [
    *("cli", "plan", "run", "training", "evaluation", "serving"),
    *("data", "augment", "models", "losses", "optimizers", "distribute", "config"),
]
MODULES = [
    "__init__",
    "picture",
    "run_dir",
    "run_lock",
    "batch",
    "storage",
    "errors",
    "names",
    "keras_version",
    "keras_2",
    "addons",
    "shapes",
    "native_stderr",
    *(f"{room}/__init__" for room in ROOMS),
]
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"


def run_python(*arguments: str, cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)


def check_lengths(path: pathlib.Path) -> subprocess.CompletedProcess:
    return run_python(str(ROOT / "tools" / "check_lengths.py"), str(path))


def check_contracts(cwd: pathlib.Path) -> subprocess.CompletedProcess:
    result = run_python("-c", LINT_IMPORTS, cwd=cwd)
    result.stdout = re.sub(r"\x1b\[\d+m", "", result.stdout)  # colours
    return result


@pytest.fixture
def house(tmp_path):
    """A checkout with the contracts of this one, with every room, and without code."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in MODULES:
        path = tmp_path / "supcon_tf" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_file_and_a_function_at_the_limit_pass(tmp_path):
    body = "".join(f"    x = {i}\n" for i in range(57))
    docstring = '    """Does much.\n    """\n'
    (tmp_path / "limit.py").write_text(f"def long():\n{docstring}{body}" + "\n" * (450 - 60))
    result = check_lengths(tmp_path)
    assert (result.returncode, result.stdout) == (0, "")


def test_a_function_over_the_limit_is_named(tmp_path):
    body = "".join(f"        x = {i}\n" for i in range(60))
    (tmp_path / "long.py").write_text(f"class A:\n    def long(self):\n{body}\n    def short(self):\n        pass\n")
    result = check_lengths(tmp_path)
    assert result.returncode == 1
    assert result.stdout == f"{tmp_path}/long.py:2: function long has 61 lines, at most 60 are allowed\n"


def test_a_file_over_the_limit_is_named(tmp_path):
    (tmp_path / "long.py").write_text("\n" * 451)
    result = check_lengths(tmp_path)
    assert result.returncode == 1
    assert result.stdout == f"{tmp_path}/long.py:1: file has 451 lines, at most 450 are allowed\n"


def test_imports_that_point_down_keep_the_contracts(house):
    (house / "supcon_tf" / "losses" / "engine.py").write_text("from supcon_tf.distribute import gather\n")
    result = check_contracts(house)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "importer, statement, broken",
    [
        ("data/folder", "from supcon_tf import run", "Imports point down"),
        ("models/encoders", "import supcon_tf.losses", "Imports point down"),
        ("cabinet", "", "Imports point down"),
        ("config/field", "import tensorflow", "Options and errors need no TensorFlow"),
        ("cli/main", "from tensorflow import keras", "The command line answers wrong flags without TensorFlow"),
    ],
    ids=["up", "sideways", "unknown room", "config", "cli"],
)
def test_a_broken_contract_is_named(house, importer, statement, broken):
    (house / "supcon_tf" / f"{importer}.py").write_text(f"def late():\n    {statement or 'pass'}\n")
    result = check_contracts(house)
    assert result.returncode == 1
    assert f"{broken} BROKEN" in result.stdout


def test_a_circle_inside_a_room_is_named(house):
    losses = house / "supcon_tf" / "losses"
    (losses / "engine.py").write_text("def late():\n    from supcon_tf.losses import tiles\n")
    (losses / "tiles.py").write_text("from supcon_tf.losses import inputs\n")
    check = str(ROOT / "tools" / "check_circles.py")
    assert run_python(check, cwd=house).returncode == 0
    (losses / "inputs.py").write_text("from supcon_tf.losses import engine\n")
    result = run_python(check, cwd=house)
    assert result.returncode == 1
    assert result.stdout.startswith("circular import: supcon_tf.losses.")
    assert result.stdout.count(" -> ") == 3


def test_importing_the_command_line_leaves_tensorflow_alone():
    result = run_python("-c", "import sys, supcon_tf.cli; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))")
    assert (result.returncode, result.stdout) == (0, "set()\n"), result.stderr
