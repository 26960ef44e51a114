"""Every option, declared once: one file for each class of options; `Config` joins the classes."""

from supcon_tf.config.options.augment import CROP_MIN_AREA, EVAL_CROP, AugmentOptions
from supcon_tf.config.options.config import DECIDED_BY_IMAGES, TRAINING_STAGES, Config, name_in_stage, with_later_stages
from supcon_tf.config.options.data import DataOptions
from supcon_tf.config.options.hardware import HardwareOptions
from supcon_tf.config.options.loss import LossOptions
from supcon_tf.config.options.model import ModelOptions, check_encoder_options, encoder_options, is_path
from supcon_tf.config.options.plan import PlanOptions
from supcon_tf.config.options.run import RunOptions
from supcon_tf.config.options.stage import StageOptions
from supcon_tf.config.options.training import TrainingOptions

__all__ = [
    "CROP_MIN_AREA",
    "DECIDED_BY_IMAGES",
    "EVAL_CROP",
    "TRAINING_STAGES",
    "AugmentOptions",
    "Config",
    "DataOptions",
    "HardwareOptions",
    "LossOptions",
    "ModelOptions",
    "PlanOptions",
    "RunOptions",
    "StageOptions",
    "TrainingOptions",
    "check_encoder_options",
    "encoder_options",
    "is_path",
    "name_in_stage",
    "with_later_stages",
]
