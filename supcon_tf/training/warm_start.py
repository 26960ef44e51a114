"""Parts of a model that begin with what another run has learned."""

from typing import Any, Dict, Mapping, NamedTuple, Sequence, Tuple

import tensorflow as tf

from supcon_tf.config import as_flag
from supcon_tf.errors import UserError
from supcon_tf.run_dir import RunDir, read_json
from supcon_tf.training import checkpoints

# Part → the attribute of a trained model that holds it
ATTRIBUTES = {"encoder": "encoder", "projection_head": "projection_head", "classifier": "linear"}


class OtherRun(NamedTuple):
    """A run to begin with.

    Attributes:
      run_dir: its folder.
      record: its `config.json`.
    """

    run_dir: RunDir
    record: Dict[str, Any]

    def checkpoints_with(self, part: str) -> str:
        """Folder of the checkpoints of the last finished stage that holds this part.

        Raises:
          UserError: none of the stages that train it has been finished.
        """
        stages = self._stages_with(part)
        given = f"--warm_start={self.run_dir.path}"
        if not stages:
            raise UserError(f"{given}: a run of mode {self.record.get('mode')} has no {_in_words(part)}")
        for stage in stages:
            if self._is_finished(stage):
                return self.run_dir.checkpoints(stage)
        wanted = " or ".join(f"'{stage}'" for stage in stages)
        raise UserError(f"{given}: has no finished stage {wanted}, which would hold the {_in_words(part)}")

    def _stages_with(self, part: str) -> Tuple[str, ...]:
        """The stages whose checkpoints hold a part, the later ones first."""
        if self.record.get("mode") == "ce":
            return () if part == "projection_head" else ("pretrain",)
        return {"encoder": ("linear", "pretrain"), "projection_head": ("pretrain",), "classifier": ("linear",)}[part]

    def _is_finished(self, stage: str) -> bool:
        step = checkpoints.latest_step(self.run_dir.checkpoints(stage))
        # Runs have not always recorded how many steps they are to take; what they have saved must do then.
        return step is not None and step >= self.record.get("total_steps", {}).get(stage, 0)


def find(path: str) -> OtherRun:
    """The run in the folder `path`.

    Raises:
      UserError: there is none.
    """
    run_dir = RunDir(path)
    record = read_json(run_dir.config)
    if record is None:
        raise UserError(f"--warm_start={path}: holds no run; give the --run_dir of one")
    return OtherRun(run_dir, record)


def check(other: OtherRun, parts: Sequence[str], num_classes: int) -> None:
    """Raises UserError at once for what may be needed only after hours of another stage.

    Args:
      other: the run to begin with.
      parts: what to take from it.
      num_classes: of this run.
    """
    for part in parts:
        directory = other.checkpoints_with(part)
        if part == "classifier":
            (there,) = checkpoints.shape(directory, f"model/{ATTRIBUTES[part]}/bias")
            if there != num_classes:
                raise UserError(
                    f"--warm_start={other.run_dir.path}: its classifier has {there} classes, not {num_classes}"
                )


def load(other: OtherRun, parts: Mapping[str, tf.Module], options: Mapping[str, Any]) -> None:
    """Gives parts of a model the weights that they have in another run.

    Args:
      other: that run.
      parts: name of a part, as in `--warm_start_parts` → the part.
      options: of this run's model, to be compared with those of the other where a part does not fit.

    Raises:
      UserError: a part is not there, or does not fit.
    """
    given = f"--warm_start={other.run_dir.path}"
    for name, part in parts.items():
        directory = other.checkpoints_with(name)
        try:
            checkpoints.restore_elsewhere(directory, given, _in_words(name), **{ATTRIBUTES[name]: part})
        except UserError as error:
            raise UserError(f"{error}{_trained_with(other.record, options)}") from None


def _trained_with(record: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """'; it was trained with --name=value', for the options that decide shapes and differ."""
    names = ("encoder", "encoder_width", "stem", "projection_layers", "projection_batch_norm")
    flags = [as_flag(name, record[name]) for name in names if name in record and _listed(record[name]) != options[name]]
    return f"; it was trained with {' '.join(flags)}" if flags else ""


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_words(part: str) -> str:
    return part.replace("_", " ")
