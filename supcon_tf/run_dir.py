"""The files of a run, and the record that resumes it.

<run_dir>/config.json     the options that identify the run, and what was found out about its images
          checkpoints/<stage>/
          history.json    the curves of each training stage
          tensorboard/
          metrics.json    the final figures
          report.html
          saved_model/
"""

import contextlib
import json
import os
import re
from typing import Any, Dict, Mapping, Optional, Tuple

import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.errors import NAME_ONLY, ArgumentError, UserError

VERSION = "record_version"


class RunDir:
    """The folder of one run.

    Args:
      path: the folder, or a gs:// address.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.config = os.path.join(path, "config.json")
        self.history = os.path.join(path, "history.json")
        self.metrics = os.path.join(path, "metrics.json")
        self.report = os.path.join(path, "report.html")
        self.tensorboard = os.path.join(path, "tensorboard")
        self.saved_model = os.path.join(path, "saved_model")

    def checkpoints(self, stage: str) -> str:
        """Returns the folder of a stage's checkpoints."""
        return os.path.join(self.path, "checkpoints", stage)

    def remove_leftovers(self) -> None:
        """Removes what interrupted writes have left. Only the process that holds the run's lock may call this.

        Leaves folders alone that have no lock, such as gs:// addresses; another process may be writing there.
        """
        if "://" in self.path:
            return
        patterns = ("*.partial", "checkpoints/*/*_temp", "checkpoints/*/checkpoint.tmp*")
        found = [path for pattern in patterns for path in tf.io.gfile.glob(os.path.join(self.path, pattern))]
        for data in tf.io.gfile.glob(os.path.join(self.path, "checkpoints", "*", "ckpt-*.data-*")):
            if not tf.io.gfile.exists(f"{data.rpartition('.data-')[0]}.index"):
                found.append(data)
        for path in found:
            remove(path)

    def record(self) -> Optional[Dict[str, Any]]:
        """Returns the content of config.json, or None if there is none.

        Raises:
          ArgumentError: another version made the run, and this one cannot resume it.
          UserError: the file is not JSON.
        """
        try:
            record = read_json(self.config)
        except UserError as error:
            raise UserError(
                f"{self.config}: is not valid JSON; put back a copy, or give another {{run_dir}}", run_dir=NAME_ONLY
            ) from error
        if record is not None and record.get(VERSION) != config_lib.RECORD_VERSION:
            raise ArgumentError(
                "run_dir",
                self.path,
                "holds a run of a version that this one cannot resume; give another {run_dir}",
                run_dir=NAME_ONLY,
            )
        return record

    def record_of(self, dataset: str) -> Optional[Dict[str, Any]]:
        """Returns options and record of the run on `dataset` that has saved something here, or None.

        Raises:
          ArgumentError: another version made the run, and this one cannot resume it.
          UserError: the record is missing or cannot be read.
        """
        if not self._has_saved():
            return None
        record = self.record()
        if record is None:
            raise UserError(
                f"{self.config}: is missing, so nobody knows which options its checkpoints were trained with; put "
                "back a copy, or give another {run_dir}",
                run_dir=NAME_ONLY,
            )
        record = config_lib.recorded(record)
        return record if record["dataset"] == dataset else None

    def check_same(
        self, config: config_lib.Config, found: Mapping[str, Any], record: Optional[Mapping[str, Any]] = None
    ) -> Optional[Mapping[str, Any]]:
        """Checks that the run in this folder is the one that `config` describes. Writes nothing.

        A folder without checkpoints is free for any run. Options that only later stages depend on may differ; see
        `supcon_tf.run.redo`.

        Args:
          config: the options.
          found: a record beside the options; see `claim`.
          record: the record of the run that is resumed, if the caller has read it; None to read it.

        Returns:
          The record of the run in this folder; None if the folder is free.

        Raises:
          ArgumentError: the folder holds another run, or the images have changed.
          UserError: the record cannot be read.
        """
        recorded = self.record() if record is None and self._has_saved() else record
        if recorded is None:
            return None
        changed = config_lib.differences(recorded, config, stage="pretrain")
        if changed:
            listed, values = changes_in_words(changed)
            problem = f"holds a run with other options: {listed}; give another {{run_dir}} or the earlier options"
            advice = ", or start it over with {redo}"
            raise ArgumentError("run_dir", self.path, problem + advice, run_dir=NAME_ONLY, redo=("pretrain",), **values)
        if recorded["prepared_data"] != found["prepared_data"]:
            raise ArgumentError(
                "dataset",
                config.data.dataset,
                f"its images have changed since the run in {self.path} began; give another {{run_dir}}",
                run_dir=NAME_ONLY,
            )
        return recorded

    def claim(
        self,
        config: config_lib.Config,
        found: Mapping[str, Any],
        record: Optional[Mapping[str, Any]] = None,
        *,
        write: bool = True,
    ) -> None:
        """Makes this the folder of the run that `config` describes, and records the run.

        Args:
          config: the options.
          found: a record beside the options. `prepared_data` is the name of the prepared data set, which changes when
            the images of a folder do; `whitening_constants` the mean and standard deviation of the channels;
            `total_steps` the number of steps of each training stage; `class_names` the classes in their order.
          record: as for `check_same`.
          write: False for a process that leaves the writing to another.

        Raises:
          ArgumentError: the folder holds another run, or cannot be written; or the images have changed.
          UserError: the record cannot be read.
        """
        recorded = self.check_same(config, found, record)
        content = json.loads(json.dumps({VERSION: config_lib.RECORD_VERSION, **config_lib.identity(config), **found}))
        if write and content != recorded:
            try:
                write_json(self.config, content)
                if recorded is None and tf.io.gfile.exists(self.history):  # of a run that stopped before its checkpoint
                    tf.io.gfile.remove(self.history)
            except (tf.errors.OpError, OSError) as error:
                cause = getattr(error, "message", str(error)).split("\n")[0]
                raise ArgumentError("run_dir", self.path, f"cannot be written ({cause})") from None

    def _has_saved(self) -> bool:
        return tf.io.gfile.exists(os.path.join(self.path, "checkpoints"))


def changes_in_words(changed: Mapping[str, Tuple[Any, Any]]) -> Tuple[str, Dict[str, Any]]:
    """Lists changed options for the problem of an ArgumentError.

    Args:
      changed: name → (value now, value then).

    Returns:
      The list, and the values that its references stand for.
    """
    listed = (f"{{{name}}} (was {config_lib.option_text(name, before)})" for name, (_, before) in changed.items())
    return ", ".join(listed), {name: now for name, (now, _) in changed.items()}


def remove(path: str) -> None:
    """Removes a file, or a folder with its content. Does nothing if there is none."""
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    elif tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """Returns the content of a file that `write_json` wrote, or None if there is no such file.

    Raises:
      UserError: the file is not JSON.
    """
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file, contextlib.suppress(ValueError):
        content = json.load(file)
        if isinstance(content, dict):
            return content
    raise UserError(f"{path}: is not valid JSON; remove it and run again")


def write_json(path: str, content: Dict[str, Any]) -> None:
    """Writes `content`, whole or not at all. A row of numbers takes one line."""
    text = json.dumps(content, indent=2)
    rows_on_lines = re.sub(r"\[\n([-+.\deE,\s]*\d)\n\s+\]", lambda row: f"[{' '.join(row[1].split())}]", text)
    write_text(path, rows_on_lines + "\n")


def write_text(path: str, content: str) -> None:
    """Writes `content`, whole or not at all, so that a reader never sees half a file."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    partial = f"{path}.partial"
    with tf.io.gfile.GFile(partial, "w") as file:
        file.write(content)
    tf.io.gfile.rename(partial, path, overwrite=True)
