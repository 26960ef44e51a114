import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import Interrupted, UserError, WorkersLost
from supcon_tf.models import Classifier
from supcon_tf.run_dir import RunDir
from supcon_tf.training.checkpoints import latest_step
from supcon_tf.training.fit import Stage, fit
from tests.event_files import read_points

STEPS = StepSchedule(batch_size=2, images=7, epochs=2)  # the epochs take 3 and 4 steps


def make_batches(start_step, context):
    """Returns grey images, one shade in each step, and labels."""
    steps = tf.data.Dataset.range(start_step, STEPS.total_steps)
    return steps.map(
        lambda step: {
            "views": tf.fill([2, 1, 4, 4, 1], tf.cast(10 * step, tf.uint8)),
            "labels": tf.zeros([2], tf.int32),
        }
    )


def run(
    tmp_path,
    *callbacks,
    steps_per_execution=1,
    log_every=2,
    learning_rate=0.1,
    metrics=(),
    validation=None,
    frozen_epochs=0,
    units=None,
    **compile_options,
):
    images = keras.Input((4, 4, 1))
    embedding = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    if units is not None:
        start = keras.initializers.GlorotUniform(seed=0)
        embedding = keras.layers.Dense(units, kernel_initializer=start, name="hidden")(embedding)
    encoder = keras.Model(images, embedding)
    model = Classifier(encoder, 2, freeze_encoder=False, normalize_embedding=False)
    model.linear.set_weights([np.ones([units or 16, 2]) * [1, 2], np.zeros([2])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(learning_rate, momentum=0.9),
        loss,
        weighted_metrics=list(metrics),
        steps_per_execution=steps_per_execution,
        **compile_options,
    )
    stage = Stage("pretrain", STEPS, make_batches, lambda step: 0.1, {"loss": "loss"}, validation, frozen_epochs)
    run_dir = RunDir(str(tmp_path))
    fit(model, stage, run_dir, log_every=log_every, checkpoint_minutes=10.0, described={}, callbacks=callbacks)
    return model.get_weights()


class InterruptAt(keras.callbacks.Callback):
    """Sends this process SIGINT after some step or at the end of some epoch."""

    def __init__(self, step=None, epoch=None):
        super().__init__()
        self.step, self.epoch = step, epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_several_steps_at_a_time_end_with_the_same_weights(steps, tmp_path):
    for weight, expected in zip(run(tmp_path / "several", steps_per_execution=steps), run(tmp_path / "one")):
        np.testing.assert_allclose(weight, expected, rtol=1e-6)


class Seen(keras.metrics.Sum):
    """Adds up the weights of the images, that is, counts them."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(tf.ones_like(sample_weight), sample_weight)


class Look(keras.callbacks.Callback):
    """Keeps what each validation found."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_end(self, epoch, logs=None):
        self.found.append((logs["val_seen"], logs["val_loss"]))


@pytest.mark.parametrize("compile_options", [{}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)])
@pytest.mark.parametrize("steps", [1, 2, 3, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (4, 7))])
def test_validation_sees_each_image_once(steps, compile_options, tmp_path):
    """Epochs end in executions of one step, after which Keras would evaluate step by step in a graph of several."""
    counts = [2, 2, 2, 2, 1]
    held_out = tf.data.Dataset.range(5).map(
        lambda step: {
            "views": tf.fill([2, 1, 4, 4, 1], tf.cast(50 * step, tf.uint8)),
            "labels": tf.zeros([2], tf.int32),
            "weights": tf.cast(tf.range(2) < tf.gather(counts, step), tf.float32),
        }
    )
    look, one = Look(), Look()
    options = {"metrics": [Seen(name="seen")], "validation": (held_out, 5)}
    run(tmp_path / "several", look, steps_per_execution=steps, **options, **compile_options)
    run(tmp_path / "one", one, **options)
    assert [seen for seen, _ in look.found] == [9.0] * STEPS.epochs
    np.testing.assert_allclose(look.found, one.found, rtol=1e-5)


def test_a_stage_resumes_with_another_number_of_steps_at_a_time(tmp_path):
    with pytest.raises(Interrupted, match="saved at step 1"):
        run(tmp_path / "interrupted", InterruptAt(step=1))
    for weight, expected in zip(run(tmp_path / "interrupted", steps_per_execution=3), run(tmp_path / "undisturbed")):
        np.testing.assert_allclose(weight, expected, rtol=1e-6)


@pytest.mark.parametrize("when", [{"step": 2}, {"step": 3}, {"step": 5}, {"epoch": 0}, {"epoch": 1}])
def test_an_interrupted_stage_stops_and_ends_with_the_weights_of_an_undisturbed_one(when, tmp_path):
    undisturbed = run(tmp_path / "undisturbed")
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path / "interrupted", InterruptAt(**when))
    assert stopped.value.signal == signal.SIGINT
    for weight, expected in zip(run(tmp_path / "interrupted"), undisturbed):
        np.testing.assert_array_equal(weight, expected)
    assert latest_step(str(tmp_path / "interrupted" / "checkpoints" / "pretrain")) == STEPS.total_steps


class Kernels(keras.callbacks.Callback):
    """Keeps the encoder's kernel before training and after each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_begin(self, logs=None):
        self.on_epoch_end(-1)

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(self.model.encoder.get_layer("hidden").kernel.numpy())


@pytest.mark.parametrize("step", [2, pytest.param(3, marks=pytest.mark.slow), 5])
def test_the_encoder_stays_as_it_is_in_its_frozen_epochs_and_a_resumed_stage_knows_them(step, tmp_path):
    options = {"frozen_epochs": 1, "units": 3}
    kernels = Kernels()
    undisturbed = run(tmp_path / "undisturbed", kernels, **options)
    before, frozen, trained = kernels.found
    np.testing.assert_array_equal(before, frozen)
    assert np.abs(trained - frozen).max() > 1e-3
    with pytest.raises(Interrupted):
        run(tmp_path / "interrupted", InterruptAt(step=step), **options)
    for weight, expected in zip(run(tmp_path / "interrupted", **options), undisturbed):
        np.testing.assert_array_equal(weight, expected)


def test_the_step_that_a_stage_resumes_from_is_printed(tmp_path, capsys):
    with pytest.raises(Interrupted):
        run(tmp_path, InterruptAt(step=2))
    assert "resumes" not in capsys.readouterr().err
    run(tmp_path)
    assert capsys.readouterr().err.startswith("pretrain  resumes after step 2 of 7\n")


def history(tmp_path):
    return json.loads((tmp_path / "history.json").read_text())["pretrain"]


@pytest.mark.parametrize("when", [{"step": 3}, {"step": 5}, {"epoch": 0}])
def test_history_of_a_resumed_stage_has_each_step_once(when, tmp_path):
    run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "interrupted", InterruptAt(**when))
    run(tmp_path / "interrupted")
    whole, resumed = history(tmp_path / "whole"), history(tmp_path / "interrupted")
    assert [step for step, _ in whole["train/loss"]] == [2, 4, 6]
    for tag, curve in whole.items():
        assert [step for step, _ in resumed[tag]] == [step for step, _ in curve]
    assert resumed["train/learning_rate"] == whole["train/learning_rate"]


def test_points_that_a_crash_left_after_the_checkpoint_are_dropped(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations.numpy() == 6:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, Crash(), log_every=1)
    kept = history(tmp_path)
    kept["train/loss"] += [[4, 9.0], [5, 9.0]]  # written, but the checkpoint of step 5 was not
    (tmp_path / "history.json").write_text(json.dumps({"pretrain": kept}))
    run(tmp_path, log_every=3)
    assert [step for step, _ in history(tmp_path)["train/loss"]] == [1, 2, 3, 6]
    assert 9.0 not in dict(history(tmp_path)["train/loss"]).values()


def test_history_equals_the_event_files_of_an_uninterrupted_stage(tmp_path):
    run(tmp_path)
    events = read_points(tmp_path / "tensorboard" / "pretrain")
    kept = {tag: [(step, np.float32(value)) for step, value in curve] for tag, curve in history(tmp_path).items()}
    assert kept == events and set(kept) == {"train/loss", "train/learning_rate", "train/images_per_second"}


def test_weights_that_are_not_finite_stop_the_stage_in_one_line(tmp_path):
    """The loss is still finite; the update of the last step is not."""

    class Overflow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations.numpy() == STEPS.total_steps:
                self.model.layers[-1].bias.assign([0.0, np.inf])

    with pytest.raises(UserError, match="^step 7: 1 of 2 weights are not finite, first linear/bias;"):
        run(tmp_path, Overflow())
    assert latest_step(str(tmp_path / "checkpoints" / "pretrain")) == 3


@pytest.mark.parametrize("asked", [True, False])
def test_who_was_asked_to_stop_does_not_wait_for_lost_workers(asked, tmp_path):
    class Lose(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                if asked:
                    os.kill(os.getpid(), signal.SIGTERM)
                raise WorkersLost("they left")

    with pytest.raises(Interrupted if asked else WorkersLost, match="saved at step 3" if asked else "they left"):
        run(tmp_path, Lose())
