import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.config import RunOptions
from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import Interrupted, WorkersLost
from supcon_tf.models import Classifier
from supcon_tf.run_dir import RunDir
from supcon_tf.training.checkpoints import latest_step
from supcon_tf.training.fit import Stage, fit

EPOCHS = StepSchedule(batch_size=2, images=7, epochs=2)  # of 3 steps and 4


def make_batches(start_step, context):
    """Images of one grey, another in each step, and labels."""
    steps = tf.data.Dataset.range(start_step, EPOCHS.total_steps)
    return steps.map(
        lambda step: {
            "views": tf.fill([2, 1, 4, 4, 1], tf.cast(10 * step, tf.uint8)),
            "labels": tf.zeros([2], tf.int32),
        }
    )


def run(tmp_path, *callbacks, steps_per_execution=1):
    images = keras.Input((4, 4, 1))
    encoder = keras.Model(images, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images)))
    model = Classifier(encoder, 2, freeze_encoder=False, normalize_embedding=False)
    model.linear.set_weights([np.ones([16, 2]), np.zeros([2])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, steps_per_execution=steps_per_execution)
    stage = Stage("pretrain", EPOCHS, make_batches, lambda step: 0.1, {"loss": "loss"})
    fit(model, stage, RunDir(str(tmp_path)), RunOptions(), described={}, callbacks=callbacks)
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


def test_a_stage_goes_on_with_another_number_of_steps_at_a_time(tmp_path):
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
    assert latest_step(str(tmp_path / "interrupted" / "checkpoints" / "pretrain")) == EPOCHS.total_steps


def test_where_a_stage_goes_on_is_said(tmp_path, capsys):
    with pytest.raises(Interrupted):
        run(tmp_path, InterruptAt(step=2))
    assert "goes on" not in capsys.readouterr().err
    run(tmp_path)
    assert capsys.readouterr().err.startswith("pretrain  goes on after step 2 of 7\n")


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
