"""All options of a run together."""

import dataclasses
from typing import Sequence, Tuple

from supcon_tf.config.choices import STAGES
from supcon_tf.config.field import group
from supcon_tf.config.options.augment import AugmentOptions
from supcon_tf.config.options.data import DataOptions
from supcon_tf.config.options.hardware import HardwareOptions
from supcon_tf.config.options.loss import LossOptions
from supcon_tf.config.options.model import ModelOptions
from supcon_tf.config.options.run import RunOptions
from supcon_tf.config.options.stage import StageOptions
from supcon_tf.config.options.training import TrainingOptions

TRAINING_STAGES = ("pretrain", "linear")
# Options that the images decide where neither a flag nor a recipe sets them; see `supcon_tf.run.decide`.
DECIDED_BY_IMAGES = (
    *("image_size", "encoder", "stem", "projection_layers"),
    *("augment", "jitter_strength", "crop_min_area", "crop_aspect", "eval_crop"),
    *("batch_size", "pretrain_epochs", "warmup_epochs", "learning_rate", "weight_decay"),
    *("joint_ce", "linear_solver", "microbatch_size"),
)


def name_in_stage(stage: str, field: str) -> str:
    """Returns the name of the option that sets a field of `StageOptions` for a training stage.

    >>> name_in_stage("pretrain", "epochs"), name_in_stage("pretrain", "batch_size")
    ('pretrain_epochs', 'batch_size')
    >>> name_in_stage("linear", "epochs"), name_in_stage("linear", "batch_size")
    ('linear_epochs', 'linear_batch_size')
    """
    if stage == "linear":
        return f"linear_{field}"
    return "pretrain_epochs" if field == "epochs" else field


def with_later_stages(stages: Sequence[str]) -> Tuple[str, ...]:
    """Returns the stages from the first one of `stages` on; none if there is none.

    >>> with_later_stages(["evaluate"])
    ('evaluate', 'export')
    """
    first = min((STAGES.index(stage) for stage in stages), default=len(STAGES))
    return STAGES[first:]


@dataclasses.dataclass(frozen=True)
class Config:
    """All options, by group."""

    run: RunOptions = group(RunOptions(), "Run")
    data: DataOptions = group(DataOptions(), "Data")
    augment: AugmentOptions = group(AugmentOptions(), "Views")
    model: ModelOptions = group(ModelOptions(), "Model")
    loss: LossOptions = group(LossOptions(), "Contrastive loss")
    pretrain: StageOptions = group(
        StageOptions(),
        "Training the encoder (stage 'pretrain')",
        name_of=lambda field: name_in_stage("pretrain", field),
    )
    linear: StageOptions = group(
        StageOptions(epochs=50, learning_rate=1.0, warmup_epochs=0.0, weight_decay=0.0),
        "Training the linear classifier on the frozen encoder (stage 'linear')",
        name_of=lambda field: name_in_stage("linear", field),
        help={"weight_decay": "Weight decay of the classifier."},
    )
    training: TrainingOptions = group(TrainingOptions(), "Training")
    hardware: HardwareOptions = group(HardwareOptions(), "Hardware")

    def stage(self, name: str) -> StageOptions:
        """Returns the options of a training stage: 'pretrain' or 'linear'."""
        return {"pretrain": self.pretrain, "linear": self.linear}[name]
