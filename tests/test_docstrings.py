"""Runs the examples of all docstrings, and checks that what a user imports has one."""

import doctest
import importlib
import inspect
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "supcon_tf").rglob("*.py")
    if ">>>" in path.read_text()
)
LIBRARY = ("augment", "evaluation", "losses", "models", "optimizers")  # the rooms that other programs import


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name, monkeypatch, tmp_path, digits_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", digits_dir)
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


def test_modules_with_examples_are_found():
    assert len(MODULES) > 40


def without_example(public):
    """Names the classes and functions among public objects whose docstrings have no example."""
    described = {name: thing for name, thing in public.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    return [name for name, thing in described.items() if not doctest.DocTestParser().get_examples(thing.__doc__ or "")]


@pytest.mark.parametrize("room", LIBRARY)
def test_every_public_name_of_the_library_has_an_example(room):
    module = importlib.import_module(f"supcon_tf.{room}")
    assert without_example({name: getattr(module, name) for name in module.__all__}) == []


def test_a_public_name_without_an_example_is_found():
    def shown():
        """>>> 1 + 1
        2
        """

    assert without_example({"shown": shown, "silent": lambda: None, "TABLE": {}}) == ["silent"]
