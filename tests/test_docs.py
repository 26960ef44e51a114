"""Runs the commands and the Python code of README and docs, as a reader would paste them, on tiny data.

Every command is at least parsed, so that a flag that does not exist fails. `QUICK` says which are also run in each test
run. The others train for hours or need a network; the slow test runs them with the replacements of `SMALLER`. Commands
in `NOT_HERE` need hardware, a network or files that tests do not have, and are parsed only.
"""

import argparse
import json
import pathlib
import re
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import app
from supcon_tf import config

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text() for path in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Commands that each test run really runs: a run of all stages on digits, a run on a folder, and every plan.
QUICK = re.compile(
    r"python app\.py (--mode=supcon --dataset=(digits --run_dir=runs/mine|folder:/path/to/images)$|.*--plan\b|--help$)"
)

# Commands that need data, hardware or a network that tests do not have. They are parsed only.
NOT_HERE = re.compile(
    r"--tpu=|--strategy=|imagenet2012|voc/2007|--source_files|=imagenet$|--encoder=/path/|tensorflow$"
)

# Replacements that make a run small, applied to each argument in turn.
SMALLER = (
    (r"^(--dataset|--unlabelled)=(cifar10|cifar100|fashion_mnist|oxford_flowers102)$", r"\1=digits"),
    (r"^--recipe=cifar10_(supcon|simclr|ce)\w*$", r"--recipe=digits_\1"),
    (r"folder:/path/to/", "folder:"),
    (r"^--encoder=resnet\d+$", "--encoder=small"),
    (r"^--encoder=keras:MobileNetV2$", "--encoder=keras:MobileNetV2 --image_size=32"),
    (r"^--batch_size=\d+$", ""),
    (r"^--microbatch_size=\d+$", "--microbatch_size=16"),
    (r"^--queue_size=\d+$", "--queue_size=64"),
    (r"^--classes_per_batch=\d+$", "--classes_per_batch=4"),
    (r"^--max_examples=\d+$", ""),
    (r"^--decay_epochs=.*$", "--decay_epochs=0.5,0.75"),
)

# What every run of a test adds. A flag of the command wins, except those that SMALLER drops.
TINY = "--pretrain_epochs=1 --warmup_epochs=0 --linear_epochs=1 --batch_size=32 --linear_batch_size=32 --log_every=1"
TINY_DATA = "--max_examples=64"

# These take seconds and repeat what other tests run, so they wait for the slow tests.
SLOW_HERE = re.compile(r"resnet200.*--plan\b|supcon_tf\.picture")

# Shorter numbers for the Python blocks that would take long.
SMALLER_CODE = (("[64, 2, 32, 32, 3]", "[8, 2, 32, 32, 3]"), ("uniform([64]", "uniform([8]"))


def commands():
    """Command → the pages that have it, without comments, each line of a `bash` block being one."""
    found = {}
    for page, text in TEXTS.items():
        for language, block in FENCE.findall(text):
            if language == "bash" and page != "extending.md":  # which test_extending.py follows
                for line in block.splitlines():
                    found.setdefault(re.sub(r"\s+#.*", "", line), []).append(page)
    return found


COMMANDS = commands()
OF_APP = [command for command in COMMANDS if command.startswith("python app.py ")]
SLOW = [command for command in OF_APP if not QUICK.search(command) and "--print_config" not in command]


def blocks_of_python():
    """Page → its Python blocks. A block continues with the names that the earlier ones on its page have made."""
    found = {
        page: [code for language, code in FENCE.findall(text) if language == "python"] for page, text in TEXTS.items()
    }
    return {page: blocks for page, blocks in found.items() if blocks and page != "extending.md"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder in which the commands are run, with an image, and images in folders of two classes."""
    folder = tmp_path_factory.mktemp("workplace")
    generator = np.random.default_rng(0)
    (folder / "docs").mkdir()
    places = ("images/a", "images/b", "more/a")
    names = ["IMAGE.png", *(f"{place}/{number}.png" for place in places for number in range(20))]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, [32, 32], dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def inside(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def marked(commands):
    """The commands as parameters, those of SLOW_HERE marked slow."""
    return [
        pytest.param(command, marks=[pytest.mark.slow] if SLOW_HERE.search(command) else []) for command in commands
    ]


def small(command, data_dir, *further):
    """The arguments of a training command with the replacements of SMALLER, and TINY before what the user gave."""
    if "--warm_start=runs/mine" in command:  # a folder has colour, the digits of runs/mine are grey
        command = command.replace("folder:/path/to/images", "digits")
    replaced = []
    for argument in shlex.split(command)[2:]:
        for pattern, replacement in SMALLER:
            argument = re.sub(pattern, replacement, argument)
        replaced += argument.split()
    tiny = TINY.split() + ([] if any(argument.startswith("--train_split") for argument in replaced) else [TINY_DATA])
    if "folder:" in command:
        tiny += ["--encoder=small", "--image_size=16"]
    return ["app.py", f"--data_dir={data_dir}", *tiny, *further, *replaced]


@pytest.fixture(scope="module")
def finished_run(workplace, digits_dir):
    """The run that several pages begin with, runs/mine, finished."""
    command = "python app.py --mode=supcon --dataset=digits --run_dir=runs/mine"
    assert {"README.md", "serving.md", "runs.md"} <= set(COMMANDS[command])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        assert app.main(small(command, digits_dir)) == 0
    return workplace / "runs" / "mine"


def test_there_are_commands_and_code():
    assert len(OF_APP) > 40
    assert len(blocks_of_python()) >= 4


def test_every_block_says_what_it_is():
    for page, text in TEXTS.items():
        languages = {language for language, _ in FENCE.findall(text)}
        assert languages <= {"bash", "python", "text"}, page


@pytest.mark.parametrize("command", [command for command in OF_APP if not QUICK.search(command)])
def test_command_is_understood(command, inside, capsys):
    arguments = [argument for argument in shlex.split(command)[1:] if argument != "--print_config"]
    assert app.main([*arguments, "--print_config"]) == 0
    assert "--mode=" in capsys.readouterr().out


@pytest.mark.parametrize("command", marked(command for command in OF_APP if QUICK.search(command)))
def test_command_runs(command, inside, digits_dir, finished_run, capsys):
    arguments = shlex.split(command)[1:]
    if "--help" in arguments:
        with pytest.raises(SystemExit) as stop:
            app.main(arguments)
        assert not stop.value.code
    else:
        assert app.main(arguments if "--plan" in arguments else small(command, digits_dir)) == 0
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in SLOW if not NOT_HERE.search(command)])
def test_command_runs_on_tiny_data(command, inside, digits_dir, finished_run):
    stages = () if "--run_dir=runs/mine" in command else ("--stages=pretrain",)  # the rest is run in other tests
    assert app.main(small(command, digits_dir, *stages)) == 0


@pytest.mark.parametrize("command", marked(command for command in COMMANDS if command not in OF_APP))
def test_other_command_works(command, inside, finished_run, monkeypatch, capsys):
    program, *arguments = shlex.split(command)
    if program.startswith("PYTHONPATH="):
        program, *arguments = arguments
    if program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
    elif arguments[:1] == ["-m"]:
        monkeypatch.setattr(sys, "argv", ["program", *arguments[2:]])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module(arguments[1], run_name="__main__")
        assert stop.value.code == 0, capsys.readouterr().err
    elif program == "python":
        parses(ROOT / arguments[0], arguments[1:], monkeypatch)
    elif program == "tensorboard":
        from tensorboard import program as tensorboard

        tensorboard.TensorBoard().configure([program, *arguments])
    elif program == "export":
        name, value = arguments[0].split("=", 1)
        assert name == "TF_CONFIG"
        assert {"cluster", "task"} == set(json.loads(value))
    else:
        assert command == "source .venv/bin/activate"


class Parsed(Exception):
    """The script has parsed its arguments and would begin to measure."""


def parses(script, arguments, monkeypatch):
    """Runs a script up to where it has parsed its arguments."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser):
        parse_args(parser)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    monkeypatch.syspath_prepend(str(ROOT))
    with pytest.raises(Parsed):
        runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("page", blocks_of_python())
def test_python_code_runs(page, inside, finished_run):
    names = {"__name__": page}
    for code in blocks_of_python()[page]:
        for number, smaller in SMALLER_CODE:
            code = code.replace(number, smaller)
        exec(compile(code, page, "exec"), names)


def test_printed_plan_is_what_the_command_prints(inside, capsys):
    (first, *_), (printed, *_) = (
        [block for language, block in FENCE.findall(TEXTS["plan.md"]) if language == kind] for kind in ("bash", "text")
    )
    assert app.main(shlex.split(first.splitlines()[0])[1:]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("page", ["README.md", "runs.md"])
def test_a_run_leaves_what_the_page_lists(page, finished_run):
    table = TEXTS[page][TEXTS[page].index("## What a run leaves") :].split("\n## ")[0]
    listed = re.findall(r"^\| `([\w.]+)/?` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in finished_run.iterdir() if not path.name.startswith("."))


def test_front_page_is_short_and_links_all_pages():
    assert len(TEXTS["README.md"].splitlines()) <= 150
    for path in PAGES[1:]:
        assert f"(docs/{path.name})" in TEXTS["README.md"], path.name


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for target in re.findall(r"(?:\]\(|src=\")([^)\"]+)", FENCE.sub("", TEXTS[page])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        assert (folder / path).is_file(), target
        if anchor:
            assert anchor in anchors(TEXTS[pathlib.Path(path).name if path else page]), target


def anchors(text):
    """The names by which a page's titles are linked to."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS)
def test_options_that_the_text_names_exist(page):
    options = (*config.options(), *config.plan_options())
    known = {option.name for option in options}
    known |= {f"no{name}" for name in known} | {"print_config", "help", "linear_"}
    scripts = [path.read_text() for path in (ROOT / "benchmarks").rglob("*.py")]
    known |= {name for script in scripts for name in re.findall(r'add_argument\(\s*"--([\w-]+)"', script)}
    for name in re.findall(
        r"(?<=[\s`\"=(])--([a-zA-Z][\w-]*)", re.sub(r"tensorboard --logdir|`--syncBN`", "", TEXTS[page])
    ):
        assert name in known, name


def test_commands_need_no_path_of_an_environment():
    for page, text in TEXTS.items():
        assert ".venv/bin/" not in text.replace("source .venv/bin/activate", ""), page
