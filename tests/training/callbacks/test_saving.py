import numpy as np
import pytest

from supcon_tf.errors import Interrupted, UserError
from supcon_tf.training.callbacks import StepCallback
from supcon_tf.training.checkpoints import latest_step
from supcon_tf.training.history import History
from tests.training.callbacks.fitting import fit


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

    class Look(StepCallback):
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
        fit(tmp_path, [1, 2, 3, 4, 5], stop_at=3, sync_every=2)
    assert stopped.value.signal == 15 and latest_step(str(tmp_path)) == 4


def test_one_of_several_processes_saves_and_stops_with_the_others(tmp_path):
    answers = iter([[0, 0], [0, 1], [0, 0], [15, 0]])
    saved = []

    class Look(StepCallback):
        def after_step(self, logs):
            saved.append(latest_step(str(tmp_path)))

    with pytest.raises(Interrupted, match="saved at step 4"):
        fit(tmp_path, [1, 2, 3, 4, 5], Look(), all_reduce_max=lambda mine: next(answers))
    assert saved == [None, None, 2, 2] and latest_step(str(tmp_path)) == 4


def test_stops_after_the_execution_in_which_it_was_asked_to(tmp_path):
    with pytest.raises(Interrupted, match="saved at step 4"):
        fit(tmp_path, [1, 2, 3, 4, 5], steps_per_execution=2, stop_at=3)


def test_the_points_before_a_checkpoint_are_written_before_it(tmp_path, monkeypatch):
    history = History(str(tmp_path / "history.json"), "pretrain", resumed_from=0)
    seen = []
    monkeypatch.setattr(history, "write", lambda: seen.append(latest_step(str(tmp_path / "checkpoints"))))
    fit(tmp_path / "checkpoints", [1, 2, 3], epochs=2, history=history)
    assert seen == [None, 3]


def test_a_learning_rate_to_lower_is_named_as_the_stage_calls_it(tmp_path):
    with pytest.raises(UserError, match="A lower learning_rate or more warmup_epochs usually helps$") as stopped:
        fit(tmp_path, [np.nan])
    assert stopped.value.others.keys() == {"learning_rate", "warmup_epochs"}
