"""Runs what a command line asks for; the one place where a UserError becomes a line of text."""

import logging
import os
import signal
import sys
from typing import Optional, Sequence

from supcon_tf import config as config_lib
from supcon_tf.cli import flags, surroundings
from supcon_tf.cli.help import config_text, program, warnings
from supcon_tf.cli.sources import recipe_named
from supcon_tf.errors import Interrupted, UserError, WorkersLost, printable


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what the command line asks for.

    A UserError becomes one line, with arguments written as flags. Any other error is a bug and keeps its traceback.

    Args:
      argv: the program's name and the flags; None for those of this process.

    Returns:
      The exit status: 0, 2 after a UserError, or 128 plus the number of the signal that stopped the run.
    """
    argv = sys.argv if argv is None else argv
    with surroundings.guarded_streams():
        try:
            return _status(argv)
        except BrokenPipeError:  # the reader of the output, for example `head`, has closed it
            return 128 + signal.SIGPIPE


def _status(argv: Sequence[str]) -> int:
    """Runs what the command line asks for, prints the line of an expected error, and returns the exit status."""
    try:
        try:
            with surroundings.stop_signals_raised():
                run(argv)
        except WorkersLost as lost:
            from supcon_tf import distribute

            distribute.start_again(lost, argv)
        sys.stdout.flush()
        return 0
    except UserError as error:
        print(f"{program(argv)}: {printable(error.text(config_lib.as_flag))}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"{program(argv)}: {stop}", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt as stop:
        number = stop.signal if isinstance(stop, surroundings.Stopped) else signal.SIGINT
        after_the_key = "\n" if number == signal.SIGINT else ""  # the terminal has shown ^C
        print(f"{after_the_key}{program(argv)}: interrupted; run the same command again", file=sys.stderr)
        return 128 + number


def run(argv: Sequence[str]) -> None:
    """Parses the command line, then runs the stages or prints the configuration or the plan."""
    command = flags.parse(argv)
    for warning in warnings(command.config, command.sources):
        print(printable(warning), file=sys.stderr)
    if command.print_config:
        print(config_text(command.config, command.sources), flush=True)
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides notices of TensorFlow's C++ part
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with recipe_named(command.sources, config_lib.values(command.config)):
        if command.plan is not None:
            _print_plan(command.config, command.plan)
        else:
            _run_stages(command.config)


def _print_plan(config: config_lib.Config, options: config_lib.PlanOptions) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a plan needs no GPU, and TensorFlow would take all memory of each
    with surroundings.native_notices_hidden():
        from supcon_tf.cli.plan_text import plan_text
        from supcon_tf.plan import make_plan

    print(plan_text(make_plan(config, options)), flush=True)


def _run_stages(config: config_lib.Config) -> None:
    with surroundings.native_notices_hidden():
        from supcon_tf import distribute  # imports TensorFlow
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
        run_stages(config, strategy)
