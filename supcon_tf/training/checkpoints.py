"""A stage's progress on disk."""

import contextlib
import tempfile
from typing import Iterator, Optional

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import UserError


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


def restore(directory: str, **parts: tf.Module) -> None:
    """Reads the weights of some parts of the model that the latest checkpoint in `directory` holds.

    Args:
      directory: a stage's checkpoints.
      parts: name of an attribute of that stage's model → a part with the same variables.
    """
    model = tf.train.Checkpoint(**parts)
    path = tf.train.latest_checkpoint(directory)
    with _naming(path):
        tf.train.Checkpoint(model=model).restore(path).expect_partial().assert_existing_objects_matched()


def _step_of(path: Optional[str]) -> Optional[int]:
    return None if path is None else int(path.rsplit("-", 1)[1])


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turns the errors of reading a checkpoint into one line that names the file."""
    try:
        yield
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        cause = str(error).split("\n")[0][:120]
        raise UserError(
            f"{path}: cannot be read ({cause}); remove this checkpoint's files, or use another --run_dir"
        ) from None


def _create_slots(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Makes the optimizer's variables now, so that `restore` can see that each finds its value."""
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:  # TensorFlow Addons builds on Keras' older base class
        optimizer._create_all_weights(variables)
