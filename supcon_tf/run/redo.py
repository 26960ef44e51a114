"""Finds which results of an earlier command are out of date, and discards those that the option `redo` names."""

from typing import Any, Mapping, Optional, Tuple

import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.run import weights
from supcon_tf.run_dir import RunDir, changes_in_words, read_json, remove, write_json


def starts_over(run_dir: RunDir, config: config_lib.Config, record: Optional[Mapping[str, Any]]) -> bool:
    """Returns whether the run discards its encoder too, so that its record no longer counts.

    A stage 'pretrain' that is unfinished resumes if its options are the same, so that the command that was interrupted
    can be repeated.
    """
    if record is None or "pretrain" not in config.run.redo:
        return False
    finished = weights.is_finished(run_dir, "pretrain", record["total_steps"].get("pretrain"))
    lost = weights.is_lost(run_dir, "pretrain")
    return finished or lost or bool(config_lib.differences(record, config, stage="pretrain"))


def check_finished(run_dir: RunDir, config: config_lib.Config) -> None:
    """Checks that there is a run whose stages can be repeated.

    A command that was interrupted after it had discarded results can be repeated, because the record remains.

    Raises:
      ArgumentError: the folder holds no run.
    """
    if config.run.redo and not tf.io.gfile.exists(run_dir.config):
        first = min(config.run.redo, key=config_lib.STAGES.index)
        problem = f"{run_dir.path} holds no finished stage '{first}'; leave {{redo}} out"
        raise ArgumentError("redo", config.run.redo, problem, redo=NAME_ONLY)


def outdated(
    run_dir: RunDir, config: config_lib.Config, record: Optional[Mapping[str, Any]], *, over: bool
) -> Tuple[str, ...]:
    """Returns the stages whose results must be discarded before the run resumes.

    Args:
      run_dir: the folder of the run.
      config: the final options.
      record: the record of the run that is resumed; None for a new run.
      over: whether the run starts again from nothing; see `starts_over`.

    Raises:
      ArgumentError: the stage 'linear' has been trained with other options, and `redo` does not name it.
    """
    if over:
        return config_lib.STAGES
    if record is None:
        return ()
    changed = config_lib.differences(record, config, stage="linear")
    redone = config_lib.with_later_stages(config.run.redo)
    if changed and weights.has_started(run_dir, "linear") and "linear" not in redone:
        listed, values = changes_in_words(changed)
        problem = f"its stage 'linear' was trained with other options: {listed}; add {{redo}} to train that stage "
        advice = "again on the same encoder, or give the earlier options"
        raise ArgumentError("run_dir", run_dir.path, problem + advice, redo=("linear",), **values)
    if not redone:
        return ()
    resumed = {"pretrain"}  # otherwise `starts_over` is true
    if not changed and not weights.is_finished(run_dir, "linear", record["total_steps"].get("linear")):
        resumed.add("linear")
    return tuple(stage for stage in redone if stage not in resumed)


def discard(run_dir: RunDir, stages: Tuple[str, ...]) -> None:
    """Removes the results of stages, the last stage first, so that no result outlives what it was made from."""
    for stage in reversed(config_lib.STAGES):
        if stage in stages:
            for path in _results(run_dir, stage):
                remove(path)
            _discard_curves(run_dir, stage)


def _results(run_dir: RunDir, stage: str) -> Tuple[str, ...]:
    """Returns the files and folders that a stage writes."""
    curves = f"{run_dir.tensorboard}/{stage}"
    if stage == "export":
        return (run_dir.saved_model,)
    if stage == "evaluate":
        return (run_dir.metrics, run_dir.report, curves)
    if stage == "pretrain":  # a folder without checkpoints is free for any run
        return (curves, f"{run_dir.path}/checkpoints")
    return (curves, run_dir.checkpoints(stage))


def _discard_curves(run_dir: RunDir, stage: str) -> None:
    history = read_json(run_dir.history)
    if history is not None and history.pop(stage, None) is not None:
        write_json(run_dir.history, history)
