import os
import signal
import subprocess
import sys

import pytest

from supcon_tf.errors import ArgumentError
from supcon_tf.run_lock import NAME, locked

HOLD = """
import sys, time
from supcon_tf.run_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
COMPETE = """
import os, sys
from supcon_tf.run_lock import locked
for _ in range(300):
    try:
        with locked(sys.argv[1]):
            open(sys.argv[2], "x").close()
            os.unlink(sys.argv[2])
    except ValueError as refused:
        assert "is running in it" in str(refused), refused
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / 'run'`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_by_name(holder, tmp_path):
    complaint = f"^run_dir=.*: process {holder.pid} on .* is running in it; wait for it"
    with pytest.raises(ArgumentError, match=complaint), locked(str(tmp_path / "run")):
        pass
    assert (tmp_path / "run" / NAME).exists()  # the refused process leaves the other's lock


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_leaves_no_lock(holder, how, tmp_path):
    holder.send_signal(how)
    holder.wait()
    with locked(str(tmp_path / "run")):
        assert (tmp_path / "run" / NAME).exists()
    assert not (tmp_path / "run" / NAME).exists()


def test_a_run_that_leaves_files_keeps_its_folder_without_the_lock(tmp_path):
    with locked(str(tmp_path / "run")):
        (tmp_path / "run" / "config.json").write_text("{}")
    assert os.listdir(tmp_path / "run") == ["config.json"]


def test_an_error_frees_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(str(tmp_path)):
        raise ZeroDivisionError
    with locked(str(tmp_path)):
        pass


def test_addresses_are_not_locked():
    with locked("gs://bucket/run"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="^run_dir=.*file/run': cannot be written"), locked(f"{tmp_path}/file/run"):
        pass


def test_of_many_processes_one_gets_the_lock(tmp_path):
    command = [sys.executable, "-c", COMPETE, str(tmp_path / "run"), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]


def test_an_empty_folder_of_the_user_stays(tmp_path):
    with locked(str(tmp_path)):
        pass
    assert tmp_path.exists()
