"""Measures memory and time of a training step in microbatches (gradient caching), on the CPU, beside the whole batch.

    PYTHONPATH=. .venv/bin/python benchmarks/memory.py

prints two Markdown tables: over sizes M of the microbatches at one batch, and over batches at one M. Every figure comes
from a separate process, so that its peak memory can be measured. The processes of a table take turns. Seconds are the
median over the rounds.
"""

import argparse
import json
from typing import List, NamedTuple, Optional, Tuple

from benchmarks.lib import turns

VIEWS = 2


class Job(NamedTuple):
    """Describes a training step.

    Attributes:
      encoder: name of the encoder.
      image_size: height and width of the views, in pixels.
      images: number of images in the batch, in two views each.
      microbatch: number of images that pass the encoder at a time; None for all at once.
    """

    encoder: str
    image_size: int
    images: int
    microbatch: Optional[int]


def make_step(job: Job) -> turns.Evaluate:
    """Builds a step of the model that `--mode=supcon` trains."""
    import tensorflow as tf

    from benchmarks.lib import supcon

    model = supcon.compiled_model(job.encoder, job.image_size, microbatch_size=job.microbatch)
    batch = tuple(map(tf.constant, supcon.batch(job.images, VIEWS, job.image_size)))
    step = tf.function(lambda: model.train_step(batch))

    def evaluate() -> Tuple[float, float]:
        logs = step()
        return float(logs["loss"]), float(logs["online_accuracy"])

    return evaluate


def print_table(jobs: List[Job], rounds: int, whole: Optional[Job], columns: List[str]) -> None:
    """Prints a row for each job, with times also as multiples of that of `whole`, one of the jobs."""
    results = turns.measure([turns.Child(job._asdict()) for job in jobs], rounds)
    turns.print_header([*columns, "memory MB", "s", "s/s of the whole batch at once"])
    reference = None if whole is None else results[jobs.index(whole)]
    for job, result in zip(jobs, results):
        microbatch = "all at once" if job.microbatch is None else f"{job.microbatch}"
        shown = {"views": f"{job.images * VIEWS:,}", "M": microbatch}
        cells = [shown[column] for column in columns]
        cells += [turns.memory_cell(result), turns.seconds_cell(result), turns.ratio_cell(result, reference)]
        turns.print_row(cells)
    print()


def main() -> None:
    """Prints the tables, or runs as a child process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="small", help="name of the encoder (default small)")
    parser.add_argument("--image-size", type=int, default=32, help="side of the views, in pixels (default 32)")
    parser.add_argument(
        "--images", type=int, default=3072, help="images in the batch of the first table (default 3072: 6,144 views)"
    )
    parser.add_argument("--microbatches", type=int, nargs="+", default=(32, 128, 512), metavar="M", help="images")
    parser.add_argument("--batches", type=int, nargs="+", default=(768, 1536, 3072, 6144), metavar="N", help="images")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each process (default 3)")
    parser.add_argument("--without-whole", action="store_true", help="leave out the whole batch at once")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        job = Job(**json.loads(arguments.child))
        turns.serve(lambda: make_step(job), warm_ups=1)
        return
    size = (arguments.encoder, arguments.image_size)
    title = f"{arguments.encoder} at {size[1]}×{size[1]}, {arguments.images * VIEWS:,} views"
    print(f"## A training step, {title}, M images at a time\n")
    whole = None if arguments.without_whole else Job(*size, arguments.images, None)
    jobs = [Job(*size, arguments.images, microbatch) for microbatch in arguments.microbatches]
    print_table(jobs + ([whole] if whole else []), arguments.rounds, whole, ["M"])
    middle = arguments.microbatches[len(arguments.microbatches) // 2]
    print(f"## A training step with M = {middle}, over batches\n")
    print_table([Job(*size, images, middle) for images in arguments.batches], arguments.rounds, None, ["views"])


if __name__ == "__main__":
    main()
