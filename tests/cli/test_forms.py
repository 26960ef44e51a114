"""Slips in the form of a command line are answered with what to type."""

import re

import pytest

from supcon_tf import config
from supcon_tf.cli import flags
from supcon_tf.errors import UserError


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (["--mode=supcon --dataset=digits"], "'--mode=supcon --dataset=digits': the quotes join two options"),
        (["--plan --mode=supcon"], "'--plan --mode=supcon': the quotes join two options"),
        (["--mode", "=", "supcon"], "--mode =: write --mode=supcon without spaces"),
        (["--mode", "=supcon"], "--mode =supcon: write --mode=supcon without spaces"),
        (["--mode=", "supcon"], "--mode= supcon: write --mode=supcon without spaces"),
        (["\u2014plan"], "\u2014plan: begins with a long dash; type --plan"),
        (["\u2013-plan"], "\u2013-plan: begins with a long dash; type --plan"),
        (["-\u2013seed=3"], "-\u2013seed=3: begins with a long dash; type --seed=3"),
        (["mode=supcon"], "unexpected argument 'mode=supcon'; write --mode=supcon"),
        (["predict", "m", "1.png"], "unexpected argument 'predict'; python -m supcon_tf.cli.predict MODEL IMAGE"),
        (["help"], "unexpected argument 'help'; write --help"),
        (["-b", "64"], "-b: no such option; use --batch_size"),
    ],
)
def test_a_slip_is_answered_with_what_to_type(given, answer):
    with pytest.raises(UserError) as error:
        flags.parse(["app.py", *given])
    assert error.value.text(config.as_flag).startswith(answer)


@pytest.mark.parametrize(
    "given",
    [
        ["--mode", "supcon", "--dataset", "digits"],
        ["--mode=supcon", "--dataset=digits", "--run_dir=my runs/with --seed=3"],
        ["--mode=supcon", "--dataset=digits", "--run_dir", "mode=supcon"],
    ],
)
def test_what_looks_like_a_slip_is_left_alone(given):
    assert flags.parse(["app.py", *given]).config.run.mode == "supcon"


def test_help_takes_its_subject_after_a_blank_too(capsys):
    texts = []
    for given in (["--help=batch_size"], ["--help", "batch_size"]):
        with pytest.raises(SystemExit):
            flags.parse(["app.py", *given])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and "--batch_size" in texts[0]
    with pytest.raises(SystemExit):
        flags.parse(["app.py", "--help", "--mode=ce"])
    assert "More: --help=all" in capsys.readouterr().out


def test_help_on_a_name_of_other_programs_says_ours():
    with pytest.raises(UserError, match=re.escape("--help=lr: no such flag or group of flags; use --learning_rate")):
        flags.parse(["app.py", "--help=lr"])
