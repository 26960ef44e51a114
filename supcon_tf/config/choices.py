"""The names that options accept, for the rooms and the command line alike.

Imports no room, so that every room can read a tuple from here. Where a room has a dict from name to function, a test
compares its keys with the tuple.
"""

from typing import Dict, NamedTuple, Optional, Tuple

CONTRASTIVE_MODES = ("supcon", "simclr")
MODES = (*CONTRASTIVE_MODES, "ce")
CHECK = "check"  # looks at data and options, and trains nothing
STAGES = ("pretrain", "linear", "evaluate", "export")
PARTS = ("encoder", "projection_head", "classifier")

# Options that only some encoders take. Each encoder rejects those that it does not list.
OPTIONS_OF_SOME_ENCODERS = ("encoder_weights", "encoder_width", "stem", "sync_batch_norm")
_RESIDUAL_OPTIONS = ("encoder_width", "stem", "sync_batch_norm")
# Encoder → the options of `OPTIONS_OF_SOME_ENCODERS` that it takes
ENCODERS: Dict[str, Tuple[str, ...]] = {
    "small": _RESIDUAL_OPTIONS,
    "resnet18": _RESIDUAL_OPTIONS,
    "resnet34": _RESIDUAL_OPTIONS,
    "resnet50": _RESIDUAL_OPTIONS,
    "resnet101": _RESIDUAL_OPTIONS,
    "resnet152": _RESIDUAL_OPTIONS,
    "resnet200": _RESIDUAL_OPTIONS,
}
_KERAS_FAMILIES = {
    "ConvNeXt": ("Base", "Large", "Small", "Tiny", "XLarge"),
    "DenseNet": ("121", "169", "201"),
    "EfficientNet": ("B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7"),
    "EfficientNetV2": ("B0", "B1", "B2", "B3", "L", "M", "S"),
    "Inception": ("ResNetV2", "V3"),
    "MobileNet": ("", "V2", "V3Large", "V3Small"),
    "NASNet": ("Large", "Mobile"),
    "RegNetX": ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320"),
    "RegNetY": ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320"),
    "ResNet": ("101", "101V2", "152", "152V2", "50", "50V2"),
    "ResNetRS": ("101", "152", "200", "270", "350", "420", "50"),
    "VGG": ("16", "19"),
    "Xception": ("",),
}
# The models of keras.applications in Keras 2.15, and the options that they take
KERAS_ENCODERS = tuple(f"keras:{family}{size}" for family, sizes in _KERAS_FAMILIES.items() for size in sizes)
KERAS_ENCODER_OPTIONS = ("encoder_weights",)
STEMS = ("auto", "imagenet", "small", "stride2")
INITIALIZATIONS = ("default", "tensorflow", "pytorch")


class ContrastiveLoss(NamedTuple):
    """Describes a loss of `contrastive_loss`, for the checks of options.

    Attributes:
      takes: the options of the loss that have an effect with it. Others are rejected, or named in a warning if recipes
        set them.
      takes_with_soft_labels: those of `takes` that it also takes for mixed images, whose labels are `[batch, classes]`;
        None if it takes class numbers only.
      views: the number of views that it needs; None for any.
    """

    takes: Tuple[str, ...] = ()
    takes_with_soft_labels: Optional[Tuple[str, ...]] = None
    views: Optional[int] = None


_TEMPERATURES = ("temperature", "learn_temperature", "scale_by_temperature")
CONTRASTIVE_LOSSES: Dict[str, ContrastiveLoss] = {
    "supcon": ContrastiveLoss(
        (*_TEMPERATURES, "summation", "denominator", "anchors", "positives_cap", "queue_size"),
        takes_with_soft_labels=_TEMPERATURES,
    ),
    "npairs": ContrastiveLoss(("temperature",), views=2),
    "triplet": ContrastiveLoss(),
}
LOSS_OPTIONS_OF_RECIPES = ("temperature", "scale_by_temperature")  # allowed with any loss, because recipes set them
PRESETS = ("tiny", "small", "base", "paper", "finetune")
SUMMATIONS = ("out", "in")
DENOMINATORS = ("all", "one_positive", "only_negatives")
ANCHORS = ("all", "one")

POLICIES = (
    "simclr",
    "autoaugment",
    "autoaugment_imagenet",
    "autoaugment_cifar10",
    "randaugment",
    "stacked_randaugment",
    "crop_flip",
    "none",
)
COLOUR_POLICIES = ("simclr", "stacked_randaugment")  # those with jitter, grey and blur
JITTER_STYLES = ("torchvision", "tensorflow")
MIXES = ("none", "mixup", "cutmix")

OPTIMIZERS = ("sgd", "nesterov", "lars", "rmsprop", "adam", "adamw", "lamb")
MOMENTUM_OPTIMIZERS = ("sgd", "nesterov", "lars", "rmsprop")  # those that `momentum` applies to
LINEAR_SOLVERS = ("sgd", "lbfgs")
SCHEDULES = ("cosine", "exponential", "piecewise", "constant")

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
