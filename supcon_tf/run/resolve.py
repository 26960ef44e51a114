"""The final options of a run: flags, then the record of the run that is resumed, then the data set's defaults.

    options given ─► record of the resumed run ─► defaults of the data set ─► Config

Each of the three only fills in what those before it leave open.
"""

from typing import Any, Dict, Mapping, Optional, Tuple

from supcon_tf import config as config_lib
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
    own_encoder = config.model.encoder in config_lib.ENCODERS
    held_out = [spec for spec in (options.validation_split, options.eval_split) if spec]
    splits = (defaults.train_split or "").split("+")
    overlaps = any(name in spec for spec in held_out for name in (*splits, "all") if name)
    return {
        "crop_min_area": defaults.crop_min_area,
        "eval_crop": defaults.eval_crop,
        "image_size": defaults.image_size,
        "stem": defaults.stem if options.image_size is None and own_encoder else "auto",
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


def check_labels(config: config_lib.Config, data: load.ImageData) -> None:
    """Rejects options that the labels of the data set do not allow.

    Raises:
      ArgumentError: an option needs a single label per image, and the images have several labels or none.
    """
    options, dataset = config.data, config.data.dataset
    if options.label_noise and len(data.class_names) < 2:
        raise ArgumentError("label_noise", options.label_noise, f"the images of {dataset} have no labels")
    if not data.multi_label:
        return
    trains_encoder = "pretrain" in config.run.stages or not config_lib.uses_pretrained_encoder(config)
    if config.run.mode == "supcon" and trains_encoder:
        raise ArgumentError(
            "mode",
            "supcon",
            f"needs one class per image, and those of {dataset} have several; use mode simclr or ce",
        )
    for name, value, default in (
        ("label_noise", options.label_noise, 0.0),
        ("label_smoothing", config.training.label_smoothing, 0.0),
        ("classes_per_batch", options.classes_per_batch, None),
        ("mix", config.augment.mix, "none"),
    ):
        if value != default:
            raise ArgumentError(
                name, value, f"needs one class per image, and those of {dataset} have several; leave it out"
            )
