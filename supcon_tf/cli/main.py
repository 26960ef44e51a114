"""Runs what a command line asks for."""

import logging
import os
import sys
from typing import Collection, Mapping, Optional, Sequence

from supcon_tf import config as config_lib
from supcon_tf.cli import flags, paths, surroundings
from supcon_tf.cli.guard import guarded
from supcon_tf.cli.help import config_text, warnings
from supcon_tf.cli.sources import recipe_named
from supcon_tf.errors import printable


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what the command line asks for; see `supcon_tf.cli.guard` for errors and signals.

    Args:
      argv: the program's name and the flags; None for those of this process.

    Returns:
      The exit status.
    """
    return guarded(sys.argv if argv is None else argv, run, config_lib.as_flag)


def run(argv: Sequence[str]) -> None:
    """Parses the command line, then runs the stages or prints the configuration or the plan."""
    command = flags.parse(argv)
    with recipe_named(command.sources, config_lib.values(command.config)):
        paths.check(command.config)
    for line in (*command.notes, *warnings(command.config, command.sources)):
        print(printable(line), file=sys.stderr)
    if command.print_config:
        print(config_text(command.config, command.sources), flush=True)
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides notices of TensorFlow's C++ part
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    open_to = {"undecided": command.undecided, "not_by_hand": command.not_by_hand}
    with recipe_named(command.sources, config_lib.values(command.config)):
        paths.check_before_run(command.config)
        if command.plan is not None:
            _print_plan(command.config, command.plan, open_to)
        else:
            _run_stages(command.config, open_to)


def _print_plan(
    config: config_lib.Config, options: config_lib.PlanOptions, open_to: Mapping[str, Collection[str]]
) -> None:
    """Prints the plan; `open_to` holds the last arguments of `make_plan`."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a plan needs no GPU, and TensorFlow would take all memory of each
    with surroundings.native_notices_hidden():
        from supcon_tf.cli.plan_text import plan_text
        from supcon_tf.plan import make_plan
        from supcon_tf.run.looked_at import gave_way_text

    plan = make_plan(config, options, **open_to)
    print(gave_way_text(plan.gave_way), end="", file=sys.stderr)
    print(plan_text(plan), flush=True)


def _run_stages(config: config_lib.Config, open_to: Mapping[str, Collection[str]]) -> None:
    """Runs the stages; `open_to` holds the last arguments of `run`."""
    if sys.stderr.isatty():  # the import takes seconds, and somebody waits
        print("Starting TensorFlow ...", file=sys.stderr, flush=True)
    with surroundings.native_notices_hidden():
        from supcon_tf import distribute  # imports TensorFlow
        from supcon_tf.plan.memory import fit_into_memory
        from supcon_tf.run.run import run as run_stages

    hardware = config.hardware
    if hardware.deterministic:
        distribute.make_deterministic(config.run.seed)
    strategy = distribute.make_strategy(
        hardware.strategy,
        tpu=hardware.tpu,
        tpu_zone=hardware.tpu_zone,
        tpu_project=hardware.tpu_project,
        cpu_devices=hardware.cpu_devices,
    )
    notice = distribute.unused_gpu_notice() if hardware.tpu is None and hardware.cpu_devices == 1 else None
    if notice is not None:
        print(printable(notice), file=sys.stderr)
    with distribute.watch_workers(strategy):
        run_stages(config, strategy, **open_to, fit_into_memory=fit_into_memory)
