"""Saves and reads the checkpoints of a training stage.

A checkpoint is identified by its files, `ckpt-STEP.index` and `ckpt-STEP.data-…`. One that cannot be read, for example
after a fault of the disk, is passed over: the newest one that can be read counts.
"""

import contextlib
import functools
import os
import re
import tempfile
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import NAME_ONLY, UserError, first_line
from supcon_tf.models.functions_by_shape import build_optimizer

# TensorFlow raises these where a checkpoint is damaged, and where it holds something else.
DAMAGED = (tf.errors.OpError, IndexError, ValueError)
UNFIT = (*DAMAGED, AssertionError)


class Misfit(ValueError):
    """The variables of a checkpoint do not fit; the message says which shapes or numbers differ."""


class Checkpoints:
    """Saves and restores model and optimizer of one stage, in one folder.

    Args:
      model: a compiled model with all its variables.
      directory: folder of the checkpoints.
      chief: whether this process keeps the checkpoints. The strategy needs the other processes to write too; they write
        into a temporary folder.
    """

    def __init__(self, model: keras.Model, directory: str, *, chief: bool = True) -> None:
        self._model = model
        build_optimizer(model)  # so that `restore` can check that each variable finds its value
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        self._found = look(directory)
        self._checkpoint = checkpoint
        self._thrown_away = None if chief else tempfile.TemporaryDirectory()
        if self._thrown_away is not None:
            directory = self._thrown_away.name
        elif self._found.path is not None:
            _rewrite_list(directory, self._found.path)
        self._manager = tf.train.CheckpointManager(checkpoint, directory, max_to_keep=2)

    @property
    def damaged(self) -> Mapping[str, str]:
        """Path → reason, for checkpoints that were passed over because they cannot be read."""
        return self._found.damaged

    @property
    def step(self) -> int:
        """Number of steps that the model has taken."""
        return int(self._model.optimizer.iterations.numpy())

    def restore(self) -> None:
        """Resumes from the newest checkpoint that can be read, if there is one.

        Raises:
          UserError: there are some but none can be read, or it is of another model.
        """
        path = self._found.path
        if path is not None or self._found.damaged:
            path = readable(self._found)
            try:
                self._checkpoint.restore(path).expect_partial().assert_existing_objects_matched()
            except UNFIT as error:
                raise UserError(
                    f"{path}: holds other weights than this model ({first_line(error, 120)}), as of another version; "
                    "give another {run_dir}",
                    run_dir=NAME_ONLY,
                ) from None

    def save(self) -> None:
        """Writes the present state, unless it is written already.

        Raises:
          UserError: a trainable weight is not finite. Nothing is written then.
        """
        if self.saved_step == self.step:
            return
        self._check_finite()
        self._manager.save(checkpoint_number=self.step)

    def close(self) -> None:
        """Removes the temporary folder of a process that is not the chief."""
        if self._thrown_away is not None:
            self._thrown_away.cleanup()

    @property
    def saved_step(self) -> int:
        """Step of the latest checkpoint; 0 if there is none."""
        path = self._manager.latest_checkpoint or self._found.path
        return 0 if path is None else _step_of(path)

    def diverged(self, problem: str) -> UserError:
        """Returns the error for a loss or weights that are not finite, with what is kept and what usually helps."""
        kept = "nothing had been saved before"
        if self.saved_step:
            kept = f"the checkpoint of step {self.saved_step:,} is kept"
        return UserError(
            f"{problem}; training stopped, {kept}. A lower {{learning_rate}} or more {{warmup_epochs}} usually helps",
            learning_rate=NAME_ONLY,
            warmup_epochs=NAME_ONLY,
        )

    def _check_finite(self) -> None:
        variables = [variable for variable in self._model.weights if variable.dtype.is_floating]
        finite = tf.stack([tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v))) for v in variables]).numpy()
        if not finite.all():
            first = variables[finite.argmin()].name.split(":")[0]
            number = f"{(~finite).sum():,} of {len(variables):,} weights are not finite, first {first}"
            raise self.diverged(f"step {self.step:,}: {number}")


def save_finished(model: keras.Model, directory: str, step: int, *, chief: bool = True) -> None:
    """Writes the only checkpoint of a stage whose weights were not trained step by step.

    Args:
      model: a compiled model.
      directory: folder of the checkpoints.
      step: the number of steps with which the stage counts as finished.
      chief: whether this process keeps the checkpoint.
    """
    with contextlib.closing(Checkpoints(model, directory, chief=chief)) as checkpoints:
        with model.distribute_strategy.scope():
            model.optimizer.iterations.assign(step)
        checkpoints.save()


class Found(NamedTuple):
    """The checkpoints in a folder.

    Attributes:
      path: the newest one that can be read; None if there is none.
      damaged: path → reason, for newer ones that cannot be read, the newest first.
    """

    path: Optional[str]
    damaged: Dict[str, str]


def look(directory: str) -> Found:
    """Looks for the newest checkpoint in `directory` that can be read. The first look takes as long as reading it."""
    damaged: Dict[str, str] = {}
    for path in _paths(directory):
        reason = _damage(path, _stamps(path))
        if reason is None:
            return Found(path, damaged)
        damaged[path] = reason
    return Found(None, damaged)


def readable(found: Found) -> str:
    """Returns the path of the checkpoint that was found.

    Raises:
      UserError: there are some but none can be read.
    """
    if found.path is not None:
        return found.path
    path, reason = next(iter(found.damaged.items()))
    raise UserError(
        f"{path}: cannot be read ({reason}), nor can any other checkpoint in {os.path.dirname(path)}; remove this "
        "folder to train the stage again, or give another {run_dir}",
        run_dir=NAME_ONLY,
    )


def exist(directory: str) -> bool:
    """Returns whether `directory` holds a checkpoint, damaged or not."""
    return bool(_paths(directory))


def latest_step(directory: str) -> Optional[int]:
    """Returns the step of the newest checkpoint in `directory` that can be read, or None if there is none."""
    path = look(directory).path
    return None if path is None else _step_of(path)


def restore(directory: str, **parts: tf.Module) -> None:
    """Reads the weights of some parts of a model from the checkpoint in `directory`.

    Args:
      directory: checkpoints of a stage of this run.
      parts: attribute of that stage's model → a part with the same variables.

    Raises:
      UserError: no checkpoint can be read.
    """
    _read(readable(look(directory)), parts)


def restore_elsewhere(directory: str, **parts: tf.Module) -> None:
    """Reads the weights of some parts of a model from the checkpoints of another run, whose shapes may differ.

    Raises:
      Misfit: the weights do not fit.
    """
    path = readable(look(directory))
    try:
        _check_number(path, parts)
        _read(path, parts)
    except UNFIT as error:
        raise Misfit(_difference(error)) from None


def _read(path: str, parts: Mapping[str, tf.Module]) -> None:
    model = tf.train.Checkpoint(**parts)
    tf.train.Checkpoint(model=model).restore(path).expect_partial().assert_existing_objects_matched()


def _check_number(path: str, parts: Mapping[str, tf.Module]) -> None:
    """Raises ValueError if the numbers of variables differ; some of a deeper model's variables could fit by chance."""
    names = [name for name, _ in tf.train.list_variables(path) if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE")]
    for attribute, part in parts.items():
        held = [name for name in names if name.startswith(f"model/{attribute}/") and ".OPTIMIZER_SLOT" not in name]
        if len(held) != len(part.variables):
            raise ValueError(f"{len(held)} weights there, {len(part.variables)} here")


def _difference(error: Exception) -> str:
    """Shortens TensorFlow's message about a weight that does not fit."""
    shapes = re.search(
        r"tensor with shape (\(.*?\)) .* variable with shape (\(.*?\)) and name (\S+?)(:\d+)?\.?$", str(error)
    )
    return f"{shapes[3]} has shape {shapes[1]} there, {shapes[2]} here" if shapes else first_line(error, 120)


def _paths(directory: str) -> List[str]:
    """Returns the checkpoints in a folder by their files, the newest first."""
    names = tf.io.gfile.listdir(directory) if tf.io.gfile.isdir(directory) else []
    steps = (re.fullmatch(r"ckpt-(\d+)\.index", name) for name in names)
    found = sorted((int(match[1]) for match in steps if match), reverse=True)
    return [os.path.join(directory, f"ckpt-{step}") for step in found]


def _stamps(path: str) -> Tuple[Tuple[str, int, int], ...]:
    """Returns name, size and time of change of the files of a checkpoint."""
    directory, name = os.path.split(path)
    files = sorted(file for file in tf.io.gfile.listdir(directory) if file.startswith(f"{name}."))
    found = [(file, tf.io.gfile.stat(os.path.join(directory, file))) for file in files]
    return tuple((file, status.length, status.mtime_nsec) for file, status in found)


@functools.lru_cache(maxsize=16)
def _damage(path: str, stamps: Tuple[Tuple[str, int, int], ...]) -> Optional[str]:
    """Reads a checkpoint, whose parts have checksums. Returns what is wrong with it, or None.

    Reads it once for as long as its files stay what they are: a run looks several times, and each look at a large model
    in a bucket would take seconds.

    Args:
      path: the checkpoint.
      stamps: says when its files have changed.
    """
    del stamps
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except DAMAGED as error:
        return first_line(error, 120)
    return None


def _rewrite_list(directory: str, newest: str) -> None:
    """Rewrites TensorFlow's list of the checkpoints in a folder, which may name a damaged one or be damaged itself."""
    paths = [path for path in _paths(directory)[::-1] if _step_of(path) <= _step_of(newest)]
    times = [tf.io.gfile.stat(f"{path}.index").mtime_nsec / 1e9 for path in paths]
    tf.compat.v1.train.update_checkpoint_state(directory, newest, paths, all_model_checkpoint_timestamps=times)


def _step_of(path: str) -> int:
    return int(path.rsplit("-", 1)[1])
