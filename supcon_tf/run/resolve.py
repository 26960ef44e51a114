"""Resolves the options of a run: flags, then the record of the run that is resumed, then the data set's defaults.

    options given ─► record of the resumed run ─► defaults of the data set ─► images of the data set ─► Config

Each of the four only fills in what those before it leave open. The images decide more of the options that neither a
flag nor a recipe sets (`supcon_tf.run.decide`), if the caller names these.
"""

import contextlib
import os
from typing import Any, Collection, Dict, Mapping, NamedTuple, Optional, Tuple

from supcon_tf import config as config_lib
from supcon_tf.data import catalogue, folder, load
from supcon_tf.data.folder_files import PREFIX
from supcon_tf.data.look import Look, look_at
from supcon_tf.errors import ArgumentError
from supcon_tf.run import decide, give_way, weights
from supcon_tf.training import warm_start

LARGEST_DEFAULT_IMAGE = 224

# Options that may be left open, with 'auto' or None, and that the data set then decides. For some, 'auto' or None is
# also a decision: the encoder then chooses the stem, the training images give the constants of whitening.
DECIDED_BY_DATA = ("crop_min_area", "eval_crop", "flip", "image_size", "stem", "whitening", "train_split")


class Resolved(NamedTuple):
    """Holds a run's final options and its data set.

    Attributes:
      config: the final options.
      data: the data set.
      look: what was seen of its images; None if they decide nothing now.
      decisions: option name → value that the images decided, and why.
      gave_way: option name → change of a value that nobody has given by hand and that did not fit the images.
    """

    config: config_lib.Config
    data: load.ImageData
    look: Optional[Look] = None
    decisions: Mapping[str, decide.Decision] = {}
    gave_way: Mapping[str, give_way.Change] = {}


def resolve_config(
    config: config_lib.Config,
    record: Optional[Mapping[str, Any]] = None,
    *,
    prepare: bool = True,
    undecided: Collection[str] = (),
    not_by_hand: Collection[str] = (),
    devices: decide.Devices = decide.ONE_CPU,
) -> Resolved:
    """Resolves the options and loads the data set. Checks as much as possible before it prepares any data.

    Args:
      config: the options as they were given.
      record: the record of the run that is resumed; None for a new run.
      prepare: whether to prepare the data; False only reads what is known of the data set.
      undecided: names of options that neither a flag nor a recipe sets, and that the images may decide.
      not_by_hand: names of options that give way where they do not fit the images; see `supcon_tf.run.give_way`.
      devices: what the devices are good at.

    Raises:
      ArgumentError: an option contradicts what the data set decides, or does not fit it.
      UserError: the data cannot be had.
    """
    resolved = _resolve(config, record, prepare=prepare, undecided=undecided, devices=devices)
    config, data = resolved.config, resolved.data
    if set(give_way.NAMES) & set(not_by_hand):
        images = _number_of_images(config.data, data)
        changes = give_way.batch_sizes(config, images, devices.replicas, not_by_hand=not_by_hand, record=record)
        config = with_values(config, {name: change.now for name, change in changes.items()})
        resolved = resolved._replace(config=config, gave_way=changes)
    if config.data.classes_per_batch != "auto":
        return resolved
    if record is not None:
        return resolved._replace(config=with_values(config, {"classes_per_batch": record["classes_per_batch"]}))
    number = classes_per_batch(config, len(data.class_names), devices.replicas)
    decided = {"classes_per_batch": decide.Decision(number, "auto: two images or more of each in a batch")}
    config = with_values(config, {"classes_per_batch": number})
    return resolved._replace(config=config, decisions={**resolved.decisions, **decided})


def classes_per_batch(config: config_lib.Config, num_classes: int, replicas: int) -> int:
    """Returns the largest number of classes that can share a batch equally, with two images or more of each.

    Args:
      config: options with a final batch size.
      num_classes: number of classes.
      replicas: number of replicas, which share the batch.
    """
    images = give_way.labelled(config, "pretrain", config.pretrain.batch_size, replicas)
    numbers = range(min(num_classes, images // 2), 0, -1)
    return next((number for number in numbers if images % number == 0), 1)


def _resolve(
    config: config_lib.Config,
    record: Optional[Mapping[str, Any]],
    *,
    prepare: bool,
    undecided: Collection[str],
    devices: decide.Devices,
) -> Resolved:
    """Resolves all that the record, the data set and its images decide; the arguments are those of `resolve_config`."""
    defaults = catalogue.dataset_defaults(config.data.dataset)
    config = with_defaults(config, defaults, record)
    own_precision = config_lib.is_path(config.model.encoder)  # that of the file
    config = _fill_in(config, {"precision": "float32" if own_precision else devices.precision})
    check_single_label(config)
    labels = config.run.mode != "simclr"
    # The size of a folder's copies depends on the image size, which its images may have to decide.
    waits = prepare and folder.is_folder(config.data.dataset) and config.data.image_size is None
    data = load.load(config.data, labels=labels, prepare=prepare and not waits)
    check_label_noise(config.data, data)
    look: Optional[Look] = None
    decisions: Dict[str, decide.Decision] = {}
    if record is not None:
        decisions = {name: decide.Decision(*entry) for name, entry in record.get("decided", {}).items()}
    elif undecided:
        look = look_at(data, _number_of_images(config.data, data))
        decisions = {**decide.decide(look, config, undecided, devices), **_as_warm_start(config.model)}
    budgeted = decide.BUDGETED if config.run.budget is not None else ()
    undecided = {*undecided, *budgeted}
    not_here = ("linear_solver",) if data.multi_label else ()
    decisions = {name: entry for name, entry in decisions.items() if name in undecided and name not in not_here}
    with contextlib.suppress(*([] if record is None else [ArgumentError])):  # as in `with_defaults`
        config = with_values(config, {name: decision.value for name, decision in decisions.items()})
    config = _fill_in(config, {"image_size": default_image_size(data)})
    if waits:
        data = load.load(config.data, labels=labels, builder=data.builder)
        if look is not None and load.has_skipped(data):
            look = look_at(data, _number_of_images(config.data, data))
    return Resolved(config, data, look, decisions)


def _number_of_images(options: config_lib.DataOptions, data: load.ImageData) -> int:
    images = data.num_examples(data.train_split)
    return images if options.max_examples is None else min(images, options.max_examples)


def _as_warm_start(options: config_lib.ModelOptions) -> Dict[str, decide.Decision]:
    """Returns the model options of the run whose weights this one starts from, so that they fit."""
    if options.warm_start is None:
        return {}
    record = warm_start.find(options.warm_start).record
    names = ("encoder", "encoder_width", "stem", "projection_layers", "image_size", "normalize_embedding")
    return {name: decide.Decision(record[name], "as in the run of {warm_start}") for name in names}


def with_values(config: config_lib.Config, changed: Mapping[str, Any]) -> config_lib.Config:
    """Returns the options with some values replaced; lists, as JSON gives them, become tuples."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in changed.items()}
    return config_lib.from_values({**config_lib.values(config), **values})


def with_defaults(
    config: config_lib.Config, defaults: catalogue.DatasetDefaults, record: Optional[Mapping[str, Any]]
) -> config_lib.Config:
    """Returns the options with the data set's default for each that is left open.

    Args:
      config: the options as they were given.
      defaults: what is known of the data set.
      record: the record of the run that is resumed, which keeps what was decided when it began; None for a new run.

    Raises:
      ArgumentError: an option contradicts what the data set decides.
    """
    if record is not None:
        with contextlib.suppress(ArgumentError):  # other options than the run's, which the comparison of both names
            return _fill_in(config, {name: record[name] for name in (*DECIDED_BY_DATA, "precision")})
    return _fill_in(config, _decided_by(defaults, config))


def _fill_in(config: config_lib.Config, decided: Mapping[str, Any]) -> config_lib.Config:
    """Returns the options with the values of `decided` for those that are still open."""
    values = config_lib.values(config)
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
        "flip": "on" if defaults.flip else "off",
        "image_size": defaults.image_size,
        "stem": defaults.stem if options.image_size is None and has_stem else "auto",
        "whitening": "auto",
        "train_split": None if overlaps else defaults.train_split,
    }


def default_image_size(data: load.ImageData) -> int:
    """Returns the side of the squares that the encoder sees: that of the images, up to 224 pixels."""
    height, width, _ = data.image_shape
    own_size = max(height or LARGEST_DEFAULT_IMAGE, width or LARGEST_DEFAULT_IMAGE)
    return min(own_size, LARGEST_DEFAULT_IMAGE)


def image_shape(options: config_lib.DataOptions, data: load.ImageData) -> Tuple[int, int, int]:
    """Returns height, width and channels of what the encoder sees, from resolved options."""
    assert options.image_size is not None
    return options.image_size, options.image_size, data.image_shape[2]


def check_single_label(config: config_lib.Config) -> None:
    """Rejects options that need a single label per image for a data set with several. Prepares and downloads nothing.

    Raises:
      ArgumentError: names the first such option.
    """
    options, mode, mix = config.data, config.run.mode, config.augment.mix
    solver = config.training.linear_solver
    values = {
        "mode": mode if mode == "supcon" and weights.trains_encoder(config) else None,
        "label_noise": options.label_noise,
        "label_smoothing": config.training.label_smoothing,
        "class_balance": config.training.class_balance,
        "classes_per_batch": options.classes_per_batch,
        "linear_solver": solver if solver != "sgd" else None,
        "mix": mix if mix != "none" else None,
    }
    given = [(name, value) for name, value in values.items() if value]
    if given and load.is_multi_label(options):
        name, value = given[0]
        advice = "use simclr or ce" if name == "mode" else "leave it out"
        problem = f"needs a single label per image, but images of {{dataset}} may have several; {advice}"
        raise ArgumentError(name, value, problem, dataset=options.dataset)


def check_places(options: config_lib.DataOptions, run_dir: str) -> None:
    """Rejects a place for files of ours inside the user's folder of images, of which they would become a part.

    Raises:
      ArgumentError: names the option.
    """
    if not options.dataset.startswith(PREFIX):
        return
    folder = os.path.expanduser(options.dataset[len(PREFIX) :])
    for name, path in (("run_dir", run_dir), ("data_dir", load.data_dir(options))):
        if "://" in folder or "://" in path:
            inside = path.startswith(f"{folder.rstrip('/')}/")
        else:
            inside = f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(folder)}/")
        if inside:
            problem = "lies inside {dataset}, where its files would count as images; give another folder"
            raise ArgumentError(name, path, problem, dataset=options.dataset)


def check_label_noise(options: config_lib.DataOptions, data: load.ImageData) -> None:
    """Rejects label noise where there are no labels.

    Raises:
      ArgumentError: the images have no labels.
    """
    if options.label_noise and len(data.class_names) < 2:
        raise ArgumentError("label_noise", options.label_noise, f"the images of {options.dataset} have no labels")
