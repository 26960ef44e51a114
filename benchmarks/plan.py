"""Compares time, operations and memory of `--plan` with measurements.

    PYTHONPATH=. .venv/bin/python benchmarks/plan.py

prints two Markdown tables. The first measures training steps on this CPU. Its first two rows give the device's speed
and bandwidth, from which the other rows are predicted. Processes take turns, and times are medians of processor time,
so speeds are those of one core. Other programs on the machine affect processor time less than wall-clock time
(`--clock`). The second table compares plans of the paper's recipes with the figures of TPU's compiler in docs/tpu.md,
and measures nothing.
"""

import argparse
import json
import pathlib
import statistics
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from benchmarks.lib import turns

CLASSES_OF = "cifar100"  # has as many classes as benchmarks/lib/supcon.py
TPU_TABLE = pathlib.Path(__file__).parents[1] / "docs" / "tpu.md"
TPU_HEADS: Dict[str, Dict[str, Any]] = {  # the heads of benchmarks/tpu/lower.py
    "supcon": {"projection_layers": (128,)},
    "simclr": {"projection_layers": (2048, 2048, 128), "projection_batch_norm": True},
    "ce": {},
}
GB = 2**30


class Job(NamedTuple):
    """A step of mode supcon, in two views of each image.

    Attributes:
      encoder: name of the encoder.
      image_size: height and width, in pixels.
      images: number of images in the batch.
      width: width of the encoder, as a multiple.
      microbatch: number of images at a time; None for all.
    """

    encoder: str
    image_size: int
    images: int
    width: float = 1.0
    microbatch: Optional[int] = None

    def options(self) -> Dict[str, Any]:
        """Returns the options that make this step."""
        return {
            "encoder": self.encoder,
            "image_size": self.image_size,
            "batch_size": self.images,
            "encoder_width": self.width,
            "microbatch_size": self.microbatch,
        }


JOBS = (
    Job("resnet18", 32, 32),
    Job("small", 32, 64),
    Job("resnet18", 32, 8),
    Job("resnet18", 32, 64),
    Job("resnet18", 48, 16),
    Job("resnet18", 96, 32),
    Job("resnet18", 32, 8, width=2.0),
    Job("resnet18", 32, 32, width=0.5),
    Job("resnet18", 32, 32, microbatch=8),
    Job("resnet34", 32, 16),
    Job("resnet50", 32, 16),
)


def measure(job: Job) -> turns.Replies:
    """Returns a reply that times one step, as in `model.fit`."""
    import tensorflow as tf

    from benchmarks.lib import supcon
    from supcon_tf import config as config_lib
    from supcon_tf import models, optimizers
    from supcon_tf.losses import SupConLoss

    options = config_lib.from_values({**job.options(), "projection_layers": (512, 128)})
    shape = (job.image_size, job.image_size, 3)
    model = models.make_contrastive_model(
        options.model, shape, supcon.CLASSES, weight_decay=1e-4, microbatch_size=job.microbatch
    )
    model.compile(optimizers.make_optimizer("nesterov", optimizers.WarmupThenDecay(0.1, 0, 1000)), SupConLoss(0.1))
    batches = iter(tf.data.Dataset.from_tensors(supcon.batch(job.images, 2, job.image_size)).cache().repeat())
    step = model.make_train_function()

    def run() -> str:
        wall, processor = time.perf_counter(), time.process_time()
        float(step(batches)["loss"])
        return json.dumps({"wall": time.perf_counter() - wall, "processor": time.process_time() - processor})

    for _ in range(2):  # the first compiles the step
        run()
    return {"run": run}


def planned(options: Dict[str, Any], devices: int = 1) -> Any:
    """Returns the first stage of the plan."""
    from supcon_tf import config as config_lib
    from supcon_tf import plan

    config = config_lib.from_values(options)
    return plan.make_plan(config, config_lib.PlanOptions(plan=True, plan_devices=devices)).stages[0]


def measure_in_turns(jobs: List[Job], rounds: int, clock: str) -> List[float]:
    """Returns the median seconds of each job's step. Each round times one step of each job."""
    children = [turns.Child(job._asdict()) for job in jobs]
    try:
        for child in children:
            child.answer()
        answers = [[json.loads(child.ask("run") or "{}") for child in children] for _ in range(rounds)]
    finally:
        for child in children:
            child.end()
    return [statistics.median(answer[clock] for answer in job_answers) for job_answers in zip(*answers)]


def print_times(jobs: List[Job], rounds: int, clock: str) -> None:
    """Prints planned and measured times of a step."""
    seconds = measure_in_turns(jobs, rounds, clock)
    same = {"dataset": CLASSES_OF, "projection_layers": (512, 128), "optimizer": "nesterov", "stages": ("pretrain",)}
    plans = [planned({**same, **job.options()}) for job in jobs]
    operations = [sum(plan.flops.values()) / 1e12 for plan in plans]
    moved = [plan.moved / 1e9 for plan in plans]
    # seconds = operations / tflops + moved / bandwidth holds for the first two jobs
    determinant = operations[0] * moved[1] - operations[1] * moved[0]
    tflops = determinant / (seconds[0] * moved[1] - seconds[1] * moved[0])
    bandwidth = determinant / (operations[0] * seconds[1] - operations[1] * seconds[0])
    alone = operations[0] / seconds[0]
    both = f"--plan_tflops={tflops:.3g} --plan_bandwidth={bandwidth:.3g}"
    print(f"## Steps on this CPU, planned with --plan_tflops={alone:.3g}, and with {both}\n")
    titles = ["encoder", "width", "pixels", "images", "at a time", "measured s", "planned s", "ratio"]
    turns.print_header([*titles, "planned s, with bandwidth", "ratio"])
    for job, plan, measured in zip(jobs, plans, seconds):
        row = [job.encoder, f"{job.width:g}", str(job.image_size), str(job.images), str(job.microbatch or job.images)]
        row.append(f"{measured:.3g}")
        for predicted in (plan.seconds(alone), plan.seconds(tflops, bandwidth)):
            row += [f"{predicted:.3g}", f"{predicted / measured:.2f}"]
        turns.print_row(row)


def tpu_rows() -> Iterator[Dict[str, str]]:
    """Yields the rows of the table of docs/tpu.md, by its titles."""
    lines = [line for line in TPU_TABLE.read_text().splitlines() if line.startswith("|")]
    titles, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return (dict(zip(titles, row)) for row in rows)


def print_tpu() -> None:
    """Prints operations and memory of a core, from the plan and from TPU's compiler."""
    print("\n## A core of a TPU v3 pod, planned and compiled\n")
    titles = ["mode", "encoder", "stage", "images", "TFLOP", "compiled", "ratio", "GB", "compiled", "ratio"]
    turns.print_header([*titles, "the loss, MB", "compiled", "ratio"])
    for row in tpu_rows():
        cores, images = int(row["cores"]), int(row["images per core"])
        options: Dict[str, Any] = {"mode": row["mode"], "encoder": row["encoder"], "stages": (row["stage"],)}
        options.update(dataset="imagenet2012", batch_size=cores * images, linear_batch_size=cores * images)
        options.update(precision="bfloat16", sync_batch_norm=True, optimizer="nesterov", **TPU_HEADS[row["mode"]])
        plan = planned(options, cores)
        waiting = plan.memory["batch, and the next"] / 2  # is not part of the program
        pairs = (
            (sum(plan.flops.values()) / 1e12, row["TFLOP"]),
            ((sum(plan.memory.values()) - waiting) / GB, row["v3, of 16"]),
            (plan.memory["loss"] / 2**20, row["the loss, MB"]),
        )
        cells = [row["mode"], row["encoder"], row["stage"], str(images)]
        for value, compiled in pairs:
            cells += [f"{value:.3g}", compiled, f"{value / float(compiled):.2f}"]
        turns.print_row(cells)


def main() -> None:
    """Prints the tables, or runs as a child process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="steps of each configuration (default 5)")
    parser.add_argument("--clock", choices=("processor", "wall"), default="processor", help="default: processor")
    parser.add_argument("--tpu-only", action="store_true", help="only the second table")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        job = Job(**json.loads(arguments.child))
        turns.answer_each(lambda: measure(job))
        return
    if not arguments.tpu_only:
        print_times(list(JOBS), arguments.rounds, arguments.clock)
    print_tpu()


if __name__ == "__main__":
    main()
