"""The command that classifies images ends like the main command: with one line and a status."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from supcon_tf.cli import predict
from supcon_tf.cli.forms import PREDICT
from supcon_tf.serving import predict as serving

NO_FOLDER = "is a file, not the folder of a SavedModel"
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def answers(monkeypatch):
    """Makes the model answer without a model."""

    def load_classifier(saved_model, *, trust_model):
        return lambda image: ("cat", 0.5)

    monkeypatch.setattr("supcon_tf.serving.predict.load_classifier", load_classifier)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The working directory: a model, a run with a model, one without, and images."""
    for name in ("model", "run/saved_model", "bare", "photos"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("1.png", "2.png", "bare/config.json", "run/config.json", "photos/1.png"):
        (tmp_path / name).touch()
    for name in ("model", "run/saved_model"):
        (tmp_path / name / "saved_model.pb").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["nope", "1.png"], "nope: there is no such folder; give that of the SavedModel, such as RUN/saved_model"),
        (["1.png", "model"], f"1.png: {NO_FOLDER}; the model comes first: {PREDICT} model 1.png"),
        (["1.png", "2.png"], f"1.png: {NO_FOLDER}; give the model first"),
        (["run", "1.png"], "run: holds no saved_model.pb; did you mean run/saved_model?"),
        (["bare", "1.png"], "bare: is a run without an exported model; run its command with --stages=export"),
        (["photos", "1.png"], "photos: holds no saved_model.pb; give the folder of a SavedModel"),
        (["--model=model", "1.png"], f"--model=model: no such option; write {PREDICT} SAVED_MODEL IMAGE..."),
        (["model"], f"the following arguments are required: IMAGE; {PREDICT} --help says more"),
        (["model", "photos"], "photos: is a folder; give photos/*"),
        (["model", "https://x.org/1.png"], "https://x.org/1.png: is an address; download it first"),
        (["model", "3.png"], "3.png: no such file"),
    ],
)
def test_a_wrong_argument_is_answered_before_tensorflow_is_imported(given, line):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom supcon_tf.cli import predict\n"
    code += f"assert predict.main(['predict', *{given!r}]) == 2\nassert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, f"predict: {line}\n")


def test_the_other_images_are_classified(answers, capsys):
    assert predict.main(["predict", "model", "photos", "1.png"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("1.png: cat (50.0%)\n", "predict: photos: is a folder; give photos/*\n")


def test_the_versions_are_printed(capsys):
    assert predict.main(["predict", "--version"]) == 0
    assert capsys.readouterr().out.startswith("supcon_tf ")


@pytest.mark.parametrize("options", [["-I"], []])
def test_the_file_can_be_run_by_its_path(options):
    command = [sys.executable, *options, ROOT / "supcon_tf" / "cli" / "predict.py", "nope", "1.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("predict: nope: there is no such folder")


def test_an_image_from_a_pipe_is_read_whole():
    reader, writer = os.pipe()
    os.write(writer, b"an image")
    os.close(writer)
    assert serving._read(f"/dev/fd/{reader}") == b"an image"
    os.close(reader)


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
