"""Decides the options that nobody has set from the images: sizes, encoder, batch, epochs and views.

What wins: a flag by hand, then a recipe, then what this module decides, then the default. The measurements behind the
choices are in docs/results.md, "Your own images".
"""

from typing import Any, Collection, Dict, Iterator, NamedTuple, Tuple

from supcon_tf import config as config_lib
from supcon_tf.data.look import Look
from supcon_tf.run.give_way import number_or_one

SIDES = (32, 48, 64, 96, 128, 160, 224)  # sides in pixels of what an encoder sees
SMALL_SIDE = 64  # up to this side the images are small, and so is the encoder
LARGEST_SIDE_ON_CPU = 160
IMAGES_TO_SEE = 120_000  # number of images that the encoder sees in training, each in all its views
FEWEST_EPOCHS, MOST_EPOCHS = 20, 300
BATCHES_PER_EPOCH = 40
SMALLEST_BATCH, LARGEST_BATCH = 32, 256
WARMUP_SHARE = 0.02  # of the epochs
FEW_STEPS, FEW_STEPS_WARMUP = 1500, 0.1  # with fewer steps, that share: otherwise the loss may stay where it begins
MANY_IMAGES = 100_000


# Options that a budget decides.
BUDGETED = ("pretrain_epochs", "warmup_epochs", "decay_epochs")


class Devices(NamedTuple):
    """Says what the devices of a run are good at.

    Attributes:
      replicas: number of replicas.
      accelerated: whether they are GPUs or TPUs.
      precision: what 'auto' of the option `precision` stands for.
    """

    replicas: int = 1
    accelerated: bool = False
    precision: str = "float32"


class Decision(NamedTuple):
    """A value and the reason for it, in a few words."""

    value: Any
    reason: str


ONE_CPU = Devices()
Decisions = Iterator[Tuple[str, Decision]]


def decide(look: Look, config: config_lib.Config, undecided: Collection[str], devices: Devices) -> Dict[str, Decision]:
    """Chooses values for the options that are undecided.

    >>> look = Look(images=3000, class_sizes=(300,) * 10, side=28, smallest=28, largest=28, kind="tiny")
    >>> decide(look, config_lib.Config(), ["image_size"], ONE_CPU)
    {'image_size': Decision(value=32, reason='the images have about 28 pixels a side')}

    Args:
      look: what is known of the images.
      config: the options so far.
      undecided: names of options that neither a flag nor a recipe sets.
      devices: what the devices are good at.

    Returns:
      Option name → decision, for those of `undecided` that the images say something about.
    """
    found = {
        **dict(_image_size(look, config, undecided, devices)),
        **dict(_encoder(look, config, undecided, devices)),
        **dict(_views(look, config)),
        **dict(_schedule(look, config, undecided, devices)),
        **dict(_objective(look, config, undecided)),
    }
    unread = config_lib.without_effect(config)
    names = [name for name in config_lib.DECIDED_BY_IMAGES if name in undecided and name not in unread]
    return {name: found[name] for name in names if name in found}


def image_side(look: Look, devices: Devices) -> int:
    """Returns the next side of `SIDES` that is not below the images', at most `LARGEST_SIDE_ON_CPU` on a CPU."""
    sides = [side for side in SIDES if devices.accelerated or side <= LARGEST_SIDE_ON_CPU]
    return next((side for side in sides if side >= (look.side or sides[-1])), sides[-1])


def _image_size(look: Look, config: config_lib.Config, undecided: Collection[str], devices: Devices) -> Decisions:
    if config.data.image_size is not None:  # known of this data set
        return
    side = image_side(look, devices)
    reason = f"the images have about {look.side:,} pixels a side" if look.side else "images of several sizes"
    if "encoder" not in undecided and config.model.encoder.startswith("keras:"):
        side, reason = max(side, LARGEST_SIDE_ON_CPU), "models of keras.applications are made for large images"
    yield "image_size", Decision(side, reason)


def _encoder(look: Look, config: config_lib.Config, undecided: Collection[str], devices: Devices) -> Decisions:
    if "encoder" not in undecided:
        return
    side = config.data.image_size or image_side(look, devices)
    if devices.accelerated and side > SMALL_SIDE:
        name = "resnet50" if look.images >= MANY_IMAGES else "resnet18"
        yield "encoder", Decision(name, f"{look.images:,} images")
        yield "projection_layers", Decision((512, 128), f"fits {name}")
        return
    small = side <= SMALL_SIDE
    yield "encoder", Decision("small", "small images" if small else "a larger encoder takes hours on a CPU")
    yield "projection_layers", Decision((128, 64), "fits the small encoder")
    if small and side >= SIDES[0] and not devices.accelerated:
        yield "stem", Decision("stride2", "a CPU: a quarter of the time of a step")


def _views(look: Look, config: config_lib.Config) -> Decisions:
    """Yields the augmentations. Mode 'simclr' knows images of a class by their views alone, and needs strong ones."""
    options = config.augment
    mild = look.kind != "photograph"
    reason = {"tiny": "the images are tiny", "drawn": "the images look drawn", "photograph": "photographs"}[look.kind]
    if mild and config.run.mode != "simclr":
        yield "augment", Decision(("crop_flip",), f"{reason}: mild views suit them")
    else:
        yield "jitter_strength", Decision(0.5, f"{reason}: their colours may tell the class")
    if options.crop_min_area in (None, config_lib.CROP_MIN_AREA):
        area = min(0.4 if mild else 0.25, options.crop_max_area)
        yield "crop_min_area", Decision(area, f"{reason}: a smaller part may not show the class")
    if mild:
        yield "crop_aspect", Decision(1.25, f"{reason}: mild views suit them")
    if look.kind == "tiny" and options.eval_crop in (None, config_lib.EVAL_CROP):
        yield "eval_crop", Decision(1.0, f"{reason}: they have no margin to cut off")


def _schedule(look: Look, config: config_lib.Config, undecided: Collection[str], devices: Devices) -> Decisions:
    """Yields batch, epochs, warm-up and learning rate."""
    count = f"{look.images:,} training images"
    yield "batch_size", Decision(_batch_size(look, config, devices), count)
    epochs = min(max(round(IMAGES_TO_SEE / max(look.images, 1)), FEWEST_EPOCHS), MOST_EPOCHS)
    yield "pretrain_epochs", Decision(epochs, f"the encoder sees about {epochs * look.images:,} images")
    if "pretrain_epochs" not in undecided:
        epochs = config.pretrain.epochs
    batch = config.pretrain.batch_size if "batch_size" not in undecided else _batch_size(look, config, devices)
    yield "warmup_epochs", warm_up(epochs, look.images / batch)
    yield "learning_rate", Decision(0.1 if config.run.mode == "ce" else 0.3, "small batches")
    yield "weight_decay", Decision(5e-4, count)


def warm_up(epochs: int, steps_per_epoch: float) -> Decision:
    """Returns the epochs of warm-up for a number of epochs."""
    few = epochs * steps_per_epoch < FEW_STEPS
    share, reason = (FEW_STEPS_WARMUP, "few steps") if few else (WARMUP_SHARE, "a fiftieth of the epochs")
    return Decision(max(round(share * epochs, 2), 0.1), reason)


def _batch_size(look: Look, config: config_lib.Config, devices: Devices) -> int:
    """Returns a power of two for many steps, with two images of each class if possible; it fits the other options."""
    wanted = max(look.images // BATCHES_PER_EPOCH, 2 * len(look.class_sizes), SMALLEST_BATCH)
    size = min(1 << (wanted.bit_length() - 1), LARGEST_BATCH)
    unit = devices.replicas * (config.training.microbatch_size or 1) * number_or_one(config.data.classes_per_batch)
    return _multiple(min(size, look.images), unit)


def in_proportion(config: config_lib.Config, epochs: int) -> Dict[str, Decision]:
    """Returns another number of epochs of the stage 'pretrain', with warm-up and times of decay in proportion."""
    options, reason = config.pretrain, "the budget"
    share = epochs / options.epochs
    decisions = {"pretrain_epochs": Decision(epochs, reason)}
    if options.warmup_epochs:
        decisions["warmup_epochs"] = Decision(round(share * options.warmup_epochs, 3), reason)
    if options.decay_epochs is not None:
        decisions["decay_epochs"] = Decision(tuple(round(share * time, 3) for time in options.decay_epochs), reason)
    return decisions


def _multiple(number: int, unit: int) -> int:
    """Returns the largest multiple of `unit` up to `number`; `unit` if there is none."""
    return max(number // unit, 1) * unit


def _objective(look: Look, config: config_lib.Config, undecided: Collection[str]) -> Decisions:
    if config.run.mode == "supcon":
        yield "joint_ce", Decision(1.0, "on few images more accurate than the contrastive loss alone")
    in_group = [option.name for option in config_lib.options() if option.group == "linear"]
    for_sgd = {*in_group, "linear_augment", "label_smoothing", "zero_classifier"} - {"linear_weight_decay"}
    if config.run.mode != "ce" and for_sgd <= set(undecided):
        yield "linear_solver", Decision("lbfgs", "seconds instead of epochs")
