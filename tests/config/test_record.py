import json

import pytest

from supcon_tf import config as config_lib


def test_digest_follows_what_is_learned_and_not_where_it_is_written():
    digest = config_lib.digest(config_lib.from_values({}))
    assert config_lib.digest(config_lib.from_values({"temperature": 0.2})) != digest
    for elsewhere in ({"run_dir": "x"}, {"stages": ("export",)}, {"data_dir": "x"}, {"log_every": 1}, {"cache": "off"}):
        assert config_lib.digest(config_lib.from_values(elsewhere)) == digest


LINEAR_PIECEWISE = {
    "linear_schedule": "piecewise",
    "linear_decay_epochs": (1.0, 2.0),
    "linear_decay_rate": 0.2,
    "linear_optimizer": "adam",
    "linear_learning_rate": 0.5,
    "linear_batch_size": 64,
    "linear_warmup_epochs": 1.0,
    "linear_weight_decay": 0.1,
}
PRETRAIN_EXPONENTIAL = {
    "schedule": "exponential",
    "decay_epochs": (3.0,),
    "decay_rate": 0.5,
    "optimizer": "lars",
    "learning_rate": 0.3,
    "batch_size": 512,
    "warmup_epochs": 2.0,
    "weight_decay": 0.0,
    "scale_learning_rate": True,
    "decay_normalization": True,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
}
SHARED = {"pretrain_epochs": 20, "linear_epochs": 7, "linear_augment": "none", "microbatch_size": 8, "momentum": 0.5}


@pytest.mark.parametrize(
    "values, digest",
    [
        ({}, "44136fa3"),
        ({"temperature": 0.2}, "b874c670"),
        (SHARED, "485f9cbc"),
        (LINEAR_PIECEWISE, "d3fd61dc"),
        (PRETRAIN_EXPONENTIAL, "2d8ff789"),
    ],
)
def test_digest_never_changes(values, digest):
    """Default folders are named after it. The fingerprint is compared by workers of one version only."""
    assert config_lib.digest(config_lib.from_values(values)) == digest


def test_fingerprint_covers_all_options_except_some():
    def fingerprint(**values):
        return config_lib.fingerprint(config_lib.from_values(values), without=("data_dir",))

    assert fingerprint() == fingerprint(data_dir="x") < 2**24
    others = (fingerprint(log_every=7), fingerprint(steps_per_execution=2), fingerprint(seed=1))
    assert len({fingerprint(), *others}) == 4


def record_of(**values):
    return json.loads(json.dumps(config_lib.identity(config_lib.from_values(values))))


def test_differences_name_each_option_with_both_values():
    record = record_of(temperature=0.2, linear_epochs=7)
    assert config_lib.differences(record, config_lib.from_values({"temperature": 0.2, "linear_epochs": 7})) == {}
    assert config_lib.differences(record, config_lib.from_values({"seed": 7})) == {
        "seed": (7, 0),
        "temperature": (0.1, 0.2),
        "linear_epochs": (50, 7),
    }


def test_record_keeps_what_else_a_run_has_found_out():
    assert (
        config_lib.recorded({**record_of(seed=3), "prepared_data": "digits/1.0.0"})["prepared_data"] == "digits/1.0.0"
    )


def test_option_newer_than_the_record_counts_as_its_default():
    record = record_of()
    del record["temperature"]
    assert config_lib.recorded(record)["temperature"] == 0.1
    assert config_lib.differences(record, config_lib.Config()) == {}
    assert config_lib.differences(record, config_lib.from_values({"temperature": 0.2}))
