"""A stage's progress on disk."""

import contextlib
import re
import tempfile
from typing import Iterator, Mapping, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import UserError, first_line

# What TensorFlow raises where a checkpoint is damaged, or one of something else.
UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, ValueError)


class Checkpoints:
    """Model and optimizer of one stage, in a folder of its own.

    Args:
      model: a compiled model with all its variables.
      directory: where the checkpoints live.
      chief: whether this process keeps them. The others take part in writing, as the strategy needs, but into a
        folder that is thrown away.
    """

    def __init__(self, model: keras.Model, directory: str, *, chief: bool = True) -> None:
        self._model = model
        with model.distribute_strategy.scope():
            _create_slots(model.optimizer, model.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        self._latest = tf.train.latest_checkpoint(directory)
        self._checkpoint = checkpoint
        self._thrown_away = None if chief else tempfile.TemporaryDirectory()
        if self._thrown_away is not None:
            directory = self._thrown_away.name
        self._manager = tf.train.CheckpointManager(checkpoint, directory, max_to_keep=2)

    @property
    def step(self) -> int:
        """Steps that the model has behind it."""
        return int(self._model.optimizer.iterations.numpy())

    def restore(self) -> None:
        """Continues from the latest checkpoint, if there is one."""
        if self._latest is not None:
            with _naming(self._latest):
                self._checkpoint.restore(self._latest).assert_existing_objects_matched()

    def save(self) -> None:
        """Writes the present state, unless it is written already or holds a value that is not finite."""
        if self._all_finite() and self.saved_step != self.step:
            self._manager.save(checkpoint_number=self.step)

    def close(self) -> None:
        """Removes what only this process has written."""
        if self._thrown_away is not None:
            self._thrown_away.cleanup()

    @property
    def saved_step(self) -> int:
        """Step of the latest checkpoint; 0 where there is none."""
        return _step_of(self._manager.latest_checkpoint or self._latest) or 0

    def _all_finite(self) -> bool:
        finite = [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v))) for v in self._model.trainable_variables]
        return bool(tf.reduce_all(finite))


def latest_step(directory: str) -> Optional[int]:
    """Step of the latest checkpoint in `directory`; None where there is none."""
    return _step_of(tf.train.latest_checkpoint(directory))


def shape(directory: str, name: str) -> Tuple[int, ...]:
    """Shape of the variable that the latest checkpoint in `directory` keeps under `name`."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(directory))
    return tuple(reader.get_variable_to_shape_map()[f"{name}/.ATTRIBUTES/VARIABLE_VALUE"])


def restore(directory: str, **parts: tf.Module) -> None:
    """Reads the weights of some parts of the model that the latest checkpoint in `directory` holds.

    Args:
      directory: a stage's checkpoints.
      parts: name of an attribute of that stage's model → a part with the same variables.
    """
    path = tf.train.latest_checkpoint(directory)
    with _naming(path):
        _read(path, parts)


def restore_elsewhere(directory: str, given: str, what: str, **parts: tf.Module) -> None:
    """As `restore`, of another run's checkpoints, whose parts may be others than ours.

    Args:
      directory: a stage's checkpoints.
      given: the flag that names the run.
      what: the parts in words.
      parts: as of `restore`.

    Raises:
      UserError: they do not fit; says which shapes differ.
    """
    path = tf.train.latest_checkpoint(directory)
    try:
        _check_number(path, parts)
        _read(path, parts)
    except UNREADABLE as error:
        raise UserError(f"{given}: its {what} does not fit this run's ({_misfit(error)})") from None


def _read(path: str, parts: Mapping[str, tf.Module]) -> None:
    model = tf.train.Checkpoint(**parts)
    tf.train.Checkpoint(model=model).restore(path).expect_partial().assert_existing_objects_matched()


def _check_number(path: str, parts: Mapping[str, tf.Module]) -> None:
    """Raises ValueError where the checkpoint holds another number of variables: of a deeper model some would fit."""
    names = [name for name, _ in tf.train.list_variables(path) if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE")]
    for attribute, part in parts.items():
        held = [name for name in names if name.startswith(f"model/{attribute}/") and ".OPTIMIZER_SLOT" not in name]
        if len(held) != len(part.variables):
            raise ValueError(f"{len(held)} weights there, {len(part.variables)} here")


def _misfit(error: Exception) -> str:
    """What TensorFlow says of a weight that does not fit, in short."""
    shapes = re.search(
        r"tensor with shape (\(.*?\)) .* variable with shape (\(.*?\)) and name (\S+?)(:\d+)?\.?$", str(error)
    )
    return f"{shapes[3]} has shape {shapes[1]} there, {shapes[2]} here" if shapes else first_line(error, 120)


def _step_of(path: Optional[str]) -> Optional[int]:
    return None if path is None else int(path.rsplit("-", 1)[1])


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turns the errors of reading a checkpoint into one line that names the file."""
    try:
        yield
    except UNREADABLE as error:
        raise UserError(
            f"{path}: cannot be read ({first_line(error, 120)}); remove this checkpoint's files, or use another "
            "--run_dir"
        ) from None


def _create_slots(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Makes the optimizer's variables now, so that `restore` can see that each finds its value."""
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:  # TensorFlow Addons builds on Keras' older base class
        optimizer._create_all_weights(variables)
