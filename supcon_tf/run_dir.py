"""What a run leaves on disk, and how it is found again.

<run_dir>/config.json     the options that make the run what it is, and what was found out about its images
          checkpoints/<stage>/
          tensorboard/
          metrics.json    the final figures
          report.html
          saved_model/
"""

import json
import os
import re
from typing import Any, Dict, Mapping, Optional

import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.errors import UserError


class RunDir:
    """The folder of one run.

    Args:
      path: the folder; may be a gs:// address.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.config = os.path.join(path, "config.json")
        self.metrics = os.path.join(path, "metrics.json")
        self.report = os.path.join(path, "report.html")
        self.tensorboard = os.path.join(path, "tensorboard")
        self.saved_model = os.path.join(path, "saved_model")

    def checkpoints(self, stage: str) -> str:
        """Folder of a stage's checkpoints."""
        return os.path.join(self.path, "checkpoints", stage)

    def begun(self, dataset: str) -> Optional[Dict[str, Any]]:
        """Options and further record of the run that has begun here on that data set; None if there is none.

        Raises:
          UserError: the record cannot be read.
        """
        record = read_json(self.config)
        if record is None or record.get("dataset") != dataset or not self._has_saved():
            return None
        return config_lib.recorded(record)

    def claim(self, config: config_lib.Config, found: Mapping[str, Any], *, write: bool = True) -> None:
        """Makes this the folder of the run that `config` describes. One that has saved nothing yet can be any run's.

        Args:
          config: the options.
          found: what else to record. `prepared_data` is the name of the data set as it was prepared, which changes when
            the images of a folder do.
          write: False for a process that leaves the writing to another.

        Raises:
          UserError: it holds another run, or cannot be written.
        """
        recorded = read_json(self.config)
        if recorded is not None and self._has_saved():
            changed = config_lib.differences(recorded, config)
            if changed:
                raise UserError(
                    f"--run_dir={self.path}: holds a run with other options: {', '.join(changed)}; "
                    "give another --run_dir or the old options"
                )
            if recorded.get("prepared_data", found["prepared_data"]) != found["prepared_data"]:
                raise UserError(
                    f"--dataset={config.data.dataset}: its images have changed since the run in {self.path} began; "
                    "give another --run_dir"
                )
        elif write:
            try:
                write_json(self.config, {**config_lib.identity(config), **found})
            except (tf.errors.OpError, OSError) as error:
                cause = getattr(error, "message", str(error)).split("\n")[0]
                raise UserError(f"--run_dir={self.path}: cannot be written ({cause})") from None

    def _has_saved(self) -> bool:
        return tf.io.gfile.exists(os.path.join(self.path, "checkpoints"))


def default_path(config: config_lib.Config) -> str:
    """A path in runs/ that no run with other options has."""
    dataset = config.data.dataset
    if dataset.startswith("folder:"):
        dataset = os.path.basename(os.path.abspath(dataset[len("folder:") :]))
    dataset = re.sub(r"[/:]", "_", dataset)
    return os.path.join("runs", f"{dataset}_{config.run.mode}_{config_lib.digest(config)}")


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """What `write_json` wrote, or None where there is no such file.

    Raises:
      UserError: the file is not JSON.
    """
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        try:
            return json.load(file)
        except ValueError:
            raise UserError(f"{path}: is not valid JSON; remove it and run again") from None


def write_json(path: str, content: Dict[str, Any]) -> None:
    """Writes `content`, whole or not at all."""
    text = json.dumps(content, indent=2)
    rows_on_lines = re.sub(r"\[\s+([\d,\s]*\d)\s+\]", lambda row: f"[{' '.join(row[1].split())}]", text)
    write_text(path, rows_on_lines + "\n")


def write_text(path: str, content: str) -> None:
    """Writes `content`, whole or not at all: a reader never sees half a file."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    partial = f"{path}.partial"
    with tf.io.gfile.GFile(partial, "w") as file:
        file.write(content)
    tf.io.gfile.rename(partial, path, overwrite=True)
