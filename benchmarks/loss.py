"""Measures time and memory of the contrastive loss with its gradient, on the CPU, beside other ways to compute it.

    PYTHONPATH=. .venv/bin/python benchmarks/loss.py

prints three Markdown tables: over sizes of the batch, over the variants of the loss, and over numbers of replicas.
`--loss`, `--variants` and `--replicas` choose among them. The first includes pytorch-metric-learning if it is
installed, best in a separate environment that `--python` names:

    PYTHONPATH=. .venv/bin/python benchmarks/loss.py --python=/path/to/environment/bin/python

Every figure comes from a separate process, so that its peak memory can be measured. The processes of a row live at the
same time and take turns, so that other work of the machine affects all equally. Where only the loss of this
package is measured, those of the whole table do. Seconds are the median over the rounds. A turn is one evaluation, or
the number of evaluations that take a tenth of a second.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from benchmarks.lib import turns
from benchmarks.lib.turns import NONE, Evaluate, Result, print_header, print_row

DIM = 128
VIEWS = 2
TEMPERATURE = 0.1
SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
CHECKED_SIZE = 256
REPLICAS = (1, 2, 4, 8)
FORMS = (
    ("out", "all", None),
    ("out", "one_positive", None),
    ("out", "only_negatives", None),
    ("in", "all", None),
    ("in", "one_positive", None),
    ("in", "only_negatives", None),
    ("out", "all", 4),
)

# From here on, only one of the processes that need memory quadratic in the batch lives at a time.
APART_FROM = 16384
# Up to here the floor is two products of whole matrices; beyond, of strips of STRIP rows.
WHOLE_UP_TO = 8192
STRIP = 2048


class Job(NamedTuple):
    """Says what a child process evaluates.

    Attributes:
      variant: a key of `VARIANTS`.
      size: number of projections, N.
      classes: number of classes.
      summation, denominator, positives_cap: variant of the loss, for `ours` only.
      replicas: for `ours` only: number of replicas, of which the child does the work of one.
    """

    variant: str
    size: int
    classes: int
    summation: str = "out"
    denominator: str = "all"
    positives_cap: Optional[int] = None
    replicas: int = 1


# The child: what is measured. Nothing here may be imported by the parent, whose size its children would inherit.


def _batch(job: Job) -> Tuple[Any, Any]:
    """Makes projections `[size / 2, 2, 128]` float32 and labels `[size / 2]` int32, equal in every process."""
    import numpy as np

    random = np.random.default_rng(0)
    projections = random.standard_normal((job.size // VIEWS, VIEWS, DIM), dtype=np.float32)
    return projections, random.integers(0, job.classes, job.size // VIEWS, dtype=np.int32)


def _differentiated(loss: Callable[[Any, Any], Any], projections: Any, labels: Any) -> Evaluate:
    """Returns an evaluation of the TensorFlow loss `loss(labels, projections)` and its gradient."""
    import tensorflow as tf

    projections, labels = tf.constant(projections), tf.constant(labels)

    @tf.function
    def step(projections: tf.Tensor, labels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(projections)
            value = loss(labels, projections)
        return value, tape.gradient(value, projections)

    def evaluate() -> Tuple[float, float]:
        value, gradient = step(projections, labels)
        return float(value.numpy()), float(gradient.numpy()[0, 0, 0])

    return evaluate


def ours(job: Job) -> Evaluate:
    """Evaluates the loss of this package."""
    from supcon_tf.losses import SupConLoss

    projections, labels = _batch(job)
    if job.replicas > 1:
        _pretend_replicas(job.replicas, projections, labels)
        own = len(labels) // job.replicas
        projections, labels = projections[:own], labels[:own]
    loss = SupConLoss(
        TEMPERATURE, summation=job.summation, denominator=job.denominator, positives_cap=job.positives_cap
    )
    return _differentiated(loss, projections, labels)


def ours_nt_xent(job: Job) -> Evaluate:
    """Evaluates NT-Xent of this package."""
    from supcon_tf.losses import NTXentLoss

    return _differentiated(NTXentLoss(TEMPERATURE), *_batch(job))


def _pretend_replicas(replicas: int, projections: Any, labels: Any) -> None:
    """Lets the loss be that of the first of several replicas, and gives it what it would gather."""
    import tensorflow as tf

    from supcon_tf.losses import engine, layout

    all_rows = tf.math.l2_normalize(tf.reshape(projections, [-1, DIM]), axis=-1)
    all_labels = tf.constant(labels)

    def gather(x: tf.Tensor) -> tf.Tensor:
        if x.shape.rank == 1:
            return all_labels
        return all_rows if x.shape[1] == DIM else tf.tile(x, [replicas, 1])

    def local_slice_start(local_batch: Any) -> Any:
        return 0

    engine.gather = layout.gather = gather
    layout.local_slice_start = local_slice_start


def dense(job: Job) -> Evaluate:
    """Evaluates Eq. 2 the way most write it: masks of numbers, and the matrix of all log-probabilities."""
    import tensorflow as tf

    def loss(labels: tf.Tensor, projections: tf.Tensor) -> tf.Tensor:
        z = tf.reshape(tf.math.l2_normalize(projections, axis=-1), [-1, DIM])
        labels = tf.repeat(labels, VIEWS)
        logits = tf.matmul(z, z, transpose_b=True) / TEMPERATURE
        logits -= tf.stop_gradient(tf.reduce_max(logits, axis=1, keepdims=True))
        others = 1.0 - tf.eye(job.size)
        positives = tf.cast(labels[:, tf.newaxis] == labels, tf.float32) * others
        denominators = tf.reduce_sum(tf.exp(logits) * others, axis=1, keepdims=True)
        log_probabilities = logits - tf.math.log(denominators)
        anchor_losses = tf.reduce_sum(positives * log_probabilities, axis=1) / tf.reduce_sum(positives, axis=1)
        return -tf.reduce_mean(anchor_losses)

    return _differentiated(loss, *_batch(job))


def dense_lean(job: Job) -> Evaluate:
    """Evaluates Eq. 2 with the least that a matrix of all similarities and automatic differentiation need."""
    import tensorflow as tf

    def loss(labels: tf.Tensor, projections: tf.Tensor) -> tf.Tensor:
        z = tf.reshape(tf.math.l2_normalize(projections, axis=-1), [-1, DIM])
        labels = tf.repeat(labels, VIEWS)
        logits = tf.matmul(z / TEMPERATURE, z, transpose_b=True)
        logits = tf.where(tf.eye(job.size, dtype=tf.bool), -float("inf"), logits)
        sums = tf.gather(tf.math.unsorted_segment_sum(z, labels, job.classes), labels)
        sizes = tf.gather(tf.math.bincount(labels, minlength=job.classes, dtype=tf.float32), labels)
        positive_means = tf.reduce_sum(z * (sums - z), axis=1) / (TEMPERATURE * (sizes - 1.0))
        return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - positive_means)

    return _differentiated(loss, *_batch(job))


def floor(job: Job) -> Evaluate:
    """Evaluates the products z zᵀ and (z zᵀ) z, whole, and nothing else.

    An exact algorithm that computes similarities again for the gradient does as much: by symmetry half of z zᵀ, twice,
    and the second product. One that keeps them needs three quarters of that.
    """
    import tensorflow as tf

    rows = tf.constant(_batch(job)[0].reshape(-1, DIM))

    def whole(z: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.matmul(z, z, transpose_b=True), z)

    def in_strips(z: tf.Tensor) -> tf.Tensor:
        def step(k: tf.Tensor, products: tf.TensorArray) -> Tuple[tf.Tensor, tf.TensorArray]:
            strip = z[k * STRIP : (k + 1) * STRIP]
            return k + 1, products.write(k, tf.matmul(tf.matmul(strip, z, transpose_b=True), z))

        strips = -(-job.size // STRIP)
        products = tf.TensorArray(tf.float32, strips, element_shape=[None, DIM], infer_shape=False)
        loop = tf.while_loop(lambda k, _: k < strips, step, (tf.constant(0), products), parallel_iterations=1)
        return loop[1].concat()

    products = tf.function(whole if job.size <= WHOLE_UP_TO else in_strips)

    def evaluate() -> Tuple[float, float]:
        entry = float(products(rows).numpy()[0, 0])
        return entry, entry

    return evaluate


def pml(job: Job) -> Evaluate:
    """Evaluates `SupConLoss` of pytorch-metric-learning."""
    from pytorch_metric_learning.losses import SupConLoss

    return _differentiated_by_torch(SupConLoss(temperature=TEMPERATURE), *_batch(job))


def pml_nt_xent(job: Job) -> Evaluate:
    """Evaluates `NTXentLoss` of pytorch-metric-learning, with each image alone in its class."""
    import numpy as np
    from pytorch_metric_learning.losses import NTXentLoss

    projections, labels = _batch(job)
    return _differentiated_by_torch(NTXentLoss(temperature=TEMPERATURE), projections, np.arange(len(labels)))


def _differentiated_by_torch(loss: Callable[[Any, Any], Any], projections: Any, labels: Any) -> Evaluate:
    """Returns an evaluation of the PyTorch loss `loss(rows, labels)` and its gradient."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    rows = torch.from_numpy(projections.reshape(-1, DIM)).requires_grad_()
    labels = torch.from_numpy(labels.repeat(VIEWS)).long()

    def evaluate() -> Tuple[float, float]:
        rows.grad = None
        value = loss(rows, labels)
        value.backward()
        return value.item(), rows.grad[0, 0].item()

    return evaluate


VARIANTS: Dict[str, Callable[[Job], Evaluate]] = {
    "floor": floor,
    "ours": ours,
    "ours, NTXentLoss": ours_nt_xent,
    "dense": dense,
    "dense, lean": dense_lean,
    "pml": pml,
    "pml, NTXentLoss": pml_nt_xent,
}
QUADRATIC = ("dense", "dense, lean", "pml")


# The parent: who measures.


class Bench:
    """Runs jobs.

    Args:
      arguments: the command line, parsed.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._rounds: Optional[int] = arguments.rounds
        self._pml_python: str = arguments.python

    def has_pml(self) -> bool:
        """Tells whether the chosen Python has pytorch-metric-learning, and can load it."""
        command = [self._pml_python, "-c", "import torch, pytorch_metric_learning"]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def start(self, jobs: Sequence[Job]) -> List[turns.Child]:
        """Starts a child for each job."""
        pythons = [self._pml_python if job.variant.startswith("pml") else sys.executable for job in jobs]
        return [turns.Child(job._asdict(), python) for job, python in zip(jobs, pythons)]

    def measure(self, jobs: Sequence[Job]) -> List[Optional[Result]]:
        """Measures each job, in turns; None for one that ended by itself."""
        rounds = self._rounds or (7 if max(job.size for job in jobs) <= 16384 else 3)
        return turns.measure(self.start(jobs), rounds)

    def results(self, jobs: Sequence[Job]) -> List[Optional[Tuple[float, float]]]:
        """Returns the loss, and the first entry of its gradient, of each job."""
        return turns.results(self.start(jobs))


def print_agreement(bench: Bench, classes: int, with_pml: bool) -> None:
    """Prints how much the loss and gradient of other implementations differ from ours on a small batch."""
    pairs = [("dense", "ours"), ("dense, lean", "ours")]
    if with_pml:
        pairs += [("pml", "ours"), ("pml, NTXentLoss", "ours, NTXentLoss")]
    variants = sorted({variant for pair in pairs for variant in pair})
    results = dict(zip(variants, bench.results([Job(variant, CHECKED_SIZE, classes) for variant in variants])))
    print(f"The same loss? At N = {CHECKED_SIZE}, value, difference from ours, and that of one gradient entry:\n")
    for theirs, own in pairs:
        values, expected = results[theirs], results[own]
        if values and expected:
            differences = ", ".join(f"{abs(a - b):.1e}" for a, b in zip(values, expected))
            print(f"- {theirs}: {values[0]:.6f}, {differences}")
    print()


def print_sizes(bench: Bench, sizes: Sequence[int], classes: int, dense_limit: int) -> None:
    """Prints the first table."""
    with_pml = bench.has_pml()
    variants = [variant for variant in QUADRATIC if with_pml or variant != "pml"]
    print(f"## The loss and its gradient, {VIEWS} views, {DIM} dimensions, {classes} classes\n")
    print("floor: z zᵀ z alone. dense: TensorFlow with a matrix of all similarities. MB: peak of the process, whole.\n")
    if not with_pml:
        print("pytorch-metric-learning is left out: this Python does not have it; `--python` names one that does.\n")
    print_agreement(bench, min(classes, CHECKED_SIZE // 8), with_pml)
    columns = ["N", "floor s", "ours s", "ours/floor", "dense s", "dense/ours", "dense, lean/ours"]
    memory = ["memory MB ours", "memory MB dense"]
    print_header(columns + ["pml/ours"] * with_pml + memory + ["memory MB pml"] * with_pml)
    for size in sizes:
        measured = _measure_size(bench, size, classes, variants if size <= dense_limit else [])
        own = measured["ours"][0]
        floor_result = measured["floor"][0]
        dense_result = measured.get("dense", (None, None))[0]
        cells = [
            str(size),
            turns.seconds_cell(floor_result),
            turns.seconds_cell(own),
            turns.ratio_cell(own, floor_result),
        ]
        cells += [turns.seconds_cell(dense_result)]
        cells += [turns.ratio_cell(*measured.get(variant, (None, None))) for variant in variants]
        cells += [turns.memory_cell(own), turns.memory_cell(dense_result)]
        cells += [turns.memory_cell(measured.get("pml", (None, None))[0])] * with_pml
        print_row(cells)
    print()


def _measure_size(
    bench: Bench, size: int, classes: int, quadratic: Sequence[str]
) -> Dict[str, Tuple[Optional[Result], Optional[Result]]]:
    """Returns each variant's result, and that of `ours` in the same rounds."""
    groups = [["floor", "ours", *quadratic]]
    if size >= APART_FROM and quadratic:
        groups = [["floor", "ours", quadratic[0]]] + [["ours", variant] for variant in quadratic[1:]]
    measured: Dict[str, Tuple[Optional[Result], Optional[Result]]] = {}
    for group in groups:
        results = dict(zip(group, bench.measure([Job(variant, size, classes) for variant in group])))
        for variant in group:
            measured.setdefault(variant, (results[variant], results["ours"]))
    return measured


def print_variants(bench: Bench, size: int, classes: int) -> None:
    """Prints the second table."""
    print(f"## The variants of the loss, N = {size}, {classes} classes\n")
    jobs = [Job("floor", size, classes)] + [Job("ours", size, classes, *form) for form in FORMS]
    floor_result, *results = bench.measure(jobs)
    print(f"floor: {turns.seconds_cell(floor_result)} s, {turns.memory_cell(floor_result)} MB.\n")
    print_header(["summation", "denominator", "positives_cap", "s", "s/floor", "memory MB", "MB over the floor's"])
    for form, result in zip(FORMS, results):
        over = NONE
        if result is not None and floor_result is not None:
            over = f"{result.megabytes - floor_result.megabytes:.0f}"
        figures = [turns.seconds_cell(result), turns.ratio_cell(result, floor_result), turns.memory_cell(result), over]
        print_row([NONE if x is None else str(x) for x in form] + figures)
    print()


def print_replicas(bench: Bench, size: int, classes: int) -> None:
    """Prints the third table."""
    print(f"## One replica's share of the work, N = {size} on all replicas, {classes} classes\n")
    print(
        "One process does what the first of R replicas does. It is given what it would gather from the others, so\n"
        "collectives are not part of the time. Replicas of one machine would also compete for cores.\n"
    )
    results = bench.measure([Job("ours", size, classes, replicas=replicas) for replicas in REPLICAS])
    print_header(["R", "projections of the replica", "s", "s/s of R = 1", "memory MB"])
    for replicas, result in zip(REPLICAS, results):
        figures = [turns.seconds_cell(result), turns.ratio_cell(result, results[0]), turns.memory_cell(result)]
        print_row([str(replicas), str(size // replicas)] + figures)
    print()


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = parser.add_argument_group("tables", "all three, unless some are chosen")
    tables.add_argument("--loss", action="store_true", help="the loss beside others, over sizes of the batch")
    tables.add_argument("--variants", action="store_true", help="the variants of the loss")
    tables.add_argument("--replicas", action="store_true", help="one replica's share of the work")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="projections, first table")
    parser.add_argument("--variants-size", type=int, default=4096, metavar="N", help="projections, second table")
    parser.add_argument("--replicas-size", type=int, default=8192, metavar="N", help="projections, third table")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes (default 1000)")
    parser.add_argument("--rounds", type=int, help="turns of each process (default 7, and 3 above N = 16384)")
    parser.add_argument(
        "--dense-limit",
        type=int,
        default=16384,
        metavar="N",
        help="largest N for what needs memory quadratic in it (default 16384, which takes up to 20 GB)",
    )
    parser.add_argument("--python", default=sys.executable, help="the Python that has pytorch-metric-learning")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = (*arguments.sizes, arguments.variants_size)
    if any(size < VIEWS or size % VIEWS for size in sizes) or arguments.replicas_size % (VIEWS * max(REPLICAS)):
        parser.error(f"sizes must be multiples of {VIEWS}, and --replicas-size of {VIEWS * max(REPLICAS)}")
    return arguments


def main() -> None:
    """Prints the tables, or runs as a child process."""
    arguments = parse_arguments()
    if arguments.child:
        job = Job(**json.loads(arguments.child))
        turns.serve(lambda: VARIANTS[job.variant](job))
        return
    bench = Bench(arguments)
    every = not (arguments.loss or arguments.variants or arguments.replicas)
    if every or arguments.loss:
        print_sizes(bench, arguments.sizes, arguments.classes, arguments.dense_limit)
    if every or arguments.variants:
        print_variants(bench, arguments.variants_size, arguments.classes)
    if every or arguments.replicas:
        print_replicas(bench, arguments.replicas_size, arguments.classes)


if __name__ == "__main__":
    main()
