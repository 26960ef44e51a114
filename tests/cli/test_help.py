import pathlib
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

import supcon_tf
from supcon_tf import config as config_lib
from supcon_tf.cli.help import _entries, help_text
from supcon_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def printed():
    code = (
        "import sys\n"
        "from supcon_tf.cli.main import main\n"
        "try: main(['app.py', '--help=all'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_names_every_option_and_needs_no_tensorflow(printed):
    for option in (*config_lib.options(), *config_lib.plan_options()):
        assert re.search(rf"^  --(\[no\])?{option.name}$", printed, re.MULTILINE), option.name


@pytest.mark.parametrize("width", [40, 100])
def test_lines_of_help_on_an_option_fit_the_terminal(width):
    lines = [line for line in help_text(width, "supcon", "all").splitlines() if line.startswith(" " * 6)]
    assert len(lines) > 100
    assert all(len(line) <= width or " " not in line.strip() for line in lines)


def test_help_gives_all_choices_and_the_default_of_an_option():
    entries = dict(
        re.findall(r"^  --(?:\[no\])?(\w+)\n((?:      .*\n?)+)", help_text(80, "supcon", "all"), re.MULTILINE)
    )
    for option in config_lib.options():
        part = " ".join(entries[option.name].split())
        for choice in option.metadata["choices"] or ():
            assert choice in part, (option.name, choice)
        if option.name not in ("mode", "dataset"):
            default = config_lib.option_text(option.name, option.default).strip("()")
            assert (f"(default: {default})" in part) != ("Default: " in part), option.name


def test_version_names_what_a_report_of_a_bug_needs():
    code = "import sys; from supcon_tf.cli.main import main; main(['app.py', '--version'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    for line in (
        f"supcon_tf {supcon_tf.__version__}",
        f"Python {platform.python_version()} ",
        f"numpy {np.__version__}",
    ):
        assert line in done.stdout


def test_examples_call_the_program_as_it_was_called():
    for command, other in (("supcon", "app.py"), ("python app.py", "  supcon ")):
        usage = help_text(80, command)
        assert f"  {command} --mode=supcon --dataset=digits\n" in usage and other not in usage


def test_options_of_the_linear_stage_have_help_of_their_own():
    text = " ".join(help_text(80, "supcon", "all").split())
    assert "--linear_schedule Decay of the learning rate" in text
    assert "multiply by --linear_decay_rate every --linear_decay_epochs epochs" in text


def test_help_alone_is_one_screen_of_flags_that_exist():
    lines = help_text(100, "python app.py").splitlines()
    assert len(lines) <= 26 and max(map(len, lines)) <= 100
    flags = re.findall(r"^  --(\w+)", "\n".join(lines), re.MULTILINE)
    assert {"mode", "dataset", "run_dir", "encoder"} <= {*flags} <= {entry.name for entry in _entries()}


@pytest.mark.parametrize("subject", ["loss", "hardware", "plan"])
def test_help_on_a_group_has_its_flags_alone(subject):
    names = set(re.findall(r"^  --(?:\[no\])?(\w+)$", help_text(80, "supcon", subject), re.MULTILINE))
    assert names == {entry.name for entry in _entries() if entry.group == subject}


@pytest.mark.parametrize("asked", ["temperature", "--temperature"])
def test_help_on_a_flag_is_its_entry(asked):
    assert help_text(80, "supcon", asked).splitlines()[:2] == ["Contrastive loss:", "  --temperature"]


@pytest.mark.parametrize(("subject", "answer"), [("losss", "did you mean loss?"), ("x", "--help=all lists all")])
def test_help_on_nothing_we_have_is_one_line(subject, answer):
    with pytest.raises(UserError, match=f"--help={subject}: no such flag or group of flags; {answer}"):
        help_text(80, "supcon", subject)
