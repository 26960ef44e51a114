"""The files around the code: requirements, package metadata, the search for a Python, the making of .venv."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import Dict, Iterable, Iterator, List, Tuple

import pytest
from packaging.requirements import Requirement

import supcon_tf
from supcon_tf.cli import entry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINUX, LINUX_ARM = ("linux", "x86_64"), ("linux", "aarch64")
MAC, MAC_ARM = ("darwin", "x86_64"), ("darwin", "arm64")

on_every_python = pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.12", "3.13"])
on_every_platform = pytest.mark.parametrize("platform", [LINUX, LINUX_ARM, MAC, MAC_ARM], ids="-".join)
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def lines(name: str) -> Iterator[str]:
    """The requirements in a file and in those that it includes."""
    for line in (ROOT / name).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            yield from lines(line[3:])
        elif line:
            yield line


def applicable(wanted: Iterable[str], python: str, platform: Tuple[str, str]) -> List[Requirement]:
    """The requirements whose markers hold."""
    environment = {"python_version": python, "sys_platform": platform[0], "platform_machine": platform[1]}
    parsed = [Requirement(line) for line in wanted]
    return [one for one in parsed if one.marker is None or one.marker.evaluate(environment)]


def pins(name: str, python: str, platform: Tuple[str, str]) -> Dict[str, str]:
    """Package → version, of what a requirements file installs."""
    wanted = applicable(lines(name), python, platform)
    versions = {one.name: re.fullmatch(r"==([\d.]+)", str(one.specifier))[1] for one in wanted}
    assert len(versions) == len(wanted), "a package is named twice"
    return versions


@on_every_python
@on_every_platform
def test_requirements_differ_in_nothing_but_the_name_of_tensorflow(python, platform):
    gpu, cpu = (pins(name, python, platform) for name in ("requirements.txt", "requirements-cpu.txt"))
    plain = platform != LINUX or python in ("3.12", "3.13")
    assert gpu.pop("tensorflow") == cpu.pop("tensorflow" if plain else "tensorflow-cpu")
    assert gpu == cpu
    assert not {"tensorflow", "tensorflow-cpu"} & gpu.keys()


@on_every_python
@on_every_platform
@pytest.mark.parametrize("extra, name", [("gpu", "requirements.txt"), ("cpu", "requirements-cpu.txt")])
def test_package_metadata_allows_the_pinned_versions(python, platform, extra, name):
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    ranges = applicable([*project["dependencies"], *extras[extra], *extras["addons"]], python, platform)
    pinned = pins(name, python, platform)
    assert sorted(one.name for one in ranges) == sorted(pinned)
    assert [str(one) for one in ranges if pinned[one.name] not in one.specifier] == []


@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize(("kind", "name"), [("cpu", "requirements-cpu.txt"), ("gpu", "requirements.txt")])
def test_lock_file_has_the_pinned_versions_with_hashes(python, kind, name):
    text = (ROOT / "locks" / f"{kind}-python{python}.txt").read_text()
    found = re.findall(r"^([\w.-]+)(?:\[[\w, -]+\])?==([\w.]+) \\$", text, re.MULTILINE)
    assert len(re.findall(r"^\w", text, re.MULTILINE)) == len(found)  # nothing is without a version and a hash
    locked = dict(found)
    pinned = {name.lower().replace("_", "-"): version for name, version in pins(name, python, LINUX).items()}
    assert {name: locked.get(name) for name in pinned} == pinned


@on_every_python
def test_requirements_for_development_contradict_no_others(python):
    assert not pins("requirements-dev.txt", python, LINUX).keys() & pins("requirements.txt", python, LINUX).keys()


@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names is new in Python 3.10")
def test_every_imported_package_is_required_and_known_where_the_program_starts():
    package_of = {"PIL": "pillow", "absl": "absl-py", "sklearn": "scikit-learn"}
    imported = set()
    for path in [ROOT / "app.py", ROOT / "flags.py", *(ROOT / "supcon_tf").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    imported -= set(sys.stdlib_module_names)
    imported -= {"pyarrow"}  # of the extra 'parquet'
    # TensorFlow itself imports Keras, and TFA can be missing.
    assert imported - {"supcon_tf", "tensorflow_addons"} == set(entry.REQUIRED) - {"keras", "tf_keras"}
    packages = {package_of.get(name, name) for name in imported}
    required = {name.replace("-", "_") for name in pins("requirements.txt", "3.11", LINUX)}
    assert {name.replace("-", "_") for name in packages} - required == {"supcon_tf"}


def test_citation_and_changelog_name_this_version():
    assert f"\nversion: {supcon_tf.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {supcon_tf.__version__} (" in (ROOT / "CHANGELOG.md").read_text()


# The search for a Python


def write_script(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def write_python(path: pathlib.Path, version: Tuple[int, int, int], disguise: str = "") -> pathlib.Path:
    """This Python, pretending to be another."""
    pretend = f"import sys; sys.version_info, sys.executable = {version}, '{path}'; {disguise}\nexec(sys.argv[2])"
    return write_script(path, f'exec "{sys.executable}" -I -c "{pretend}" "$@"')


@pytest.fixture
def path(tmp_path):
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def find_python(path: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools/find_python.sh"), *arguments],
        env={"PATH": str(path), "HOME": str(path.parent)},
        capture_output=True,
        text=True,
    )


def assert_found(expected: pathlib.Path, result: subprocess.CompletedProcess) -> None:
    assert (result.stdout, result.stderr, result.returncode) == (f"{expected}\n", "", 0)


def assert_refused(result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 10, 0), (3, 11, 7), (3, 12, 1), (3, 13, 0)])
def test_python_of_each_version_is_found_under_any_name(path, version):
    assert_found(write_python(path / "python", version), find_python(path))


def test_newest_python_is_preferred(path):
    for minor in range(9, 14):
        newest = write_python(path / f"python3.{minor}", (3, minor, 1))
    write_python(path / "python3", (3, 9, 1))
    assert_found(newest, find_python(path))


@pytest.mark.parametrize(
    "unusable",
    [
        lambda path: write_script(path, "echo 'pyenv: python3.11: command not found' >&2; exit 127"),
        lambda path: write_python(path, (3, 11, 7), "sys.modules['ensurepip'] = None"),
        lambda path: write_python(path, (3, 11, 7), "sys.implementation.name = 'pypy'"),
        lambda path: write_python(path, (3, 14, 1)),
    ],
    ids=["does not run", "without ensurepip", "PyPy", "too new"],
)
def test_unusable_python_is_passed_over(path, unusable):
    unusable(path / "python3.11")
    assert_found(write_python(path / "python3.9", (3, 9, 18)), find_python(path))


def test_python_that_pyenv_keeps_is_found(path):
    kept = path.parent / ".pyenv" / "versions"
    write_python(kept / "3.14.1" / "bin" / "python", (3, 14, 1))
    assert_found(write_python(kept / "3.10.13" / "bin" / "python", (3, 10, 13)), find_python(path))


def test_python_that_uv_keeps_is_found(path):
    kept = write_python(path.parent / "uv" / "python3.11", (3, 11, 7))
    write_script(path / "uv", f"echo '{kept}'")
    assert_found(kept, find_python(path))


def test_no_usable_python_is_said_in_one_line(path):
    assert_refused(find_python(path), "Python from 3.9 to 3.13", "install one", "PYTHON=")
    for name in ("python3.14", "python3", "python"):
        write_python(path / name, (3, 14, 1))
    write_python(path.parent / ".pyenv" / "versions" / "3.8.18" / "bin" / "python", (3, 8, 18))
    write_script(path / "uv", "echo 'error: No interpreter found' >&2; exit 2")
    assert_refused(find_python(path), "Python from 3.9 to 3.13", "install one", "PYTHON=")


def test_given_python_is_taken_or_refused_but_not_replaced(path):
    write_python(path / "python3.11", (3, 11, 7))
    assert_found(write_python(path.parent / "my python", (3, 9, 18)), find_python(path, f"{path.parent}/my python"))
    write_python(path / "python3.14", (3, 14, 1))
    assert_refused(find_python(path, "python3.14"), "PYTHON=python3.14:", "Python from 3.9 to 3.13")


def test_a_lane_takes_only_its_pythons(path):
    old, new = (write_python(path / f"python3.{minor}", (3, minor, 1)) for minor in (11, 13))
    assert_found(old, find_python(path, "", "addons"))
    assert_found(new, find_python(path, "", "current"))
    assert_refused(find_python(path, "python3.11", "current"), "PYTHON=python3.11:", "Python 3.12 or 3.13")
    assert_refused(find_python(path, "", "newest"), "LANE=newest: must be addons or current")
    new.unlink()
    assert_refused(find_python(path, "", "current"), "Python 3.12 or 3.13", "install one")


# The making of .venv


@pytest.fixture
def checkout(tmp_path, path):
    """A checkout whose Python and pip only write down what they are asked, and fail while a file `broken` is there."""
    folder = tmp_path / "a checkout"
    (folder / "tools").mkdir(parents=True)
    (folder / "benchmarks" / "tpu").mkdir(parents=True)
    requirements = [*ROOT.glob("requirements*.txt"), ROOT / "benchmarks" / "tpu" / "requirements.txt"]
    tools = [ROOT / "tools" / name for name in ("find_python.sh", "setup.py")]
    for source in [ROOT / "Makefile", *requirements, *tools]:
        shutil.copy(source, folder / source.relative_to(ROOT))
        os.utime(folder / source.relative_to(ROOT), (0, 0))
    write_script(
        path / "python3.11",
        'case "$1 $2" in\n'
        '  -c*) echo "$0" ;;\n'
        f'  "tools/setup.py "*) exec "{sys.executable}" "$@" ;;\n'
        '  "-m venv") rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; echo "$@" >> log ;;\n'
        '  *) echo "$@" >> log; test ! -e broken ;;\n'
        "esac",
    )
    write_script(path / "nvidia-smi", "exit 9")
    return folder


def make(checkout: pathlib.Path, *targets: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess:
    """Returns the answer of `make`; `log` holds the questions to Python and pip."""
    (checkout / "log").write_text("")
    environment = {"PATH": f"{checkout.parent}/bin:{path}", "HOME": str(checkout.parent)}
    command = [shutil.which("make"), *targets]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def log(checkout: pathlib.Path) -> str:
    return (checkout / "log").read_text()


@needs_make
def test_every_target_has_a_line_of_help(checkout):
    targets = re.search(r"\.PHONY: (.*)", (checkout / "Makefile").read_text())[1].split()
    assert [line.split()[:2] for line in make(checkout, "help").stdout.splitlines()] == [["make", t] for t in targets]


@needs_make
def test_environment_is_made_once(checkout):
    first = make(checkout, "demo")
    assert first.returncode == 0
    assert log(checkout).count("-m venv") == log(checkout).count("-m pip") == 1
    assert "-r requirements-cpu.txt" in log(checkout)
    assert log(checkout).endswith("app.py --mode=supcon --dataset=digits\n")
    assert make(checkout, "demo").returncode == 0
    assert log(checkout) == "app.py --mode=supcon --dataset=digits\n"


@needs_make
def test_each_lane_has_an_environment_of_its_own(checkout):
    for lane in ("addons", ""):
        answer = make(checkout, "demo", f"LANE={lane}")
        assert answer.returncode == 0 and "Installing requirements-cpu.txt" in answer.stdout
    assert {folder.name for folder in checkout.glob(".venv*")} == {".venv", ".venv-addons"}


@needs_make
def test_failed_installation_is_not_taken_as_done(checkout):
    (checkout / "broken").touch()
    assert make(checkout, "demo").returncode != 0
    assert "app.py" not in log(checkout)
    (checkout / "broken").unlink()
    assert make(checkout, "demo").returncode == 0
    assert "-r requirements-cpu.txt" in log(checkout)


@needs_make
@pytest.mark.parametrize("changed", ["requirements-base.txt", "requirements-dev.txt"])
def test_changed_requirements_are_installed(checkout, changed):
    make(checkout, "test")
    for made in ("dev", "runtime"):
        os.utime(checkout / ".venv" / made, (1, 1))
    make(checkout, "test")
    assert "pip" not in log(checkout)
    (checkout / changed).touch()
    assert make(checkout, "test").returncode == 0
    assert ("-m venv" in log(checkout)) == (changed == "requirements-base.txt")
    assert "-r requirements-dev.txt" in log(checkout)


@needs_make
def test_compiler_for_tpus_has_an_environment_of_its_own(checkout):
    assert make(checkout, "tpu").returncode == 0
    assert "-r benchmarks/tpu/requirements.txt" in log(checkout)
    assert log(checkout).endswith("benchmarks/tpu/table.py\n")
    assert {folder.name for folder in checkout.glob(".venv*")} == {".venv", ".venv-tpu"}
    assert make(checkout, "tpu").returncode == 0
    assert log(checkout) == "benchmarks/tpu/table.py\n"
    make(checkout, "clean")
    assert list(checkout.glob(".venv*")) == []


@needs_make
def test_machine_with_a_gpu_gets_tensorflow_with_cuda(checkout, path):
    write_script(path / "nvidia-smi", "echo 'GPU 0: NVIDIA H100 (UUID: GPU-0)'")
    make(checkout, "demo")
    assert "-r requirements.txt" in log(checkout)


@needs_make
def test_without_a_python_nothing_is_made(checkout, path):
    (path / "python3.11").unlink()
    (path / "sh").symlink_to(shutil.which("sh"))
    result = make(checkout, "demo", path="")
    said = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
    assert result.returncode != 0
    assert result.stdout == ""
    assert len(said) == 1
    assert "install one" in said[0]
    assert not (checkout / ".venv").exists()


def setup(checkout: pathlib.Path, job: str) -> subprocess.CompletedProcess:
    """Returns the answer of `tools/setup.py`; the Python of the checkout is taken to make the environment with."""
    (checkout / "log").write_text("")
    command = [sys.executable, "tools/setup.py", job, f"--python={checkout.parent / 'bin' / 'python3.11'}"]
    environment = {"PATH": f"{checkout.parent}/bin:/usr/bin:/bin"}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(os.name == "nt", reason="the Python of the checkout is a shell script")
def test_setup_without_make_does_what_make_does(checkout):
    assert setup(checkout, "demo").returncode == 0
    assert log(checkout).count("-m venv") == log(checkout).count("-m pip") == 1
    assert log(checkout).endswith("app.py --mode=supcon --dataset=digits\n")
    assert setup(checkout, "demo").returncode == 0
    assert log(checkout) == "app.py --mode=supcon --dataset=digits\n"
    assert setup(checkout, "test").returncode == 0
    assert "-r requirements-dev.txt" in log(checkout) and "-m pytest" in log(checkout)


def test_setup_and_make_give_pytest_the_same_options():
    (made,) = re.findall(r"^tests := .* -m pytest (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (listed,) = re.findall(r"^TESTS = \((.*)\)$", (ROOT / "tools" / "setup.py").read_text(), re.MULTILINE)
    assert ["-m", "pytest", *made.split()] == re.findall(r'"([^"]*)"', listed)


def test_environment_that_is_a_link_is_left_alone(checkout, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (checkout / ".venv").symlink_to(tmp_path / "elsewhere")
    answer = setup(checkout, "runtime")
    assert answer.returncode == 1 and ".venv: is a link; remove it" in answer.stderr and log(checkout) == ""


# The wheel


def test_wheel_contains_the_command_line_and_the_recipes(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copytree(ROOT / "supcon_tf", source / "supcon_tf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path]
    subprocess.run([*build, source], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        entry_points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
        wheel.extractall(tmp_path / "site")
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "supcon_tf").rglob("*")
        if path.suffix in (".py", ".cfg", ".typed")
    }
    assert files <= names
    assert "supcon = supcon_tf.cli.entry:main" in entry_points
    done = subprocess.run(
        [sys.executable, "-m", "supcon_tf", "--mode=supcon", "--dataset=digits", "--print_config"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^--encoder=small +recipe digits_supcon$", done.stdout, re.MULTILINE)


def test_source_distribution_holds_all_that_its_tests_need(tmp_path):
    source = tmp_path / "source"
    kept = shutil.ignore_patterns(
        ".git", ".venv*", "runs", "__pycache__", ".*_cache", ".hypothesis", "build", "*.egg-info"
    )
    shutil.copytree(ROOT, source, ignore=kept)
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert {name for name in wanted - held if "egg-info" not in name} <= {".gitignore"}
