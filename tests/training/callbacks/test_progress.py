import io
import re
import sys

from supcon_tf import progress
from supcon_tf.data.steps import StepSchedule
from supcon_tf.training.callbacks import Progress
from tests.training.callbacks.fitting import fit


def test_progress_without_a_terminal_is_plain_lines(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    fit(tmp_path, [2, 2, 2], Progress("pretrain", StepSchedule(1, 3, 1), {"loss": "loss"}))
    begun, ended = screen.getvalue().splitlines()
    assert begun == "pretrain  compiles the first step"
    assert re.fullmatch(r"pretrain  100%  00:00 left, epoch 1/1, [\d,]+ images/s, loss 4\.000", ended)


def test_a_slow_loop_prints_a_line_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    assert list(progress.counted("abcdefgh", 8, "evaluate")) == list("abcdefgh")
    assert capsys.readouterr().err == "evaluate   25%  00:36 left\nevaluate   62%  00:14 left\n"
    assert list(progress.counted("abcdefgh", 8, "evaluate", show=False)) == list("abcdefgh")
    assert capsys.readouterr().err == ""
