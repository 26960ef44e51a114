"""Gives parts of a model the weights that another run has learned."""

from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple

import tensorflow as tf

from supcon_tf.errors import NAME_ONLY, ArgumentError, arguments_called
from supcon_tf.run_dir import RunDir
from supcon_tf.training import checkpoints

# Part → the attribute of a trained model that holds it
ATTRIBUTES = {"encoder": "encoder", "projection_head": "projection_head", "classifier": "linear"}

# The options that decide the shapes of weights
SHAPING_OPTIONS = ("encoder", "encoder_width", "stem", "projection_layers", "projection_batch_norm")


class OtherRun(NamedTuple):
    """A run to take weights from.

    Attributes:
      run_dir: its folder.
      record: the content of its `config.json`.
    """

    run_dir: RunDir
    record: Mapping[str, Any]

    def checkpoints_with(self, part: str) -> str:
        """Returns the folder with the checkpoints of the last finished stage that trains this part.

        Raises:
          ArgumentError: no stage that trains it is finished.
        """
        stages = self._stages_with(part)
        if not stages:
            raise ArgumentError(
                "warm_start", self.run_dir.path, f"a run of mode {self.record['mode']} has no {_in_words(part)}"
            )
        for stage in stages:
            if self._is_finished(stage):
                return self.run_dir.checkpoints(stage)
        wanted = " or ".join(f"'{stage}'" for stage in stages)
        raise ArgumentError(
            "warm_start",
            self.run_dir.path,
            f"has no finished stage {wanted}, which would hold the {_in_words(part)}",
        )

    def _stages_with(self, part: str) -> Tuple[str, ...]:
        """Returns the stages whose checkpoints hold a part, the last one first."""
        if self.record["mode"] == "ce":
            return () if part == "projection_head" else ("pretrain",)
        return {"encoder": ("linear", "pretrain"), "projection_head": ("pretrain",), "classifier": ("linear",)}[part]

    def _is_finished(self, stage: str) -> bool:
        step = checkpoints.latest_step(self.run_dir.checkpoints(stage))
        return step is not None and step == self.record["total_steps"].get(stage)


def find(path: str) -> OtherRun:
    """Returns the run in the folder `path`.

    Raises:
      ArgumentError: the folder holds no run, or one of another version that this one cannot read.
    """
    run_dir = RunDir(path)
    with arguments_called(run_dir="warm_start"):
        record = run_dir.record()
    if record is None:
        raise ArgumentError("warm_start", path, "holds no run; give the {run_dir} of one", run_dir=NAME_ONLY)
    return OtherRun(run_dir, record)


def check(other: OtherRun, parts: Sequence[str], class_names: Sequence[str]) -> None:
    """Checks early for parts that may be needed only after hours of another stage.

    Args:
      other: the run to take weights from.
      parts: names of the parts to take, keys of `ATTRIBUTES`.
      class_names: the classes of this run.

    Raises:
      ArgumentError: a part is not there, or the classifier has other classes.
    """
    for part in parts:
        other.checkpoints_with(part)
        if part == "classifier":
            order_of_classes(other, class_names)


def order_of_classes(other: OtherRun, class_names: Sequence[str]) -> List[int]:
    """Returns for each class its number in another run.

    Raises:
      ArgumentError: the other run has other classes.
    """
    there = other.record["class_names"]
    if sorted(there) != sorted(class_names):
        without, new = sorted({*there} - {*class_names}), sorted({*class_names} - {*there})
        raise ArgumentError(
            "warm_start",
            other.run_dir.path,
            f"its classifier has other classes: {_listed(without)} there, {_listed(new)} here; leave 'classifier' out "
            "of {warm_start_parts}",
            warm_start_parts=NAME_ONLY,
        )
    number = {name: i for i, name in enumerate(there)}
    return [number[name] for name in class_names]


def load(
    other: OtherRun, parts: Mapping[str, tf.Module], options: Mapping[str, Any], class_names: Sequence[str]
) -> None:
    """Gives parts of a model the weights that they have in another run.

    Args:
      other: the run to take weights from.
      parts: name of a part, a key of `ATTRIBUTES` → the part.
      options: options of this run's model. Where a part does not fit, the message names those that differ.
      class_names: the classes of this run, in whose order the classifier is put.

    Raises:
      ArgumentError: a part is not there, or does not fit.
    """
    for name, part in parts.items():
        directory = other.checkpoints_with(name)
        try:
            checkpoints.restore_elsewhere(directory, **{ATTRIBUTES[name]: part})
        except checkpoints.Misfit as misfit:
            differing = _differing_options(other.record, options)
            references = " ".join(f"{{{option}}}" for option in differing)
            raise ArgumentError(
                "warm_start",
                other.run_dir.path,
                f"its {_in_words(name)} does not fit this run's ({misfit})"
                + (f"; it was trained with {references}" if differing else ""),
                **differing,
            ) from None
        if name == "classifier":
            order = order_of_classes(other, class_names)
            part.set_weights([weight[..., order] for weight in part.get_weights()])


def _differing_options(record: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the other run's values of the options that decide shapes and differ here."""
    there = {name: record[name] for name in SHAPING_OPTIONS if name in record}
    there = {name: tuple(value) if isinstance(value, list) else value for name, value in there.items()}
    return {name: value for name, value in there.items() if value != options[name]}


def _listed(names: Sequence[str]) -> str:
    """Returns the first names as a list in words."""
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _in_words(part: str) -> str:
    return part.replace("_", " ")
