"""The command that classifies images ends like the main command: with one line and a status."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from supcon_tf.cli import predict

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def answers(monkeypatch):
    """Makes the model answer without a model."""

    def load_classifier(saved_model, *, trust_model):
        return lambda image: ("cat", 0.5)

    monkeypatch.setattr("supcon_tf.serving.predict.load_classifier", load_classifier)


@contextlib.contextmanager
def stdout_to(stream):
    """Makes a stream stdout, and closes it although it cannot be written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield
    with contextlib.suppress(OSError):
        stream.close()


def test_answers_that_cannot_be_written_are_no_success(answers, capsys):
    with stdout_to(open("/dev/full", "w")):
        assert predict.main(["predict", "model", "1.png", "2.png"]) == 2
    line = "predict: stdout: cannot be written (No space left on device); what was to be printed is lost\n"
    assert capsys.readouterr().err == line


def test_a_reader_that_has_gone_ends_it_quietly(answers, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with stdout_to(os.fdopen(writer, "w")):
        assert predict.main(["predict", "model", "1.png"]) == 128 + signal.SIGPIPE
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def load_classifier(saved_model, *, trust_model):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("supcon_tf.serving.predict.load_classifier", load_classifier)
    assert predict.main(["predict", "model", "1.png"]) == 130
    assert capsys.readouterr().err == "\npredict: interrupted; run the same command again\n"


def test_help_is_no_error(capsys):
    with pytest.raises(SystemExit) as stop:
        predict.main(["predict", "--help"])
    assert stop.value.code == 0 and "SAVED_MODEL" in capsys.readouterr().out


def test_a_python_without_tensorflow_is_told_so(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from supcon_tf.cli import entry; "
    code += "sys.exit(entry.start('supcon_tf.cli.predict', ['predict', *sys.argv[1:]]))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT), "model", "1.png"], capture_output=True, text=True
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("predict: ") and " lacks the package " in done.stderr
