"""Compares a training step on the CPU with the bare encoder, forward and backward on the same images.

    PYTHONPATH=. .venv/bin/python benchmarks/training_step.py

prints two Markdown tables. The first measures the whole of `model.fit`: encoder, projection head, loss with its
figures, weight decay, optimizer and Keras, on one device and on several logical devices of the same CPU. The second
measures the loss alone on one of R replicas. Steps take turns with the bare encoder; seconds are medians.
"""

import argparse
import json
import statistics
import time
from typing import Any, Callable, Dict, List, NamedTuple

from benchmarks import loss
from benchmarks.lib import turns

VIEWS = 2


class Job(NamedTuple):
    """A measurement by a child process.

    Attributes:
      encoder: name of the encoder.
      image_size: height and width of the views, in pixels.
      images: number of images in the batch of all replicas, each in two views.
      replicas: number of logical devices.
      rounds: number of steps of each kind.
    """

    encoder: str
    image_size: int
    images: int
    replicas: int
    rounds: int


def measure_steps(job: Job) -> Dict[str, float]:
    """Returns the seconds of a step of `model.fit`, and of the bare encoder on one device with the same images."""
    import tensorflow as tf
    from tensorflow import keras

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * job.replicas)

    from benchmarks.lib import supcon
    from supcon_tf import distribute
    from supcon_tf.models import build_encoder

    views, labels = supcon.batch(job.images, VIEWS, job.image_size)
    bare_encoder = build_encoder(job.encoder, (job.image_size, job.image_size, 3))
    images = tf.constant(views.reshape(-1, *views.shape[2:]))

    @tf.function
    def bare() -> List[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(bare_encoder(images, training=True))
        return tape.gradient(total, bare_encoder.trainable_variables)

    strategy = distribute.make_strategy("mirrored" if job.replicas > 1 else "one_device", cpu_devices=job.replicas)
    with strategy.scope():
        model = supcon.compiled_model(job.encoder, job.image_size)
    batches = tf.data.Dataset.from_tensors((views, labels)).cache().repeat()

    class TakeTurns(keras.callbacks.Callback):
        """Times each step, and then the bare encoder."""

        _supports_tf_logs = True

        def __init__(self) -> None:
            super().__init__()
            self.times: Dict[str, List[float]] = {"step": [], "bare": []}

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.begun = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            float(logs["loss"])
            self.times["step"].append(time.perf_counter() - self.begun)
            self.times["bare"].append(turns.seconds_of(lambda: bare()[0].numpy()))

    turns_taken = TakeTurns()
    model.fit(batches, steps_per_epoch=job.rounds + 1, callbacks=[turns_taken], verbose=0)
    return {name: statistics.median(times[1:]) for name, times in turns_taken.times.items()}  # the first is compiled


def loss_of_a_replica(job: Job) -> Dict[str, float]:
    """Returns the seconds of the loss with its gradient on the first replica. Gathered tensors are given to it."""
    from benchmarks.lib import supcon

    evaluate = loss.ours(loss.Job("ours", job.images * VIEWS, supcon.CLASSES, replicas=job.replicas))
    evaluate()
    return {"loss": statistics.median(turns.seconds_of(evaluate) for _ in range(max(job.rounds, 20)))}


KINDS: Dict[str, Callable[[Job], Dict[str, float]]] = {"step": measure_steps, "loss": loss_of_a_replica}


def print_tables(jobs: List[Job]) -> None:
    """Prints both tables; the first job has one replica."""
    first = jobs[0]
    views = f"{first.images * VIEWS:,} views of {first.image_size}×{first.image_size}"
    print(f"## A step of {first.encoder} with {views} beside the bare encoder's forward and backward pass\n")
    turns.print_header(["replicas", "step s", "bare encoder on one device s", "step/bare"])
    steps = []
    for job in jobs:
        steps.append(turns.ask_once({"kind": "step", **job._asdict()}))
        step, bare = steps[-1]["step"], steps[-1]["bare"]
        turns.print_row([str(job.replicas), f"{step:.3g}", f"{bare:.3g}", f"{step / bare:.3f}"])
    print(f"\n## The loss of one of R replicas that share the {first.images * VIEWS:,} projections\n")
    turns.print_header(["R", "ms", "of that of R = 1", "of the whole step on one device"])
    losses = [turns.ask_once({"kind": "loss", **job._asdict()})["loss"] for job in jobs]
    for job, seconds in zip(jobs, losses):
        shares = [f"{seconds / losses[0]:.2f}", f"{seconds / steps[0]['step']:.2%}"]
        turns.print_row([str(job.replicas), f"{1000 * seconds:.2f}", *shares])
    print()


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="resnet18", help="name of the encoder (default resnet18)")
    parser.add_argument("--image-size", type=int, default=32, help="side of the views, in pixels (default 32)")
    parser.add_argument("--images", type=int, default=256, help="images in a batch (default 256)")
    parser.add_argument(
        "--replicas", type=int, nargs="+", default=(2, 4, 8), metavar="R", help="numbers of replicas, besides 1"
    )
    parser.add_argument("--rounds", type=int, default=5, help="steps of each kind (default 5)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Prints the tables, or runs as a child process."""
    arguments = parse_arguments()
    if arguments.child:
        child: Dict[str, Any] = json.loads(arguments.child)
        kind = child.pop("kind")
        turns.answer_once(lambda: KINDS[kind](Job(**child)))
        return
    fixed = (arguments.encoder, arguments.image_size, arguments.images)
    print_tables([Job(*fixed, replicas=r, rounds=arguments.rounds) for r in (1, *arguments.replicas)])


if __name__ == "__main__":
    main()
