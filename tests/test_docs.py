"""Runs the commands and the Python code of README and docs, as a reader would paste them, on tiny data.

Every command is at least parsed, so that a flag that does not exist fails. `QUICK` says which are also run in each test
run. The others train for hours or need a network; the slow test runs them with the replacements of `SMALLER`. The
commands of `NOT_HERE` are only parsed; it says why.
"""

import argparse
import json
import os
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tensorflow import keras

import app
from supcon_tf import config
from supcon_tf.cli import flags
from tests.cluster import free_addresses, tf_config

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text() for path in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Commands that each test run really runs: a run of all stages on digits, and every plan.
QUICK = re.compile(r"python app\.py (--mode=supcon --dataset=digits --run_dir=runs/mine$|.*--plan\b|--help$)")

# Commands that are only parsed here, and why.
NOT_HERE = {
    r"--tpu=": "needs a TPU",
    r"--encoder_weights=imagenet": "downloads weights",
    r"--recipe=imagenet2012_supcon_queue$": "needs ImageNet; a command of large_batches.md runs its queue",
    r"--dataset=imagenet2012 --source_files": "tests/end_to_end/test_imagenet.py runs it on small tars",
    r"--dataset=fashion_mnist --source_files": "tests/data/test_source_files.py reads the files where Debian has them",
    r"--dataset=voc/2007": "tests/end_to_end/test_voc.py runs it on small tars",
    r"^make demo$": "downloads packages; what it trains is a command of results.md",
    r"^python tools/setup\.py": "downloads packages; tests/test_frame.py runs it without them",
    r"^pip install --require-hashes": "downloads packages; tests/test_frame.py reads the file",
    r"^docker ": "needs a Docker engine",
    r"^make bench$": "measures for an hour; TINY_BENCHMARKS runs its scripts",
    r"^make tpu": "compiles for hours, in an environment of its own",
    r"benchmarks/\w+\.py --python=": "needs an environment with other libraries",
    r"^tensorboard ": "serves until it is stopped",
    r"pytest tests/faults -m campaign": "takes minutes to an hour; a few of its cases run in tests/faults",
    r"tools/mutations\.py$": "takes half an hour; tests/test_mutations.py checks its faults",
}

# Commands that a test of their own runs, in processes with several devices.
DISTRIBUTED = re.compile(r"--strategy=(mirrored|multi_worker)$")

# Arguments with which a benchmark takes seconds.
TINY_BENCHMARKS = {
    "loss": "--sizes 64 --variants-size=64 --replicas-size=128 --classes=4 --rounds=1",
    "memory": "--images=32 --image-size=8 --microbatches 8 --batches 32 --rounds=1",
    "plan": "--tpu-only",
    "own_images": "--per-class=20 --modes supcon --seeds 0 --imbalance 2 --variants pretrain_epochs=1",
    "startup": "--rounds=1",
    "training_copies": "--per-class=4 --side=200 --epochs=1 --seeds 0",
    "training_step": "--encoder=small --images=16 --image-size=8 --replicas 2 --rounds=1",
}

# Replacements that make a run small, applied to each argument in turn.
SMALLER = (
    (r"^(--dataset|--unlabelled)=(cifar10|cifar100|fashion_mnist|oxford_flowers102)$", r"\1=digits"),
    (r"^--recipe=cifar10_(supcon|simclr|ce)\w*$", r"--recipe=digits_\1"),
    (r"folder:/path/to/", "folder:"),
    (r"csv:/path/to/images/", "csv:"),
    (r"^--preset=finetune$", "--preset=tiny"),  # the other one needs weights
    (r"^--budget=\w+$", ""),
    (r"/path/to/model.keras", "model.keras"),
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
SLOW_HERE = re.compile(r"resnet(34|200).*--plan\b|--plan_memory=|supcon_tf\.picture|--trust_model|pytest tests/faults")

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


def why_not_here(command):
    """The reason why a command is only parsed; None for one that is run."""
    return next((why for pattern, why in NOT_HERE.items() if re.search(pattern, command)), None)


COMMANDS = commands()
APP_COMMANDS = [command for command in COMMANDS if command.startswith("python app.py ")]
RUN_LATER = [command for command in APP_COMMANDS if not QUICK.search(command) and "--print_config" not in command]
SLOW = [command for command in RUN_LATER if not DISTRIBUTED.search(command) and not why_not_here(command)]


def blocks_of_python():
    """Page → its Python blocks. A block continues with the names that the earlier ones on its page have made."""
    found = {
        page: [code for language, code in FENCE.findall(text) if language == "python"] for page, text in TEXTS.items()
    }
    return {page: blocks for page, blocks in found.items() if blocks and page != "extending.md"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder in which the commands are run, with an image, images in folders of two classes, and a Keras model."""
    folder = tmp_path_factory.mktemp("workplace")
    generator = np.random.default_rng(0)
    (folder / "docs").mkdir()
    places = ("images/a", "images/b", "more/a")
    names = ["IMAGE.png", *(f"{place}/{number}.png" for place in places for number in range(20))]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, [32, 32], dtype=np.uint8)).save(path)
    rows = [f"{name},{name.split('/')[1]}\n" for name in names if name.startswith("images/")]
    (folder / "labels.csv").write_text("".join(["path,label\n", *rows]))
    layers = [keras.layers.Conv2D(4, 3, strides=4, input_shape=(96, 96, 3)), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential(layers).save(folder / "model.keras")
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
    assert len(APP_COMMANDS) > 40
    assert len(blocks_of_python()) >= 4


def test_every_block_says_what_it_is():
    for page, text in TEXTS.items():
        languages = {language for language, _ in FENCE.findall(text)}
        assert languages <= {"bash", "python", "text"}, page


@pytest.mark.parametrize("command", [command for command in APP_COMMANDS if not QUICK.search(command)])
def test_command_is_understood(command, inside, capsys):
    arguments = [argument for argument in shlex.split(command)[1:] if argument != "--print_config"]
    assert app.main([*arguments, "--print_config"]) == 0
    assert "--mode=" in capsys.readouterr().out


@pytest.mark.parametrize("command", marked(command for command in APP_COMMANDS if QUICK.search(command)))
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
@pytest.mark.parametrize("command", SLOW)
def test_command_runs_on_tiny_data(command, inside, digits_dir, finished_run, tmp_path):
    stages = () if "--run_dir=runs/mine" in command else ("--stages=pretrain",)  # the rest is run in other tests
    if "--redo=" in command:  # other commands resume the run unchanged
        copy = shutil.copytree(finished_run, tmp_path / "mine")
        command = command.replace("runs/mine", str(copy))
    assert app.main(small(command, digits_dir, *stages)) == 0


def test_reasons_are_those_of_commands_that_are_not_run():
    for pattern in NOT_HERE:
        assert any(re.search(pattern, command) for command in COMMANDS if command not in SLOW), pattern
    assert len([command for command in APP_COMMANDS if DISTRIBUTED.search(command)]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY_BENCHMARKS)
def test_benchmark_prints_a_table(name):
    _, program, script = shlex.split(next(command for command in COMMANDS if command.endswith(f"benchmarks/{name}.py")))
    assert program == "python"
    printed = subprocess.run(
        [sys.executable, script, *TINY_BENCHMARKS[name].split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    if "no such folder" in printed:
        pytest.skip(printed)  # Fashion-MNIST is not installed
    assert re.search(r"^\| .* \d+\.\d+ \|", printed, re.MULTILINE), printed


def start(command, data_dir, *further, **environment):
    """Starts the first stage of a training command in a separate process."""
    arguments = small(command, data_dir, "--stages=pretrain", *further)[1:]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_mirrored_command_runs_on_two_devices(inside, digits_dir):
    (command,) = (command for command in APP_COMMANDS if command.endswith("--strategy=mirrored"))
    assert "`--cpu_devices=2` tries it without GPUs" in TEXTS["distributed.md"]
    process = start(command, digits_dir, "--cpu_devices=2")
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "2 replicas" in printed, printed


@pytest.mark.slow
def test_multi_worker_command_runs_with_the_pages_cluster(inside, digits_dir):
    (command,) = (command for command in APP_COMMANDS if command.endswith("--strategy=multi_worker"))
    (exported,) = (command for command in COMMANDS if command.startswith("export TF_CONFIG"))
    addresses = free_addresses(2)
    page = json.loads(shlex.split(exported)[1].split("=", 1)[1])
    page["cluster"]["worker"] = addresses  # in place of HOST0 and HOST1
    assert page == json.loads(tf_config(addresses, 0))
    workers = [start(command, digits_dir, TF_CONFIG=tf_config(addresses, index)) for index in range(2)]
    printed = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    assert "2 replicas" in printed[0]


@pytest.mark.parametrize("command", marked(command for command in COMMANDS if command not in APP_COMMANDS))
def test_other_command_works(command, inside, finished_run, monkeypatch, capsys):
    program, *arguments = shlex.split(command)
    if program.startswith("PYTHONPATH="):
        program, *arguments = arguments
    if program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
    elif arguments[:2] == ["-m", "pytest"]:
        listed = [sys.executable, *arguments, "--collect-only", "-q"]
        assert re.search(
            r"^[1-9]\d*/\d+ tests collected", subprocess.check_output(listed, cwd=ROOT, text=True), re.MULTILINE
        )
    elif arguments[:1] == ["-m"]:
        monkeypatch.setattr(sys, "argv", ["program", *arguments[2:]])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module(arguments[1], run_name="__main__")
        assert stop.value.code == 0, capsys.readouterr().err
    elif program == "python":
        parses(ROOT / arguments[0], arguments[1:], monkeypatch)
    elif program == "pip":
        assert (ROOT / arguments[-1]).exists()
    elif program == "docker" and arguments[0] == "run":
        image = next(index for index, argument in enumerate(arguments) if argument.startswith("supcon_tf"))
        assert flags.parse(["supcon", *arguments[image + 1 :]]).config.run.mode == "supcon"
    elif program == "docker":
        assert arguments[0] == "build" and arguments[-1] == "."
        assert {argument for argument in arguments if "=" in argument} <= {"KIND=gpu"}
        assert "ARG KIND=cpu\n" in (ROOT / "Dockerfile").read_text()
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

    def stop(parser, arguments=None):
        parse_args(parser, arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(script.parent))
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


def test_code_with_models_imports_the_package_before_tensorflow():
    """Only then can the package choose Keras 2 where TensorFlow would take Keras 3; see install.md."""
    found = 0
    for page, code in ((page, code) for page, blocks in blocks_of_python().items() for code in blocks):
        if re.search(r"^from supcon_tf\.(models|optimizers)", code, re.MULTILINE):
            found += 1
            assert code.index("from supcon_tf") < code.index("import tensorflow"), page
    assert found > 1


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


OF_OTHERS = re.compile(r"tensorboard --logdir|`--syncBN`|^pip install --require-hashes|^docker [^=]*", re.MULTILINE)


@pytest.mark.parametrize("page", TEXTS)
def test_options_that_the_text_names_exist(page):
    options = (*config.options(), *config.plan_options())
    known = {option.name for option in options}
    known |= {f"no{name}" for name in known} | {"print_config", "help", "version", "linear_"}
    scripts = [path.read_text() for path in (ROOT / "benchmarks").rglob("*.py")]
    known |= {name for script in scripts for name in re.findall(r'add_argument\(\s*"--([\w-]+)"', script)}
    for name in re.findall(r"(?<=[\s`\"=(])--([a-zA-Z][\w-]*)", re.sub(OF_OTHERS, "", TEXTS[page])):
        assert name in known, name


def test_commands_need_no_path_of_an_environment():
    for page, text in TEXTS.items():
        assert ".venv/bin/" not in text.replace("source .venv/bin/activate", ""), page
