"""The final options of a run: flags, then the record of the run that is resumed, then the data set's defaults.

    options given ─► record of the resumed run ─► defaults of the data set ─► Config

Each of the three only fills in what those before it leave open.
"""

from typing import Any, Dict, Mapping, Optional, Tuple

from supcon_tf import config as config_lib
from supcon_tf import models
from supcon_tf.data import catalogue, load
from supcon_tf.errors import ArgumentError

LARGEST_DEFAULT_IMAGE = 224

# Options that may be left open, with 'auto' or None, and that the data set then decides.
DECIDED_BY_DATA = ("crop_min_area", "eval_crop", "image_size", "stem", "whitening", "train_split")


def resolve_config(
    config: config_lib.Config, defaults: catalogue.DatasetDefaults, record: Optional[Mapping[str, Any]]
) -> config_lib.Config:
    """Returns the options with a value for each that is left open and that the data set decides.

    Args:
      config: the options as they were given.
      defaults: what is known of the data set.
      record: the record of the run that is resumed, which keeps what was decided when it began; None for a new run.

    Raises:
      ArgumentError: an option contradicts what the data set decides.
    """
    values = config_lib.values(config)
    decided = _decided_by(defaults, config) if record is None else {name: record[name] for name in DECIDED_BY_DATA}
    still_open = {name: value for name, value in decided.items() if values[name] in (None, "auto")}
    return config_lib.from_values({**values, **still_open})


def _decided_by(defaults: catalogue.DatasetDefaults, config: config_lib.Config) -> Dict[str, Any]:
    """Returns what the data set decides about a new run."""
    options = config.data
    has_stem = "stem" in config_lib.encoder_options(config.model.encoder)
    held_out = [spec for spec in (options.validation_split, options.eval_split) if spec]
    splits = (defaults.train_split or "").split("+")
    overlaps = any(name in spec for spec in held_out for name in (*splits, "all") if name)
    return {
        "crop_min_area": defaults.crop_min_area,
        "eval_crop": defaults.eval_crop,
        "image_size": defaults.image_size,
        "stem": defaults.stem if options.image_size is None and has_stem else "auto",
        "whitening": "auto",
        "train_split": None if overlaps else defaults.train_split,
    }


def image_shape(options: config_lib.DataOptions, data: load.ImageData) -> Tuple[int, int, int]:
    """Returns height, width and channels of what the encoder sees."""
    height, width, channels = data.image_shape
    own_size = max(height or LARGEST_DEFAULT_IMAGE, width or LARGEST_DEFAULT_IMAGE)
    image_size = options.image_size or min(own_size, LARGEST_DEFAULT_IMAGE)
    return image_size, image_size, channels


def flips(options: config_lib.AugmentOptions, defaults: catalogue.DatasetDefaults) -> bool:
    """Returns whether views are mirrored at random."""
    return {"on": True, "off": False, "auto": defaults.flip}[options.flip]


def check_single_label(config: config_lib.Config) -> None:
    """Rejects options that need a single label per image for a data set with several. Prepares and downloads nothing.

    Raises:
      ArgumentError: names the first such option.
    """
    options, mode, mix = config.data, config.run.mode, config.augment.mix
    trains_encoder = "pretrain" in config.run.stages or not config_lib.uses_pretrained_encoder(config)
    values = {
        "mode": mode if mode == "supcon" and trains_encoder else None,
        "label_noise": options.label_noise,
        "label_smoothing": config.training.label_smoothing,
        "classes_per_batch": options.classes_per_batch,
        "mix": mix if mix != "none" else None,
    }
    given = [(name, value) for name, value in values.items() if value]
    if given and load.is_multi_label(options):
        name, value = given[0]
        advice = "use simclr or ce" if name == "mode" else "leave it out"
        problem = f"needs a single label per image, but images of {{dataset}} may have several; {advice}"
        raise ArgumentError(name, value, problem, dataset=options.dataset)


def check_label_noise(options: config_lib.DataOptions, data: load.ImageData) -> None:
    """Rejects label noise where there are no labels.

    Raises:
      ArgumentError: the images have no labels.
    """
    if options.label_noise and len(data.class_names) < 2:
        raise ArgumentError("label_noise", options.label_noise, f"the images of {options.dataset} have no labels")
