"""The files around the code: requirements, package metadata, and the search for a Python."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Iterator, List, Set

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import supcon_tf

ROOT = pathlib.Path(__file__).parents[1]
FIND_PYTHON = ROOT / "tools" / "find_python.sh"
TENSORFLOW = {"tensorflow", "tensorflow-cpu"}
PLATFORMS = {
    "Linux": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux on ARM": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "macOS on Intel": {"sys_platform": "darwin", "platform_machine": "x86_64"},
    "macOS on ARM": {"sys_platform": "darwin", "platform_machine": "arm64"},
}
PYTHONS = ("3.9", "3.10", "3.11")
IMPORT_NAMES = {"pillow": "pil", "scikit-learn": "sklearn"}


def requirements(name: str) -> Iterator[Requirement]:
    """The requirements of a file and of those that it includes."""
    for line in (ROOT / name).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            yield from requirements(line[3:])
        elif line:
            yield Requirement(line)


def chosen(wanted: List[Requirement], python: str, platform: str) -> List[Requirement]:
    """Those whose markers hold."""
    environment = {"python_version": python, **PLATFORMS[platform]}
    return [one for one in wanted if one.marker is None or one.marker.evaluate(environment)]


def metadata(table: str) -> List[Requirement]:
    """The requirements in an array of pyproject.toml; Python 3.9 and 3.10 cannot read TOML by themselves."""
    array = re.search(rf"^{table} = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert array
    return [Requirement(text) for text in re.findall(r'^  "(.*)",$', array[1], re.MULTILINE)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-cpu.txt", "requirements-dev.txt"])
def test_every_package_is_pinned_once_wherever_it_is_installed(name, python, platform):
    wanted = chosen(list(requirements(name)), python, platform)
    names = [canonicalize_name(one.name) for one in wanted]
    assert len(names) == len(set(names)) > 0
    assert all(re.fullmatch(r"==[\d.]+", str(one.specifier)) for one in wanted)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_one_tensorflow_of_one_version_beside_the_same_packages(python, platform):
    gpu, cpu = (
        {canonicalize_name(one.name): str(one.specifier) for one in chosen(list(requirements(name)), python, platform)}
        for name in ("requirements.txt", "requirements-cpu.txt")
    )
    assert gpu.keys() & TENSORFLOW == {"tensorflow"}
    assert len(cpu.keys() & TENSORFLOW) == 1
    versions = {name: gpu.pop(name, cpu.pop(name, None)) for name in TENSORFLOW}
    assert set(versions.values()) - {None} == {"==2.15.1"}
    assert gpu == cpu
