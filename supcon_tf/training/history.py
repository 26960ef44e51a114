"""The curves of a run on disk: `history.json`."""

import math
from typing import Any, Dict, List, Mapping

import numpy as np

from supcon_tf.run_dir import read_json, write_json


class History:
    """The curves of one training stage, kept in `history.json` beside the curves of the other stages.

    The file maps stage → tag → list of `[step, value]`, by rising step. Values are the float32 numbers of TensorBoard's
    curves. A resumed stage takes the steps after its checkpoint again, so their points are dropped.

    >>> history = History("/tmp/history.json", "pretrain", resumed_from=0)
    >>> history.add(50, {"train/loss": 4.5})
    >>> history.write()
    >>> read_json("/tmp/history.json")
    {'pretrain': {'train/loss': [[50, 4.5]]}}

    Args:
      path: the file.
      stage: name of the stage.
      resumed_from: step of the checkpoint that the stage resumes from; 0 for a new stage.

    Raises:
      UserError: the file is not JSON.
    """

    def __init__(self, path: str, stage: str, *, resumed_from: int) -> None:
        self._path = path
        self._stages: Dict[str, Dict[str, List[Any]]] = read_json(path) or {}
        saved = self._stages.get(stage, {})
        kept = {tag: [point for point in curve if point[0] <= resumed_from] for tag, curve in saved.items()}
        self._curves = {tag: curve for tag, curve in kept.items() if curve}
        self._stages[stage] = self._curves
        self._is_written = self._curves == saved

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of some curves. JSON has no number for nan and infinity, so these are left out.

        Args:
          step: the number of steps done.
          values: tag → value.
        """
        for tag, value in values.items():
            if math.isfinite(value):
                # float() of the text gives the shortest decimal that is this float32.
                self._curves.setdefault(tag, []).append([step, float(str(np.float32(value)))])
                self._is_written = False

    def write(self) -> None:
        """Writes the file, whole or not at all, unless it holds all points already."""
        if not self._is_written:
            write_json(self._path, self._stages)
            self._is_written = True
