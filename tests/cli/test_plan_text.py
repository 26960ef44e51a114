"""The printed plan, and the flags that ask for it."""

import os

import pytest

from supcon_tf.cli import flags, main
from supcon_tf.config import as_flag
from supcon_tf.errors import UserError


def test_the_command_prints_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    command = ["app.py", "--mode=supcon", "--dataset=digits", "--data_dir=data", "--plan", "--plan_tflops=0.1"]
    main.run([*command, "--plan_memory=0.001", "--plan_devices=2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("supcon on digits: 1,197 training images, seen as 8x8x1, 10 classes; small in float32")
    named = {line[2:].split("  ")[0] for line in lines if line.startswith("  ")}
    assert named >= {"steps", "images seen", "memory", "step of a device", "sent a step", "time of the stage"}
    assert [line for line in lines if line.startswith("stage ")] == ["stage pretrain", "stage linear"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--plan_tflops=1"], "--plan_tflops=1: has no effect without --plan"),
        (["--plan", "--plan_bandwidth=1"], "--plan_bandwidth=1: has no effect without --plan_tflops"),
        (["--plan", "--plan_devices=0"], "--plan_devices=0: must be at least 1"),
        (["--plan", "--plan_memory=-1"], "--plan_memory=-1: must be above 0"),
        (["--plan", "--plan_tflops=many"], "--plan_tflops=many: must be a number"),
        (["--plan", "--plan_memry=1"], "--plan_memry: no such option; did you mean --plan_memory?"),
    ],
)
def test_bad_values_are_named(given, complaint):
    with pytest.raises(UserError) as error:
        flags.parse(["app.py", "--mode=supcon", "--dataset=digits", *given])
    assert error.value.text(as_flag) == complaint
