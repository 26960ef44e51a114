import io

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import Interrupted, UserError
from supcon_tf.evaluation import read_curves
from supcon_tf.training import callbacks
from supcon_tf.training.checkpoints import Checkpoints, latest_step
from supcon_tf.training.stop_signals import StopRequest


def fit(tmp_path, targets, *watching, epochs=1, **options):
    """Fits one weight, starting at 0, with a learning rate of 0, to a batch for each of `targets`."""
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(0.0), "mse", steps_per_execution=options.get("steps_per_execution", 1))
    stop = StopRequest()
    saving = callbacks.Saving(
        Checkpoints(model, str(tmp_path)),
        stop,
        minutes=options.get("minutes", 60),
        check_every=3,
        agree=options.get("agree", list),
        agree_every=options.get("agree_every", 1),
    )
    targets = np.float32(targets)[:, np.newaxis]
    dataset = tf.data.Dataset.from_tensor_slices((np.ones_like(targets), targets)).batch(1)

    class Ask(callbacks.StepCallback):
        def after_step(self, logs):
            stop.signal = 15 if self.step >= options.get("stop_at", np.inf) else None

    model.fit(dataset, epochs=epochs, callbacks=[*watching, Ask(), saving], verbose=0)


def test_a_loss_that_is_not_finite_stops_at_its_step(tmp_path):
    with pytest.raises(UserError, match="^step 5: the loss is nan; training stopped, nothing had been saved"):
        fit(tmp_path, [1, 2, 3, 4, np.nan, 6, 7, 8])


def test_a_loss_that_is_not_finite_is_only_known_to_the_execution(tmp_path):
    with pytest.raises(UserError, match="^step 5 to 8: the loss is nan; .* the checkpoint of step 4 is kept"):
        fit(tmp_path, [1, 2, 3, 4, np.nan, 6, 7, 8, 9], steps_per_execution=4, minutes=1e-9)


def test_the_checkpoint_that_is_kept_is_named(tmp_path):
    with pytest.raises(UserError, match="step 5: the loss is nan; .* the checkpoint of step 4 is kept"):
        fit(tmp_path, [1, 2, 3, 4, np.nan], minutes=1e-9)


def test_saves_at_the_end_of_each_epoch(tmp_path):
    fit(tmp_path, [1, 2, 3], epochs=2)
    assert latest_step(str(tmp_path)) == 6


def test_saves_in_between_when_time_has_passed(tmp_path):
    saved = []

    class Look(callbacks.StepCallback):
        def after_step(self, logs):
            saved.append(latest_step(str(tmp_path)))

    fit(tmp_path, [1, 2, 3], Look(), minutes=1e-9)
    assert saved == [None, 1, 2]


def test_stops_when_asked_to_with_everything_saved(tmp_path):
    with pytest.raises(Interrupted, match="saved at step 2") as stopped:
        fit(tmp_path, [1, 2, 3, 4], stop_at=2)
    assert stopped.value.signal == 15
    assert latest_step(str(tmp_path)) == 2


def test_one_of_several_processes_stops_where_all_agree_to(tmp_path):
    with pytest.raises(Interrupted, match="saved at step 4") as stopped:
        fit(tmp_path, [1, 2, 3, 4, 5], stop_at=3, agree_every=2)
    assert stopped.value.signal == 15 and latest_step(str(tmp_path)) == 4


def test_one_of_several_processes_saves_and_stops_with_the_others(tmp_path):
    answers = iter([[0, 0], [0, 1], [0, 0], [15, 0]])
    saved = []

    class Look(callbacks.StepCallback):
        def after_step(self, logs):
            saved.append(latest_step(str(tmp_path)))

    with pytest.raises(Interrupted, match="saved at step 4"):
        fit(tmp_path, [1, 2, 3, 4, 5], Look(), agree=lambda mine: next(answers))
    assert saved == [None, None, 2, 2] and latest_step(str(tmp_path)) == 4


def test_stops_after_the_execution_in_which_it_was_asked_to(tmp_path):
    with pytest.raises(Interrupted, match="saved at step 4"):
        fit(tmp_path, [1, 2, 3, 4, 5], steps_per_execution=2, stop_at=3)


def test_an_execution_of_several_steps_counts_each(tmp_path):
    seen = []

    class Look(callbacks.StepCallback):
        def after_step(self, logs):
            seen.append((self.step_before, self.step, self.has_passed(2)))

    fit(tmp_path, [1, 2, 3, 4, 5], Look(), steps_per_execution=3, epochs=2)
    assert seen == [(0, 3, True), (3, 5, True), (5, 8, True), (8, 10, True)]
    assert latest_step(str(tmp_path)) == 10


def test_curves_have_a_point_where_an_execution_passed_one(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path / "curves"))
    curve = callbacks.Curves(writer, StepSchedule(batch_size=1, images=6, epochs=1), lambda step: 1.0, every=4)
    fit(tmp_path, [1, 2, 3, 4, 5, 6], curve, steps_per_execution=3)
    curves = read_curves(str(tmp_path / "curves"), ["train/loss"])
    np.testing.assert_allclose(curves["train/loss"], [(6, (1 + 4 + 9 + 16 + 25 + 36) / 6)], rtol=1e-5)


def test_curves_hold_the_mean_since_the_last_point(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path / "curves"))
    epochs = StepSchedule(batch_size=1, images=4, epochs=2)
    fit(tmp_path, [1, 2, 3, 4], callbacks.Curves(writer, epochs, lambda step: 0.5 * step, every=2), epochs=2)
    tags = ["train/loss", "train/learning_rate", "train/images_per_second"]
    curves = read_curves(str(tmp_path / "curves"), tags)
    expected = [(2, (1 + 4) / 2), (4, (9 + 16) / 2), (6, (1 + 4) / 2), (8, (9 + 16) / 2)]
    np.testing.assert_allclose(curves["train/loss"], expected, rtol=1e-5)
    assert curves["train/learning_rate"] == [(2, 0.5), (4, 1.5), (6, 2.5), (8, 3.5)]
    assert [step for step, rate in curves["train/images_per_second"] if rate > 0] == [2, 4, 6, 8]


def test_progress_without_a_terminal_is_plain_lines(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(callbacks.sys, "stderr", screen)
    fit(tmp_path, [2, 2, 2], callbacks.Progress("pretrain", StepSchedule(1, 3, 1), {"loss": "loss"}))
    assert screen.getvalue() == "pretrain  100%  00:00 left, epoch 1/1, loss 4.000\n"


def warnings_after(epochs, capsys):
    callback = callbacks.ContrastiveWarnings(patience=2)
    for epoch, (loss, share) in enumerate(epochs):
        logs = {"unscaled_loss": loss, "collapsed_loss": 4.0, "images_with_classmates": share}
        callback.on_epoch_end(epoch, logs)
    return capsys.readouterr().err.splitlines()


def test_collapsed_embeddings_are_said_once(capsys):
    lines = warnings_after([(4.0, 1.0)] * 5, capsys)
    assert len(lines) == 1 and "all embeddings have become equal" in lines[0]


def test_a_loss_that_leaves_the_collapsed_value_is_no_collapse(capsys):
    assert warnings_after([(4.0, 1.0), (3.5, 1.0), (4.0, 1.0), (3.0, 1.0)], capsys) == []


def test_few_classmates_are_said_once_where_labels_count(capsys):
    lines = warnings_after([(3.0, 0.1)] * 3, capsys)
    assert len(lines) == 1 and "only 10% of the images" in lines[0]


def test_without_labels_nobody_expects_classmates(capsys):
    callback = callbacks.ContrastiveWarnings()
    callback.on_epoch_end(0, {"unscaled_loss": 3.0, "collapsed_loss": 4.0})
    assert capsys.readouterr().err == ""
