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


IMPORT = """
import logging, os, signal, sys
from supcon_tf.cli import surroundings
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with surroundings.native_notices_hidden():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    os.write(2, b"I0000 00:00:1731234567.123456    1234 cpu_feature_guard.cc:210] This TensorFlow binary\\n")
    os.write(2, b"To enable the following instructions: AVX2, rebuild TensorFlow\\n")
    os.write(2, b"a line that is no notice\\n")
    logging.getLogger("made here").addHandler(logging.StreamHandler())
    if len(sys.argv) > 1:
        os.write(2, b"F0000 the CPU lacks AVX\\n")
        os.kill(os.getpid(), int(sys.argv[1]))
logging.getLogger("made here").error("an error")
"""


def imported(*arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", IMPORT, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True)


def test_notices_are_hidden_and_other_lines_and_a_logger_made_meanwhile_are_not():
    done = imported()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "a line that is no notice\nan error\n")


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGILL, signal.SIGKILL])
def test_an_import_that_ends_the_process_has_its_last_words(number):
    done = imported(int(number))
    assert done.returncode == -number
    assert done.stderr.startswith("WARNING: All log messages") and done.stderr.endswith("F0000 the CPU lacks AVX\n")


def test_notices_that_were_asked_for_are_shown():
    assert "cpu_feature_guard" in imported(TF_CPP_MIN_LOG_LEVEL="0").stderr
