"""The checkpoints of a training stage."""

import contextlib
import re
import tempfile
from typing import Iterator, Mapping, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import NAME_ONLY, UserError, first_line

# TensorFlow raises these where a checkpoint is damaged or holds something else.
UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, ValueError)


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
        """Number of steps that the model has taken."""
        return int(self._model.optimizer.iterations.numpy())

    def restore(self) -> None:
        """Resumes from the latest checkpoint, if there is one.

        Raises:
          UserError: it cannot be read.
        """
        if self._latest is not None:
            with _naming(self._latest):
                self._checkpoint.restore(self._latest).assert_existing_objects_matched()

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
        return _step_of(self._manager.latest_checkpoint or self._latest) or 0

    def kept(self) -> str:
        """Says in words which checkpoint is kept where training stops with an error."""
        return (
            f"the checkpoint of step {self.saved_step} is kept" if self.saved_step else "nothing had been saved before"
        )

    def _check_finite(self) -> None:
        variables = self._model.trainable_variables
        finite = tf.stack([tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v))) for v in variables]).numpy()
        if not finite.all():
            first = variables[finite.argmin()].name.split(":")[0]
            raise UserError(
                f"step {self.step}: {(~finite).sum()} of {len(variables)} trainable weights are not finite, first "
                f"{first}; training stopped, {self.kept()}. A lower {{learning_rate}} or more {{warmup_epochs}} "
                "usually helps",
                learning_rate=NAME_ONLY,
                warmup_epochs=NAME_ONLY,
            )


def latest_step(directory: str) -> Optional[int]:
    """Returns the step of the latest checkpoint in `directory`, or None if there is none."""
    return _step_of(tf.train.latest_checkpoint(directory))


def shape(directory: str, name: str) -> Tuple[int, ...]:
    """Returns the shape of the variable called `name` in the latest checkpoint in `directory`."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(directory))
    return tuple(reader.get_variable_to_shape_map()[f"{name}/.ATTRIBUTES/VARIABLE_VALUE"])


def restore(directory: str, **parts: tf.Module) -> None:
    """Reads the weights of some parts of a model from the latest checkpoint in `directory`.

    Args:
      directory: checkpoints of a stage of this run.
      parts: attribute of that stage's model → a part with the same variables.

    Raises:
      UserError: the checkpoint cannot be read.
    """
    path = tf.train.latest_checkpoint(directory)
    with _naming(path):
        _read(path, parts)


def restore_elsewhere(directory: str, **parts: tf.Module) -> None:
    """Reads the weights of some parts of a model from the checkpoints of another run, whose shapes may differ.

    Raises:
      Misfit: the weights do not fit.
    """
    path = tf.train.latest_checkpoint(directory)
    try:
        _check_number(path, parts)
        _read(path, parts)
    except UNREADABLE as error:
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
            "{run_dir}",
            run_dir=NAME_ONLY,
        ) from None


def _create_slots(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Creates the optimizer's variables now, so that `restore` can check that each finds its value."""
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:  # TensorFlow Addons builds on Keras' older base class
        optimizer._create_all_weights(variables)
