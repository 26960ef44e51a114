"""Warns where the figures of a contrastive stage show a problem."""

import sys
from typing import Set

import tqdm

from supcon_tf.training.callbacks.steps import Logs, StepCallback


class ContrastiveWarnings(StepCallback):
    """Prints one line, once, where all embeddings become equal or where few images have a positive of their class.

    Args:
      patience: number of epochs in a row with equal projections before the warning.
      watch_collapse: whether to look for equal projections. The loss of mixed images may be as high without them.
    """

    def __init__(self, *, patience: int = 3, watch_collapse: bool = True) -> None:
        super().__init__()
        self._patience = patience
        self._watch_collapse = watch_collapse
        self._collapsed_epochs = 0
        self._warned: Set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        if self._watch_collapse and "collapsed_loss" in figures:  # a loss without diagnostics cannot tell
            self._look_for_collapse(figures["unscaled_loss"], figures["collapsed_loss"])
        share = figures.get("images_with_classmates", 1.0)
        if share < 0.5:
            self._warn_once(
                "classmates",
                f"only {share:.0%} of the images find another image of their class in the batch, so the labels add "
                "little; a larger batch usually helps",
            )

    def _look_for_collapse(self, loss: float, collapsed: float) -> None:
        self._collapsed_epochs = self._collapsed_epochs + 1 if abs(loss - collapsed) < 0.01 * collapsed else 0
        if self._collapsed_epochs == self._patience:
            self._warn_once(
                "collapse",
                f"the loss stays at {loss:.2f}, about log(N-1) = {collapsed:.2f}: all projections are nearly equal; "
                "a lower learning rate, more warm-up epochs or a larger batch usually helps",
            )

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            tqdm.tqdm.write(f"warning: {text}", file=sys.stderr)
