"""Errors that the user can mend: their text for code and for the command line."""

import pickle

import pytest
import tensorflow as tf

from supcon_tf.config import as_flag
from supcon_tf.errors import NAME_ONLY, ArgumentError, UserError, arguments_called, first_line, printable


def test_an_argument_error_is_a_value_error_that_names_argument_value_and_what_would_be_right():
    error = ArgumentError("batch_size", 300, "exceeds the images; give {batch_size}", batch_size=100)
    assert isinstance(error, ValueError)
    assert str(error) == "batch_size=300: exceeds the images; give batch_size=100"
    assert (error.argument, error.value) == ("batch_size", 300)


def test_the_command_line_names_flags_where_code_names_arguments():
    error = ArgumentError(
        "mix", "mixup", "contradicts {learn_temperature}; see {tpu}", learn_temperature=True, tpu=NAME_ONLY
    )
    assert error.text(as_flag) == "--mix=mixup: contradicts --learn_temperature; see --tpu"
    assert str(error) == "mix='mixup': contradicts learn_temperature=True; see tpu"


def test_braces_that_name_no_argument_stay_as_they_are():
    assert str(UserError("/a/{b}/{}: no such file; give {run_dir}", run_dir=NAME_ONLY)) == (
        "/a/{b}/{}: no such file; give run_dir"
    )


def test_arguments_are_renamed_from_a_functions_names_to_the_callers():
    with pytest.raises(ArgumentError) as caught, arguments_called(name="encoder"):
        raise ArgumentError(
            "name", "resnt", "unknown; {name} would be right, as would {width}", name="resnet18", width=1
        )
    assert (
        caught.value.text(as_flag) == "--encoder=resnt: unknown; --encoder=resnet18 would be right, as would --width=1"
    )


def test_references_of_an_error_about_no_argument_are_renamed():
    with pytest.raises(UserError) as caught, arguments_called(learning_rate="linear_learning_rate"):
        raise UserError("step 5: give a lower {learning_rate} or {seed}", learning_rate=NAME_ONLY, seed=1)
    assert caught.value.text(as_flag) == "step 5: give a lower --linear_learning_rate or --seed=1"


def test_other_errors_pass_a_renaming_unchanged():
    with pytest.raises(ValueError, match="^as raised$"), arguments_called(name="encoder"):
        raise ValueError("as raised")


@pytest.mark.parametrize("error", [UserError("a {b}", b=1), ArgumentError("a", 1, "is {b}", b=2)])
def test_errors_survive_pickling(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_first_line_that_is_cut_says_so():
    error = ValueError("\nthe checkpoint is not readable\nand more")
    assert first_line(error, 30) == "the checkpoint is not readable"
    assert first_line(error, 29) == "the checkpoint is not readab…"
    assert first_line(error, 15) == "the checkpoint…"
    assert len(first_line(error, 12)) <= 12


def test_an_error_in_a_traced_function_arrives_as_it_is():
    """AutoGraph replaces errors of other classes."""

    def refuse(x):
        raise ArgumentError("x", 3, "must be 4")

    for call in (tf.function(refuse), lambda x: next(iter(tf.data.Dataset.from_tensors(x).map(refuse)))):
        with pytest.raises(ArgumentError) as caught:
            call(tf.constant(1))
        assert str(caught.value) == "x=3: must be 4" and caught.value.argument == "x"


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x1b", "\u2028"])
def test_characters_that_hide_or_turn_text_are_printed_as_escapes(hidden):
    shown = printable(f"cat{hidden}.png")
    assert shown.isascii() and shown.startswith("cat\\") and shown.endswith(".png")
    assert printable("café 猫 🙂") == "café 猫 🙂"
