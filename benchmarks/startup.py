"""Measures the time from the command to the first training steps on digits, and says where it goes.

    PYTHONPATH=. .venv/bin/python benchmarks/startup.py

prints a Markdown table with a row for each part, beside the floor. The floor is a process that imports TensorFlow and
takes the first step of a Keras model of the same encoder with cross-entropy. Seconds are medians over the rounds, in
which the program and the floor take turns.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple

FLAGS = ("--mode=supcon", "--dataset=digits", "--recipe=none", "--encoder=small", "--pretrain_epochs=2")
QUICK = ("--batch_size=64", "--warmup_epochs=0", "--stages=pretrain", "--projection_layers=128,64")
BATCH, STEPS = 64, 3


class Moment(NamedTuple):
    """The end of a part, in seconds since the process was started."""

    part: str
    seconds: float


class Enough(BaseException):
    """Stops the program after a few steps."""


def program(started: float) -> List[Moment]:
    """Runs the program up to a few steps, and returns when each part ended."""
    moments: List[Moment] = []

    def mark(part: str) -> None:
        moments.append(Moment(part, time.time() - started))

    def marking(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            mark(part)
            return result

        return call

    mark("Python")
    from supcon_tf.cli import main

    mark("command line")
    from supcon_tf.run import run, stages
    from supcon_tf.training import fit
    from supcon_tf.training.callbacks import Progress

    mark("import TensorFlow and the rest")
    run.prepare = marking("options and data", run.prepare)
    stages.build_training = marking("model, loss and optimizer", stages.build_training)
    fit._announce = marking("checkpoints and TensorBoard", fit._announce)

    def after_step(self: Progress, logs: Dict[str, Any]) -> None:
        float(logs["loss"])
        mark("first step, with its tracing" if self.step == 1 else f"step {self.step}")
        if self.step == STEPS:
            raise Enough

    Progress.after_step = after_step  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        main.run(["app.py", *FLAGS, *QUICK, f"--run_dir={folder}/run"])
    return moments


def floor(started: float) -> List[Moment]:
    """Takes the first steps of a Keras model, and returns when each part ended."""
    moments = [Moment("Python", time.time() - started)]
    import tensorflow as tf
    from sklearn.datasets import load_digits

    moments.append(Moment("import TensorFlow and the rest", time.time() - started))
    digits = load_digits()
    images = digits.images[..., None].astype("float32")
    from supcon_tf.models import build_encoder

    encoder = build_encoder("small", (8, 8, 1))
    model = tf.keras.Sequential([encoder, tf.keras.layers.Dense(10)])
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    moments.append(Moment("model, loss and optimizer", time.time() - started))
    for name in ("first step, with its tracing", *(f"step {step}" for step in range(2, STEPS + 1))):
        model.train_on_batch(images[:BATCH], digits.target[:BATCH])
        moments.append(Moment(name, time.time() - started))
    return moments


def measured(kind: str) -> Dict[str, float]:
    """Starts a process; returns the seconds of each part, and 'all' for the whole time up to the first step."""
    command = [sys.executable, __file__, "--child", kind, repr(time.time())]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    before, parts = 0.0, {}
    for part, seconds in json.loads(output.splitlines()[-1]):
        parts[part], before = seconds - before, seconds
        if part.startswith("first step"):
            parts["all, up to the first step"] = seconds
    return parts


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind (default 5)")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, started = arguments.child
        print(json.dumps((program if kind == "program" else floor)(float(started))))
        return
    rounds = [{kind: measured(kind) for kind in ("program", "floor")} for _ in range(arguments.rounds)]
    print("| part | seconds | floor |\n|---|---|---|")
    for part in rounds[0]["program"]:
        ours, least = ([one[kind][part] for one in rounds if part in one[kind]] for kind in ("program", "floor"))
        print(f"| {part} | {statistics.median(ours):.2f} | {f'{statistics.median(least):.2f}' if least else '–'} |")


if __name__ == "__main__":
    main()
