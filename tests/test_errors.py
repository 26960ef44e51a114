"""Errors that the user can mend: their text for code and for the command line, and the hint for a wrong name."""

import pickle

import pytest
import tensorflow as tf

from supcon_tf.config import ENCODERS, KERAS_ENCODERS, MODES, PARTS, SCHEDULES, STAGES, as_flag, options, plan_options
from supcon_tf.errors import NAME_ONLY, ArgumentError, UserError, arguments_called, did_you_mean, first_line, nearest


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


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("batchsize", ["batch_size"]),
        ("Batch-Size", ["batch_size"]),
        ("temprature", ["temperature"]),
        ("sed", ["seed"]),
        ("sede", ["seed"]),
        ("encoder_widht", ["encoder_width"]),
        ("optimiser", ["optimizer"]),
        ("temp", ["temperature"]),
        ("data", ["dataset"]),
        ("jit", ["jit_compile"]),
        ("decay", ["decay_rate", "decay_epochs", "decay_normalization"]),
        ("epochs", ["pretrain_epochs", "warmup_epochs", "decay_epochs", "linear_epochs"]),
        ("epoch", ["pretrain_epochs", "warmup_epochs", "decay_epochs", "linear_epochs"]),
        ("devices", ["cpu_devices", "plan_devices"]),
        ("pretrain_batch_size", ["batch_size"]),
        ("linear_momentum", ["momentum"]),
        ("augmentation", ["augment"]),
        ("linear", ["linear_augment", "linear_epochs", "linear_optimizer", "linear_schedule"]),  # four at most
        *(
            (far, [])
            for far in ("evaluators", "lr", "gpu", "tau", "output", "top_k", "joint_ce", "num_epochs", "a", "_")
        ),
    ],
)
def test_a_wrong_name_leads_to_the_options_that_it_may_stand_for(typed, meant):
    assert nearest(typed, [option.name for option in (*options(), *plan_options())]) == meant


@pytest.mark.parametrize(
    "typed, known, meant",
    [
        ("CE", MODES, ["ce"]),
        ("supcn", MODES, ["supcon"]),
        ("cross_entropy", MODES, []),
        ("eval", STAGES, ["evaluate"]),
        ("resnet5", ENCODERS, ["resnet50"]),
        ("ResNet-50", ENCODERS, ["resnet50"]),
        ("EfficientNetV2S", KERAS_ENCODERS, ["keras:EfficientNetV2S"]),
        ("vit", (*ENCODERS, *KERAS_ENCODERS), []),
        ("head", PARTS, ["projection_head"]),
        ("step", SCHEDULES, []),
        ("no", ("auto", "on", "off"), []),
        ("none", ("auto", "on", "off"), []),
    ],
)
def test_a_wrong_value_leads_to_those_that_it_may_stand_for(typed, known, meant):
    assert nearest(typed, known) == meant


def test_a_hint_names_all_that_are_near():
    assert did_you_mean("epochs", ["a_epochs", "b_epochs", "c_epochs"]) == (
        "; did you mean a_epochs, b_epochs or c_epochs?"
    )
    assert did_you_mean("sed", ["seed"], "--") == "; did you mean --seed?"
    assert did_you_mean("x", ["seed"]) == ""
