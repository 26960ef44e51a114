import json

import numpy as np
import tensorflow as tf

from supcon_tf.data.steps import StepSchedule
from supcon_tf.training.callbacks import Curves
from supcon_tf.training.history import History
from tests.event_files import read_points
from tests.training.callbacks.fitting import fit


def make_curves(tmp_path, steps, learning_rate, *, every, history=None):
    writer = tf.summary.create_file_writer(str(tmp_path / "curves"))
    history = history or History(str(tmp_path / "history.json"), "pretrain", resumed_from=0)
    return Curves(writer, history, steps, learning_rate, every=every)


def test_curves_have_a_point_where_an_execution_passed_one(tmp_path):
    callback = make_curves(tmp_path, StepSchedule(batch_size=1, images=6, epochs=1), lambda step: 1.0, every=4)
    fit(tmp_path, [1, 2, 3, 4, 5, 6], callback, steps_per_execution=3)
    curves = read_points(tmp_path / "curves")
    np.testing.assert_allclose(curves["train/loss"], [(6, (1 + 4 + 9 + 16 + 25 + 36) / 6)], rtol=1e-5)


def test_curves_hold_the_mean_since_the_last_point(tmp_path):
    steps = StepSchedule(batch_size=1, images=4, epochs=2)
    fit(tmp_path, [1, 2, 3, 4], make_curves(tmp_path, steps, lambda step: 0.5 * step, every=2), epochs=2)
    curves = read_points(tmp_path / "curves")
    expected = [(2, (1 + 4) / 2), (4, (9 + 16) / 2), (6, (1 + 4) / 2), (8, (9 + 16) / 2)]
    np.testing.assert_allclose(curves["train/loss"], expected, rtol=1e-5)
    assert curves["train/learning_rate"] == [(2, 0.5), (4, 1.5), (6, 2.5), (8, 3.5)]
    assert [step for step, rate in curves["train/images_per_second"] if rate > 0] == [2, 4, 6, 8]


def test_history_has_the_points_of_the_event_files(tmp_path):
    history = History(str(tmp_path / "history.json"), "pretrain", resumed_from=0)
    steps = StepSchedule(batch_size=1, images=4, epochs=2)
    curves = make_curves(tmp_path, steps, lambda step: 0.3 * step, every=2, history=history)
    fit(tmp_path / "checkpoints", [1, 2, 3, 4.7], curves, epochs=2, history=history)
    curves.on_epoch_end(2, {"loss": 1.0, "val_top1": tf.constant(0.7)})
    history.write()
    kept = json.loads((tmp_path / "history.json").read_text())["pretrain"]
    written = read_points(tmp_path / "curves")
    assert set(kept) == set(written) and {"train/loss", "train/learning_rate", "validation/top1"} <= set(kept)
    for tag, points in written.items():
        assert [(step, np.float32(value)) for step, value in kept[tag]] == points, tag
