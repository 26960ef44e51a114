"""Checks properties of all combinations of options: each is either a Config or one line that names an option."""

import json
import typing

import hypothesis
import hypothesis.strategies as st

from supcon_tf import config as config_lib
from supcon_tf.cli import flags
from supcon_tf.errors import UserError

OPTIONS = {option.name: option for option in config_lib.options()}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def element_of(kind, choices):
    """Returns values of one type, mostly sensible ones."""
    if choices:
        return st.one_of(st.sampled_from(choices), WORDS)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(-2, 2**33)
    if kind is float:
        return st.one_of(st.floats(), st.floats(0, 2), st.integers(0, 300)).map(lambda number: float(f"{number:.14g}"))
    return WORDS


def values_of(option):
    """Returns values of an option, allowed or not."""
    parts = typing.get_args(option.type)
    kind = next((part for part in parts if part not in (type(None), Ellipsis)), option.type)
    choices = option.metadata["choices"]
    if typing.get_origin(option.type) is tuple or (kind is not option.type and typing.get_origin(kind) is tuple):
        inner = typing.get_args(option.type if typing.get_origin(option.type) is tuple else kind)[0]
        return st.lists(element_of(inner, choices), max_size=3).map(tuple)
    return element_of(kind, choices)


GIVEN = st.lists(st.sampled_from(sorted(OPTIONS)), max_size=6, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: values_of(OPTIONS[name]) for name in names})
)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(GIVEN)
def test_options_make_a_config_or_one_line_that_names_a_given_one(given):
    try:
        config = config_lib.from_values(given)
    except UserError as error:
        text = error.text(config_lib.as_flag)
        assert any(f"--{name}" in text or f"--no{name}" in text for name in given), text
        return
    assert config_lib.from_values(config_lib.values(config)) == config
    record = json.loads(json.dumps(config_lib.identity(config)))
    assert config_lib.differences(record, config) == {}


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(GIVEN)
def test_the_command_line_and_the_library_agree(given):
    """A value that the library takes is the same value when it is typed as a flag."""
    given = {"mode": "supcon", "dataset": "digits", **given, "recipe": "none"}
    given.pop("preset", None)  # which is a recipe too
    if "budget" in given:
        given.pop("pretrain_epochs", None)  # it decides their number
    try:
        config = config_lib.from_values(given)
    except UserError:
        return
    typed = [config_lib.as_flag(name, value) for name, value in given.items() if value not in (None, ())]
    assert flags.parse(["app.py", *typed]).config == config
