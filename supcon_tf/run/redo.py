"""Finds which results of an earlier command are out of date, and discards those that the option `redo` names."""

from typing import Any, Dict, Mapping, Optional, Tuple

from supcon_tf import config as config_lib
from supcon_tf.errors import ArgumentError
from supcon_tf.run import weights
from supcon_tf.run_dir import RunDir, read_json, remove, write_json


def starts_anew(run_dir: RunDir, config: config_lib.Config, record: Optional[Mapping[str, Any]]) -> bool:
    """Returns whether the run discards its encoder too, so that nothing of its record counts.

    A stage 'pretrain' that is unfinished resumes if its options are the same, so that the command that was interrupted
    can be repeated.
    """
    if record is None or "pretrain" not in config.run.redo:
        return False
    finished = weights.is_finished(run_dir, "pretrain", record["total_steps"].get("pretrain"))
    return finished or bool(_changed(config, record, "pretrain"))


def outdated(
    run_dir: RunDir, config: config_lib.Config, record: Optional[Mapping[str, Any]], *, anew: bool
) -> Tuple[str, ...]:
    """Returns the stages whose results must be discarded before the run goes on.

    Args:
      run_dir: the folder of the run.
      config: the final options.
      record: the record of the run that is resumed; None for a new run.
      anew: whether the run starts anew; see `starts_anew`.

    Raises:
      ArgumentError: the stage 'linear' has been trained with other options, and `redo` does not name it.
    """
    if anew:
        return config_lib.STAGES
    if record is None:
        return ()
    changed = _changed(config, record, "linear")
    redone = _with_later(config.run.redo)
    if changed and weights.has_started(run_dir, "linear") and "linear" not in redone:
        listed = (f"{{{name}}} (was {config_lib.value_text(before)})" for name, (_, before) in changed.items())
        raise ArgumentError(
            "run_dir",
            run_dir.path,
            f"its stage 'linear' was trained with other options: {', '.join(listed)}; add {{redo}} to train that stage "
            "anew on the same encoder, or give the earlier options",
            redo=("linear",),
            **{name: now for name, (now, _) in changed.items()},
        )
    if "linear" in redone and not changed:
        finished = weights.is_finished(run_dir, "linear", record["total_steps"].get("linear"))
        return tuple(stage for stage in redone if stage != "pretrain" and (stage != "linear" or finished))
    return tuple(stage for stage in redone if stage != "pretrain")


def discard(run_dir: RunDir, stages: Tuple[str, ...]) -> None:
    """Removes the results of stages, the last stage first, so that no result outlives what it was made from."""
    for stage in reversed(config_lib.STAGES):
        if stage in stages:
            for path in _results(run_dir, stage):
                remove(path)
            _discard_curves(run_dir, stage)


def _changed(config: config_lib.Config, record: Mapping[str, Any], stage: str) -> Dict[str, Tuple[Any, Any]]:
    """Returns name → (value now, value then) of the changed options that matter from `stage` on, not before it."""
    differences = config_lib.differences(record, config)
    return {name: both for name, both in differences.items() if config_lib.first_stage(name, config.run.mode) == stage}


def _with_later(stages: Tuple[str, ...]) -> Tuple[str, ...]:
    """Returns the stages from the first one of `stages` on."""
    first = min((config_lib.STAGES.index(stage) for stage in stages), default=len(config_lib.STAGES))
    return config_lib.STAGES[first:]


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
