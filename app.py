"""Supervised contrastive learning from the command line: `python app.py --mode=supcon --dataset=digits`."""

import logging
import os
import signal
import sys
from typing import List

import flags
from supcon_tf.config import as_flag
from supcon_tf.errors import Interrupted, UserError, WorkersLost


def main(argv: List[str]) -> int:
    """Runs what the command line asks for; returns the exit status."""
    try:
        try:
            run(argv)
        except WorkersLost as lost:
            from supcon_tf import distribute

            distribute.start_again(lost, argv)
        return 0
    except UserError as error:
        print(f"app.py: {error.text(as_flag)}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"app.py: {stop}", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print("\napp.py: interrupted; run the same command to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read the output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def run(argv: List[str]) -> None:
    """Parses the command line, makes the strategy and runs the stages, or answers what was asked instead."""
    command = flags.parse(argv)
    if command.print_config:
        print(flags.config_text(command.config, command.sources), flush=True)
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # keeps TensorFlow's notices off the screen,
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # those that come from Python too
    if command.plan is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a plan needs no GPU, and TensorFlow would take all memory of each
        from supcon_tf.cli.plan_text import plan_text
        from supcon_tf.plan import make_plan

        print(plan_text(make_plan(command.config, command.plan)), flush=True)
        return
    from supcon_tf import distribute  # imports TensorFlow
    from supcon_tf.run.run import run as run_stages

    hardware = command.config.hardware
    strategy = distribute.make_strategy(
        hardware.strategy,
        tpu=hardware.tpu,
        tpu_zone=hardware.tpu_zone,
        tpu_project=hardware.tpu_project,
        cpu_devices=hardware.cpu_devices,
    )
    with distribute.watch_workers(strategy):
        run_stages(command.config, strategy)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
