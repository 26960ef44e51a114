import os
import sys

import pytest
import tensorflow as tf

from supcon_tf import distribute
from supcon_tf.distribute import processes
from supcon_tf.errors import UserError, WorkersLost

ABORTED = tf.errors.InternalError(None, None, "Collective ops is aborted by: Connection reset by peer\nThe error could")


@pytest.fixture
def several(monkeypatch):
    """A strategy that seems to have several processes."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    monkeypatch.setattr(processes, "count_processes", lambda other: 2 if other is strategy else 1)
    return strategy


def test_a_single_process_gets_its_own_values_back():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    assert distribute.all_reduce_max(strategy, [15, 0]) == [15, 0]
    assert distribute.steps_between_syncs(strategy, 50) == 1


@pytest.mark.parametrize("error", [ABORTED, tf.errors.UnavailableError(None, None, "Connection reset by peer\n{...}")])
def test_a_connection_error_means_lost_workers(error, several):
    with pytest.raises(WorkersLost, match="^Connection reset by peer$"), distribute.watch_workers(several):
        raise error


def test_other_errors_pass_unchanged(several):
    with pytest.raises(tf.errors.InternalError, match="cuDNN"), distribute.watch_workers(several):
        raise tf.errors.InternalError(None, None, "cuDNN")
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with pytest.raises(tf.errors.UnavailableError), distribute.watch_workers(strategy):
        raise tf.errors.UnavailableError(None, None, "no bucket")


@pytest.fixture
def starts(monkeypatch):
    """The commands that replaced this process."""
    commands = []
    monkeypatch.setenv(processes.FRUITLESS_STARTS, "0")
    monkeypatch.setattr(processes.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(processes.os, "set_inheritable", lambda *_: None)
    monkeypatch.setattr(processes.os, "execv", lambda program, command: commands.append(command))
    return commands


def test_the_same_command_is_started_again(starts, capsys):
    distribute.start_again(WorkersLost("they left"), ["app.py", "--mode=ce"])
    assert starts == [[sys.executable, "app.py", "--mode=ce"]]
    assert (
        capsys.readouterr().err == "app.py: lost the other workers (they left); starting again at the last checkpoint\n"
    )


def test_the_notice_begins_with_the_name_of_the_command(starts, capsys):
    distribute.start_again(WorkersLost("they left"), ["/usr/bin/supcon"])
    assert capsys.readouterr().err.startswith("supcon: lost the other workers")


def test_restarts_without_a_step_in_between_end(starts):
    with pytest.raises(UserError, match="lost the other workers 6 times without a step in between"):
        for _ in range(10):
            distribute.start_again(WorkersLost("they left"), ["app.py"])
    assert len(starts) == 5


def test_a_step_allows_new_restarts(starts):
    for _ in range(10):
        distribute.start_again(WorkersLost("they left"), ["app.py"])
        distribute.step_was_done()
    assert len(starts) == 10 and processes.FRUITLESS_STARTS not in os.environ
