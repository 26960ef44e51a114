import io
import sys

from supcon_tf.data.steps import StepSchedule
from supcon_tf.training.callbacks import Progress
from tests.training.callbacks.fitting import fit


def test_progress_without_a_terminal_is_plain_lines(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    fit(tmp_path, [2, 2, 2], Progress("pretrain", StepSchedule(1, 3, 1), {"loss": "loss"}))
    assert screen.getvalue() == "pretrain  100%  00:00 left, epoch 1/1, loss 4.000\n"
