"""Steps of a stage from options: batches that do not fit the data are named by their option."""

import types

import numpy as np
import pytest

from supcon_tf import config as config_lib
from supcon_tf.errors import ArgumentError
from supcon_tf.run import schedule

IMAGES = types.SimpleNamespace(size=230, classes=(np.arange(230), np.array([100, 100, 30])))
OPTIONS = {"batch_size": 12, "linear_batch_size": 12, "pretrain_epochs": 2, "linear_epochs": 3, "warmup_epochs": 0.0}


def config_of(**values):
    return config_lib.from_values({**OPTIONS, **values})


@pytest.mark.parametrize(
    ("stage", "values", "complaint"),
    [
        ("pretrain", {"batch_size": 400}, "batch_size=400: exceeds the 230 training images"),
        ("pretrain", {"classes_per_batch": 4}, "classes_per_batch=4: only 3 classes have training images"),
        ("linear", {"linear_batch_size": 400}, "linear_batch_size=400: exceeds the 230 training images"),
    ],
)
def test_batch_sizes_that_do_not_fit_the_data_are_named_by_their_option(stage, values, complaint):
    with pytest.raises(ArgumentError, match=f"^{complaint}"):
        schedule.step_schedule(config_of(**values), stage, IMAGES, None, 1)


def test_each_stage_has_its_own_epochs_and_batch_size():
    config = config_of(linear_batch_size=20)
    pretrain, linear = (schedule.step_schedule(config, stage, IMAGES, None, 1) for stage in ("pretrain", "linear"))
    assert (pretrain.total_steps, linear.total_steps) == (2 * 230 // 12, 3 * 230 // 20)


def test_a_scaled_learning_rate_is_proportional_to_the_batch():
    config = config_of(scale_learning_rate=True, learning_rate=0.5, linear_learning_rate=2.0)
    assert schedule.peak_learning_rate(config, "pretrain", 1024) == 2.0
    assert schedule.peak_learning_rate(config, "linear", 64) == 0.5
    assert schedule.peak_learning_rate(config_of(learning_rate=0.5), "pretrain", 1024) == 0.5


def test_a_warm_up_that_leaves_no_step_for_the_decay_is_named_by_its_option():
    config = config_of(batch_size=220, warmup_epochs=1.95)
    steps = schedule.step_schedule(config, "pretrain", IMAGES, None, 1)
    with pytest.raises(ArgumentError, match=r"^warmup_epochs=1.95: leaves no step"):
        schedule.learning_rate_schedule(config, "pretrain", steps)
    config = config_of(linear_batch_size=220, linear_epochs=2, linear_warmup_epochs=1.95)
    steps = schedule.step_schedule(config, "linear", IMAGES, None, 1)
    with pytest.raises(ArgumentError, match=r"^linear_warmup_epochs=1.95: leaves no step"):
        schedule.learning_rate_schedule(config, "linear", steps)


def test_microbatches_make_up_a_replicas_share():
    schedule.check_microbatch(64, 256, 2)
    schedule.check_microbatch(None, 250, 2)
    with pytest.raises(ArgumentError, match="microbatch_size=50: must divide the 128 images .* the nearest is 64"):
        schedule.check_microbatch(50, 256, 2)
