import math

import pytest

from supcon_tf import config as config_lib
from supcon_tf.errors import NAME_ONLY, ArgumentError, UserError


def test_defaults_are_allowed_values():
    assert config_lib.from_values({}) == config_lib.Config()


def test_values_and_from_values_are_inverse():
    given = {"mode": "simclr", "linear_epochs": 3, "linear_augment": "none", "decay_epochs": (2.0,), "momentum": 0.5}
    config = config_lib.from_values({**given, "schedule": "exponential"})
    assert (config.linear.epochs, config.augment.linear_augment, config.training.momentum) == (3, "none", 0.5)
    assert {name: config_lib.values(config)[name] for name in given} == given
    assert config_lib.from_values(config_lib.values(config)) == config


def test_a_single_value_and_a_list_become_a_tuple():
    assert config_lib.from_values({"augment": "crop_flip"}).augment.augment == ("crop_flip",)
    assert config_lib.from_values({"stages": ["linear", "evaluate"]}).run.stages == ("linear", "evaluate")


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"mode": "supcn"}, "--mode=supcn: unknown; did you mean supcon?"),
        ({"stages": ("pretrain", "evluate")}, "--stages=evluate: unknown; did you mean evaluate?"),
        ({"stages": ()}, "--stages=: is empty; give at least one value"),
        ({"flip": "no"}, "--flip=no: unknown; one of auto, on, off"),
        ({"flip": "none"}, "--flip=none: unknown; one of auto, on, off"),
        ({"flip": ""}, "--flip=: is empty; one of auto, on, off"),
        ({"whitening": "on"}, "--whitening=on: unknown; one of auto, none"),
        ({"mode": "CE"}, "--mode=CE: unknown; did you mean ce?"),
        ({"augment": "SimCLR"}, "--augment=SimCLR: unknown; did you mean simclr?"),
        ({"augment": ("simclr", "")}, "--augment=simclr,: has an empty element; one of simclr, autoaugment,"),
        ({"encoder": "resnet5"}, "--encoder=resnet5: unknown; did you mean resnet50?"),
        ({"encoder": "vit"}, "--encoder=vit: unknown; one of "),
        ({"encoder": "EfficientNetV2S"}, "--encoder=EfficientNetV2S: unknown; did you mean keras:EfficientNetV2S?"),
        ({"encoder": "keras:MobilNetV2"}, "--encoder=keras:MobilNetV2: unknown; did you mean keras:MobileNetV2?"),
        (
            {"warm_start": "x", "warm_start_parts": ("head",)},
            "--warm_start_parts=head: unknown; did you mean projection_head?",
        ),
        ({"temperature": 0.0}, "--temperature=0: must be above 0"),
        ({"temperature": float("nan")}, "--temperature=nan: must be a finite number"),
        ({"jitter_probability": 1.5}, "--jitter_probability=1.5: must be at most 1"),
        ({"num_views": 0}, "--num_views=0: must be at least 1"),
        ({"projection_layers": (128, 0)}, "--projection_layers=0: must be at least 1"),
        ({"steps_per_execution": 0}, "--steps_per_execution=0: must be at least 1"),
        ({"unlabelled": "x", "unlabelled_share": 1.0}, "--unlabelled_share=1: must be at most 0.99"),
        ({"classes_per_batch": 0}, "--classes_per_batch=0: must be at least 1"),
        ({"label_noise": 1.5}, "--label_noise=1.5: must be at most 1"),
        ({"max_examples": 1}, "--max_examples=1: must be at least 2"),
        ({"momentum": 1.0}, "--momentum=1: must be at most 0.9999"),
        ({"summation": "inside"}, "--summation=inside: unknown"),
        ({"positives_cap": -1}, "--positives_cap=-1: must be at least 0"),
        ({"queue_size": 10**11}, "--queue_size=100000000000: must be at most 1048576"),
        ({"label_smoothing": 1.0}, "--label_smoothing=1: must be at most 0.99"),
        ({"linear_epochs": 0}, "--linear_epochs=0: must be at least 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(values, complaint):
    with pytest.raises(ArgumentError) as error:
        config_lib.from_values(values)
    text = error.value.text(config_lib.as_flag)
    assert complaint in text and "\n" not in text
    assert error.value.argument in values


def test_an_unknown_option_is_named_with_the_nearest():
    with pytest.raises(UserError) as error:
        config_lib.from_values({"temprature": 0.1})
    assert error.value.text(config_lib.as_flag) == "--temprature: no such option; did you mean temperature?"


@pytest.mark.parametrize(
    "name, value, flag",
    [
        ("tpu", NAME_ONLY, "--tpu"),
        ("jit_compile", True, "--jit_compile"),
        ("jit_compile", False, "--nojit_compile"),
        ("learning_rate", 0.1 + 0.2, "--learning_rate=0.3"),
        ("stages", ("linear", "export"), "--stages=linear,export"),
        ("crop_min_area", None, "--crop_min_area=(automatic)"),
        ("max_examples", None, "--max_examples=(all)"),
        ("warm_start", None, "--warm_start=(none)"),
        ("redo", (), "--redo=(none)"),
        ("stages", (), "--stages="),
        ("temperature", math.inf, "--temperature=inf"),
    ],
)
def test_a_flag_is_what_the_user_would_type(name, value, flag):
    assert config_lib.as_flag(name, value) == flag
