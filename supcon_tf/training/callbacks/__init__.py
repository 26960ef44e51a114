"""Callbacks that watch a training stage: progress, curves, checkpoints, warnings.

They are given the metrics as tensors and read them every few steps only, so that the host never waits for a step.
"""

from supcon_tf.training.callbacks.contrastive_warnings import ContrastiveWarnings
from supcon_tf.training.callbacks.curves import Curves
from supcon_tf.training.callbacks.first_views import FirstViews
from supcon_tf.training.callbacks.progress import Progress
from supcon_tf.training.callbacks.saving import Saving
from supcon_tf.training.callbacks.steps import StepCallback

__all__ = ["ContrastiveWarnings", "Curves", "FirstViews", "Progress", "Saving", "StepCallback"]
