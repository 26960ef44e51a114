import pathlib
import re
import shlex

import pytest

from supcon_tf import config as config_lib
from supcon_tf.cli import flags

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if language != "python"
    for line in block.splitlines()
    if line.startswith((".venv/bin/", "make "))
]


def test_there_are_commands():
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_is_understood(command):
    program, *arguments = command
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif arguments[:1] == ["app.py"]:
        if "--help" in arguments:
            with pytest.raises(SystemExit):
                flags.parse(arguments)
        else:
            flags.parse(arguments)
    else:
        assert (program, arguments[0]) in ((".venv/bin/tensorboard", "--logdir"), (".venv/bin/python", "-m"))


@pytest.mark.parametrize(
    "code", [block for language, block in BLOCKS if language == "python"], ids=lambda code: code.split("\n", 1)[0]
)
def test_python_code_compiles(code):
    compile(code, "README.md", "exec")


def test_options_that_the_text_names_exist():
    options = (*config_lib.options(), *config_lib.plan_options())
    names = {option.name for option in options}
    known = names | {f"no{name}" for name in names} | {"print_config", "help", "logdir"}
    for name in re.findall(r"--([a-z_]+)", README):
        assert name in known, name


@pytest.mark.parametrize("path", re.findall(r"\]\((docs/[^)]*)\)", README))
def test_pictures_are_there(path):
    assert (ROOT / path).is_file()


def test_code_of_the_page_on_the_loss_runs():
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/loss.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:  # the later ones go on with what the first ones made
        exec(block, names)
