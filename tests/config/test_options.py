import dataclasses
import subprocess
import sys

import pytest

from supcon_tf import config as config_lib


def test_imports_no_tensorflow():
    code = "import sys, supcon_tf.config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_option_has_one_name_and_a_sentence_of_help():
    names = [option.name for option in (*config_lib.options(), *config_lib.plan_options())]
    assert len(names) == len(set(names))
    for option in (*config_lib.options(), *config_lib.plan_options()):
        assert option.metadata["help"].rstrip(".)").strip() and option.metadata["help"].endswith((".", ")")), (
            option.name
        )
        assert not {"{", "}"} & set(option.metadata["help"]), option.name


def test_every_option_says_what_none_means_and_only_then_has_a_default_in_its_help():
    found = set()
    for option in (*config_lib.options(), *config_lib.plan_options()):
        meaning = option.metadata["none"]
        assert bool(meaning) == (option.default in (None, ())), option.name
        assert ("Default: " in option.metadata["help"]) == (meaning == "automatic"), option.name
        if meaning:
            assert config_lib.as_flag(option.name, option.default) == f"--{option.name}=({meaning})"
        found.add(meaning)
    assert found == {"", "automatic", "none", "all", "any", "whole batch"}


def test_every_flag_that_a_help_text_names_exists():
    known = {option.name for option in (*config_lib.options(), *config_lib.plan_options())}
    for option in (*config_lib.options(), *config_lib.plan_options()):
        words = option.metadata["help"].replace("=", " ").replace(",", " ").replace(".", " ").split()
        flags = {word.strip("();:'")[2:] for word in words if word.lstrip("(").startswith("--")}
        assert flags <= known, option.name


def test_both_stages_have_the_same_options_under_names_of_their_own():
    by_stage = {
        stage: {option.field: option for option in config_lib.options() if option.group == stage}
        for stage in config_lib.TRAINING_STAGES
    }
    pretrain, linear = by_stage["pretrain"], by_stage["linear"]
    assert list(pretrain) == list(linear)
    assert [option.name for option in pretrain.values()] == [
        *("pretrain_epochs", "batch_size", "optimizer", "learning_rate", "warmup_epochs"),
        *("schedule", "decay_rate", "decay_epochs", "weight_decay"),
    ]
    assert [option.name for option in linear.values()] == [f"linear_{field}" for field in linear]
    assert {field: (pretrain[field].default, linear[field].default) for field in linear} == {
        "epochs": (100, 50),
        "batch_size": (256, 256),
        "optimizer": ("nesterov", "nesterov"),
        "learning_rate": (0.1, 1.0),
        "warmup_epochs": (10.0, 0.0),
        "schedule": ("cosine", "cosine"),
        "decay_rate": (0.1, 0.1),
        "decay_epochs": (None, None),
        "weight_decay": (1e-4, 0.0),
    }


def test_help_of_a_stage_names_the_flags_of_that_stage():
    help_of = {option.name: option.metadata["help"] for option in config_lib.options()}
    assert "--decay_rate" in help_of["schedule"] and "--linear" not in help_of["schedule"]
    assert "--linear_decay_rate" in help_of["linear_schedule"] and "--decay_rate" not in help_of["linear_schedule"]


def test_stage_returns_the_options_of_the_stage():
    config = config_lib.from_values({"pretrain_epochs": 20, "linear_epochs": 3})
    assert (config.stage("pretrain").epochs, config.stage("linear").epochs) == (20, 3)


def test_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config_lib.Config().loss.temperature = 1.0
