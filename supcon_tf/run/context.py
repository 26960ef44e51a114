"""Holds the running experiment: the options, data and devices that all stages of a run share."""

import dataclasses
from typing import Any, Dict, Optional, Tuple

import tensorflow as tf

from supcon_tf import augment, distribute
from supcon_tf import config as config_lib
from supcon_tf.data import load
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.run import resolve, schedule, weights
from supcon_tf.run_dir import RunDir


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Holds what all stages of a run share.

    Attributes:
      config: the final options.
      strategy: which devices compute.
      run_dir: the folder that the run writes to.
      data: the data set.
      images: the training images.
      unlabelled: further images to contrast without labels; None for none.
      whitening: channel means and standard deviations that become 0 and 1.
      says_duration: whether to say after the first steps how long the run will take.
    """

    config: config_lib.Config
    strategy: tf.distribute.Strategy
    run_dir: RunDir
    data: load.ImageData
    images: TrainingImages
    unlabelled: Optional[TrainingImages] = None
    whitening: config_lib.Whitening = config_lib.NO_WHITENING
    says_duration: bool = False

    @property
    def image_shape(self) -> Tuple[int, int, int]:
        """Height, width and channels of what the encoder sees."""
        return resolve.image_shape(self.config.data, self.data)

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where the images have no labels."""
        return len(self.data.class_names)

    @property
    def chief(self) -> bool:
        """True if this process writes files and prints."""
        return distribute.is_chief(self.strategy)

    @property
    def last_training_stage(self) -> str:
        """The stage whose result is evaluated and exported."""
        return schedule.last_training_stage(self.config.run.mode, self.num_classes)

    def steps(self, stage: str) -> StepSchedule:
        """Returns batch size and number of steps of a training stage."""
        replicas = self.strategy.num_replicas_in_sync
        return schedule.step_schedule(self.config, stage, self.images, self.unlabelled, replicas)

    def require(self, stage: str, *, needed_by: str) -> None:
        """Raises ArgumentError unless a training stage is finished, which the stage `needed_by` needs."""
        weights.require_finished(self.run_dir, stage, self.steps(stage).total_steps, needed_by=needed_by)

    def evaluation_view(self, images: tf.Tensor) -> tf.Tensor:
        """Turns images of any size into what the encoder sees in evaluation and serving."""
        crop = self.config.augment.eval_crop
        assert crop is not None  # it is resolved
        return augment.evaluation_view(images, self.image_shape[0], crop)

    def described(self) -> Dict[str, Any]:
        """Returns the options that identify the run, with what was found out where they leave something open."""
        mean, std = map(config_lib.value_text, self.whitening)
        found_out = {
            "train_split": self.data.train_split,
            "validation_split": self.data.validation_split or "none",
            "eval_split": self.data.eval_split or "none",
            "whitening": "none" if self.whitening == config_lib.NO_WHITENING else f"mean {mean}, deviation {std}",
            "replicas": self.strategy.num_replicas_in_sync,
        }
        return {**config_lib.identity(self.config), **found_out}
