"""Which known names a mistyped one leads to."""

import pytest

from supcon_tf.config import ENCODERS, KERAS_ENCODERS, MODES, PARTS, SCHEDULES, STAGES, options, plan_options
from supcon_tf.names import did_you_mean, nearest


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
        *((far, []) for far in ("evaluators", "lr", "gpu", "tau", "output", "top_k", "num_epochs", "a", "_")),
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
