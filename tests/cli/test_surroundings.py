import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from supcon_tf.cli import surroundings
from supcon_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
PRINT = f"{sys.executable} app.py --recipe=digits_ce --print_config"
ANSWER = """
import os, sys
from supcon_tf.cli import main

def run(argv):
    with open("checkpoint", "w"):
        print("notice", file=sys.stderr, flush=True)
        if sys.argv[1] == "closed":
            os.write(2, b"from TensorFlow's C++ part")
    print("answer")

main.run = run
sys.exit(main.main(["app.py"]))
"""


def shell(command, cwd=ROOT):
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_stdout_is_one_line_and_status_2():
    done = shell(f"{PRINT} >/dev/full")
    assert done.returncode == 2
    assert done.stderr == (
        "app.py: stdout: cannot be written (No space left on device); what was to be printed is lost\n"
    )


def test_a_closed_stdout_is_one_line_and_status_2():
    done = shell(f"{PRINT} >&-")
    assert done.returncode == 2
    assert done.stderr == "app.py: stdout: cannot be written (Bad file descriptor); what was to be printed is lost\n"


@pytest.mark.parametrize("stderr, kind", [("2>&-", "closed"), ("2>/dev/full", "full")])
def test_without_stderr_the_answer_is_whole_and_no_file_gets_the_notices(tmp_path, stderr, kind):
    if kind == "full" and not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    (tmp_path / "answer.py").write_text(ANSWER)
    done = shell(f"PYTHONPATH={ROOT} {sys.executable} answer.py {kind} {stderr}", tmp_path)
    assert (done.returncode, done.stdout) == (0, "answer\n")
    assert (tmp_path / "checkpoint").read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gets_through_code_that_loses_it(monkeypatch, number):
    monkeypatch.setattr(surroundings, "SECONDS_TO_STOP", 0.05)
    with pytest.raises(surroundings.Stopped) as stopped, surroundings.stop_signals_raised():
        for _ in range(2):
            try:
                os.kill(os.getpid(), number) if _ == 0 else time.sleep(10)
            except BaseException:
                continue
        time.sleep(10)
    assert stopped.value.signal == number


def test_a_signal_that_became_another_error_still_counts():
    with pytest.raises(surroundings.Stopped), surroundings.stop_signals_raised():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None


def test_handlers_and_streams_are_given_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers], sys.stdout, sys.stderr
    with pytest.raises(UserError), surroundings.guarded_streams(), surroundings.stop_signals_raised():
        raise UserError("stop")
    assert ([signal.getsignal(number) for number in numbers], sys.stdout, sys.stderr) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_native_notices_are_hidden_and_a_logger_made_meanwhile_still_speaks():
    code = (
        "import logging, os\n"
        "from supcon_tf.cli import surroundings\n"
        "with surroundings.native_notices_hidden():\n"
        "    os.write(2, b'a notice')\n"
        "    logging.getLogger('made here').addHandler(logging.StreamHandler())\n"
        "logging.getLogger('made here').error('an error')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "an error\n")
