"""How long a run takes, estimated from a few steps, and how many epochs fit into a time."""

import itertools
import types

import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.data.steps import StepSchedule
from supcon_tf.run import duration
from supcon_tf.run.duration import Speed

STEPS_OF_AN_EPOCH, STEP_SECONDS, IMAGES = 10, 2.0, 320


def experiment(epochs=20, mode="supcon", solver="lbfgs", validation=None, accelerated=False):
    config = config_lib.from_values(
        {"mode": mode, "pretrain_epochs": epochs, "warmup_epochs": 0.0, "linear_solver": solver, "batch_size": 32}
    )
    strategy = tf.distribute.OneDeviceStrategy("GPU:0" if accelerated else "CPU:0")
    data = types.SimpleNamespace(validation_split=validation, eval_split="test", num_examples=lambda split: 96)
    return types.SimpleNamespace(
        config=config,
        strategy=strategy,
        data=data,
        num_classes=2,
        images=types.SimpleNamespace(size=IMAGES),
        last_training_stage="pretrain" if mode == "ce" else "linear",
        steps=lambda stage: StepSchedule(32, IMAGES, epochs),
    )


SPEED = Speed(trace_seconds=5.0, step_seconds=STEP_SECONDS)
# A step of 32 images in two views takes 2 s, so a view takes 1/32 s, a third of which is the forward pass.
EMBED = STEP_SECONDS / 64 / 3


def test_an_epoch_takes_its_steps_and_its_validation():
    assert duration.seconds_of_an_epoch(experiment(), SPEED) == pytest.approx(STEPS_OF_AN_EPOCH * STEP_SECONDS)
    with_validation = duration.seconds_of_an_epoch(experiment(validation="validation"), SPEED)
    assert with_validation == pytest.approx(STEPS_OF_AN_EPOCH * STEP_SECONDS + 96 * EMBED)


@pytest.mark.parametrize("solver, passes", [("lbfgs", 1), ("sgd", 50)])
def test_the_classifier_embeds_the_images_once_or_in_each_epoch(solver, passes):
    after = duration.seconds_after(experiment(solver=solver), SPEED)
    assert after == pytest.approx(duration.FIXED_SECONDS + 2 * 5.0 + (96 + passes * IMAGES) * EMBED)


@pytest.mark.parametrize("seconds", [60, 300, 3600])
def test_the_epochs_that_fit_end_well_within_the_time(seconds):
    epochs = duration.epochs_within(experiment(), SPEED, seconds)
    assert epochs >= 1
    if epochs > 1:
        assert duration.total_seconds(experiment(epochs), SPEED) <= (1 - duration.RESERVE) * seconds
    assert duration.total_seconds(experiment(epochs + 1), SPEED) > (1 - duration.RESERVE) * seconds


def test_more_than_an_hour_on_a_cpu_names_what_would_be_faster():
    short = duration.estimate_text(experiment(), SPEED, accelerated=False)
    assert short == "Takes about 7 min on this device: 200 steps of 2 s"
    long = duration.estimate_text(experiment(2000), SPEED, accelerated=False)
    assert long.startswith("Takes about 11 h on this device: 20,000 steps of 2 s. Shorter with --budget=30m")
    assert "--preset=tiny" in long and "--preset=finetune" in long
    assert "Shorter" not in duration.estimate_text(experiment(2000), SPEED, accelerated=True)


def test_it_is_said_once_after_the_first_steps(monkeypatch, capsys):
    said = duration.Duration(experiment())
    said.model = types.SimpleNamespace(optimizer=types.SimpleNamespace(iterations=tf.Variable(0)))
    first = [0.0, 5.0, 10.0, 12.0, 20.0, 22.0, 30.0, 32.0, 40.0, 42.0]  # the first step takes 5 s, the others 2
    clock = itertools.chain(first, itertools.count(50.0))
    monkeypatch.setattr(duration.time, "monotonic", lambda: next(clock))
    said.on_epoch_begin(0)
    for step in range(8):
        said.on_train_batch_begin(step)
        said.on_train_batch_end(step, {"loss": tf.constant(1.0)})
        assert capsys.readouterr().err == ("Takes about 7 min on this device: 200 steps of 2 s\n" if step == 4 else "")
