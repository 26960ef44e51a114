"""Compares both lanes, TensorFlow 2.15 and TensorFlow 2.21 with tf_keras, in one run: time, memory and values.

    PYTHONPATH=. .venv/bin/python benchmarks/lanes.py

prints a Markdown table with a row for each job, or says which environment is missing. `make LANE=addons
.venv-addons/runtime` and `make LANE=current .venv-current/runtime` make the two. Processes of both lanes live at the
same time and take turns; seconds are medians. The values are the loss, and the norm of its gradient or of the weights
after the first step; the table has the larger relative difference of the two.
"""

import argparse
import importlib
import json
import os
from typing import Any, Dict, NamedTuple, Tuple

from benchmarks.lib import turns

VIEWS = 2


class Job(NamedTuple):
    """A measurement by a child process.

    Attributes:
      kind: 'loss' or 'step'.
      variant: 'out' or 'in' for the loss; for a step, the name of the encoder.
      images: number of images in the batch, each in two views.
    """

    kind: str
    variant: str
    images: int


def make_loss(job: Job) -> turns.Evaluate:
    """Returns a function that takes the loss with its gradient."""
    import numpy as np
    import tensorflow as tf

    from supcon_tf.losses import SupConLoss

    random = np.random.default_rng(0)
    projections = tf.constant(random.normal(size=(job.images, VIEWS, 128)), tf.float32)
    labels = tf.constant(random.integers(0, 100, job.images), tf.int32)
    loss = SupConLoss(0.1, summation=job.variant)

    @tf.function
    def value_and_gradient() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(projections)
            value = tf.reduce_mean(loss.call(labels, projections))
        return value, tf.norm(tape.gradient(value, projections))

    def evaluate() -> Tuple[float, float]:
        value, norm = value_and_gradient()
        return float(value), float(norm)

    return evaluate


def make_step(job: Job) -> turns.Evaluate:
    """Returns a function that takes a training step, and returns what the first step found."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.lib import supcon

    views, labels = supcon.batch(job.images, VIEWS, 32)
    model = supcon.compiled_model(job.variant, 32)
    batches = iter(tf.data.Dataset.from_tensors((views, labels)).repeat())
    step = model.make_train_function()
    loss = float(step(batches)["loss"])
    norm = float(np.sqrt(sum(np.sum(np.square(weight, dtype=np.float64)) for weight in model.encoder.get_weights())))

    def evaluate() -> Tuple[float, float]:
        float(step(batches)["loss"])
        return loss, norm

    return evaluate


KINDS = {"loss": make_loss, "step": make_step}


def print_table(arguments: argparse.Namespace) -> None:
    """Measures each job in both lanes and prints a row for it."""
    pythons = (arguments.addons, arguments.current)
    turns.print_header(["job", "2.15 s", "2.21 s", "2.21/2.15", "2.15 MB", "2.21 MB", "difference"])
    jobs = [Job("loss", variant, size // VIEWS) for variant in ("out", "in") for size in arguments.sizes]
    jobs += [Job("step", encoder, arguments.images) for encoder in arguments.encoders]
    for job in jobs:
        old, new = turns.measure([turns.Child(job._asdict(), python) for python in pythons], arguments.rounds)
        values = turns.results([turns.Child(job._asdict(), python) for python in pythons])
        ratio = turns.NONE if old is None or new is None else f"{new.seconds / old.seconds:.2f}"
        apart = turns.NONE
        if values[0] is not None and values[1] is not None:
            apart = f"{max(abs(a - b) / abs(a) for a, b in zip(values[0], values[1])):.1e}"
        name = f"{job.kind}, {job.variant}, {job.images * VIEWS:,} views"
        memory = [turns.memory_cell(result) for result in (old, new)]
        turns.print_row([name, turns.seconds_cell(old), turns.seconds_cell(new), ratio, *memory, apart])


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addons", default=".venv-addons/bin/python", help="Python with TensorFlow 2.15")
    parser.add_argument("--current", default=".venv-current/bin/python", help="Python with TensorFlow 2.21")
    parser.add_argument("--sizes", type=int, nargs="+", default=(2048, 8192), metavar="N", help="projections of a loss")
    parser.add_argument(
        "--encoders", nargs="+", default=("small", "resnet18"), metavar="NAME", help="encoders of a step"
    )
    parser.add_argument("--images", type=int, default=128, help="images in the batch of a step (default 128)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each process (default 9)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Prints the table, or runs as a child process."""
    arguments = parse_arguments()
    if arguments.child:
        child: Dict[str, Any] = json.loads(arguments.child)
        job = Job(**child)
        importlib.import_module("supcon_tf")  # which chooses Keras 2 before TensorFlow is imported
        turns.serve(lambda: KINDS[job.kind](job))
        return
    missing = [path for path in (arguments.addons, arguments.current) if not os.path.exists(path)]
    if missing:
        print(f"skipped, for lack of {' and '.join(missing)}; see docs/install.md")
        return
    print_table(arguments)


if __name__ == "__main__":
    main()
