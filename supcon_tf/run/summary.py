"""Prints the end of a run: figures, files, and what to do next."""

import os
import shlex
import sys

import tensorflow as tf

from supcon_tf.errors import printable
from supcon_tf.run.context import Experiment
from supcon_tf.run_dir import read_json


def summary(experiment: Experiment) -> str:
    """Returns a table of the run's results so far, with the commands that use them."""
    run_dir = experiment.run_dir
    rows = []
    figures = read_json(run_dir.metrics)
    if figures is not None:
        held_out = f"{figures['images']:,} held-out images"
        if experiment.data.multi_label:
            rows.append(("mean AP", f"{figures['mean_average_precision']:.2%} on {held_out}"))
        else:
            rows.append(("top-1", f"{figures['top1']:.2%} of {held_out}"))
            if experiment.num_classes > 5:
                rows.append(("top-5", f"{figures['top5']:.2%}"))
        rows.append(("report", run_dir.report))
    exported = tf.saved_model.contains_saved_model(run_dir.saved_model)
    if exported:
        rows.append(("SavedModel", run_dir.saved_model))
    programs = _programs()
    rows.append(("TensorBoard", f"{programs}/tensorboard --logdir {printable(shlex.quote(run_dir.tensorboard))}"))
    if exported and experiment.num_classes:
        model = printable(shlex.quote(run_dir.saved_model))
        rows.append(("predict", f"{programs}/python -m supcon_tf.cli.predict {model} IMAGE.png"))
    return "\n" + "\n".join(f"  {name:<12}{text}" for name, text in rows)


def _programs() -> str:
    """Returns the folder of this Python's programs, quoted for the shell and relative if it lies below this folder."""
    programs = os.path.dirname(sys.executable)
    relative = os.path.relpath(programs)
    return shlex.quote(programs if relative.startswith("..") else relative)
