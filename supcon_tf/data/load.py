"""From the data options to a prepared data set and the splits to train on, to watch and to evaluate on."""

import contextlib
import dataclasses
import difflib
import functools
import io
import os
import sys
import warnings
from typing import Iterator, List, Optional, Tuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging as absl_logging

import supcon_tf.data.digits  # noqa: F401 (makes 'digits' known to TFDS)
from supcon_tf import config
from supcon_tf.data import catalogue, folder, source_files
from supcon_tf.errors import UserError

FOLDER = "folder:"
SUGGESTIONS = 7
LABELS_TO_LOOK_AT = 32  # before a split counts as unlabelled
UNLABELLED_SPLITS = ("unlabelled", "unlabeled")
NO_DIFFICULT = "_no_difficult"  # what TFDS's VOC puts after the name of a feature of classes

NOT_FOUND = (AssertionError, FileNotFoundError, tf.errors.NotFoundError)  # what builders raise without their files

# Split, first image, image after the last.
Range = Tuple[str, int, int]


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A prepared data set, and what a run does with it.

    Attributes:
      builder: reads it.
      image_key, label_key: names of its features; no label key if nothing is labelled.
      class_names: by label; empty if nothing is labelled.
      image_shape: `(height, width, channels)` to decode to; None for sizes that vary; 1 or 3 channels.
      train_split, validation_split, eval_split: in TFDS's slicing syntax; None if there is no such part.
      multi_label: whether an image may have several classes, or none; its label is then a sequence.
      no_difficult_key: where an image has several classes, the feature that leaves out those of which it has only
        objects marked difficult; None if there is no such feature.
    """

    builder: tfds.core.DatasetBuilder
    image_key: str
    label_key: Optional[str]
    class_names: Tuple[str, ...]
    image_shape: Tuple[Optional[int], Optional[int], int]
    train_split: str
    validation_split: Optional[str]
    eval_split: Optional[str]
    multi_label: bool = False
    no_difficult_key: Optional[str] = None

    def num_examples(self, split: str) -> int:
        """Number of images in `split`, which may be a slice."""
        return self.builder.info.splits[split].num_examples


def load(
    options: config.DataOptions, *, labels: bool, one_class_for: Optional[str] = None, prepare: bool = True
) -> ImageData:
    """Finds the data set, prepares it unless it is, and settles which images are for what.

    Args:
      options: the flags about data.
      labels: whether classes are needed.
      one_class_for: what needs an image to have one class and not several, as the end of a sentence; None for nothing.
      prepare: False for who wants to know sizes, shapes and names alone. Nothing is written then, and of a data set
        that is not prepared the sizes are those that TFDS or `catalogue.SIZES` knows.

    Raises:
      UserError: an unknown, unsuitable or unobtainable data set, or a split that it does not have.
    """
    with _quiet():
        builder = _find(options, labels)
        image_key, label_key, no_difficult_key = _choose_keys(options, builder, labels, one_class_for)
        _check_is_trained_on(options)
        if not builder.info.splits and not prepare:
            _set_sizes(options, builder)
        elif not builder.info.splits:
            _prepare(options, builder)
        if isinstance(builder, folder.Folder) and prepare:
            folder.report_skipped(builder)
        train, validation, evaluation = _choose_splits(options, builder, label_key)
    features = builder.info.features
    height, width, channels = features[image_key].shape
    return ImageData(
        builder=builder,
        image_key=image_key,
        label_key=label_key,
        class_names=tuple(features[label_key].names) if label_key else (),
        image_shape=(height, width, 1 if channels == 1 else 3),
        train_split=train,
        validation_split=validation,
        eval_split=evaluation,
        multi_label=label_key is not None and _is_sequence_of_classes(features[label_key]),
        no_difficult_key=no_difficult_key,
    )


def load_unlabelled(options: config.DataOptions, *, prepare: bool = True) -> ImageData:
    """The data set of `--unlabelled`, all to train on: its split 'unlabelled' if it has that, else 'train'.

    `prepare` is as for `load`.

    Raises:
      UserError: as for `load`.
    """
    # Whatever is kept from the labelled images for evaluation, from these nothing is.
    whole = dataclasses.replace(
        options, dataset=str(options.unlabelled), train_split=None, validation_split="none", eval_split=None
    )
    try:
        data = load(whole, labels=False, prepare=prepare)
    except UserError as error:
        raise UserError(str(error).replace("--dataset=", "--unlabelled=")) from error
    splits = data.builder.info.splits
    split = next((name for name in UNLABELLED_SPLITS if name in splits), "train")
    return dataclasses.replace(data, train_split=split, eval_split=None)


def places(data: ImageData, spec: Optional[str], split: str) -> np.ndarray:
    """Where the images that `spec` means, in its order, are in the whole of `split`; −1 for those of other splits."""
    ranges = _ranges(data.builder, "train_split", spec)
    parts = [np.arange(start, stop) if name == split else np.full(stop - start, -1) for name, start, stop in ranges]
    return np.concatenate([np.empty([0], np.int64), *parts])


def _find(options: config.DataOptions, labels: bool) -> tfds.core.DatasetBuilder:
    """The builder of `--dataset`; its data may not be prepared yet."""
    name = options.dataset
    if name == FOLDER:
        raise UserError(f"--dataset={name}: the path is missing, as in folder:PATH")
    if name.startswith(FOLDER):
        path = name[len(FOLDER) :]
        return folder.builder(path, labels=labels, on_bad_image=options.on_bad_image, data_dir=options.data_dir)
    try:
        return tfds.builder(name, data_dir=options.data_dir)
    except Exception as error:
        raise UserError(f"--dataset={name}: {_why_not_found(name, error)}") from error


def _why_not_found(name: str, error: Exception) -> str:
    """What is wrong with the name of a data set, `NAME[/CONFIGURATION][:VERSION]`."""
    base, _, configuration = name.partition(":")[0].partition("/")
    data_sets = tfds.list_builders(with_community_datasets=False)
    if base not in data_sets and catalogue.hint(name):
        return f"no data set of TensorFlow Datasets{catalogue.hint(name)}"
    if base not in data_sets and isinstance(error, ValueError):
        near = difflib.get_close_matches(base.lower(), data_sets, SUGGESTIONS)
        return "no data set of TensorFlow Datasets, nor folder:PATH" + (f"; nearest: {', '.join(near)}" if near else "")
    configurations = list(tfds.builder_cls(base).builder_configs) if base in data_sets else []
    if configuration and configurations and configuration not in configurations:
        near = difflib.get_close_matches(configuration, configurations, SUGGESTIONS) or configurations[:SUGGESTIONS]
        return f"{base} has no '{configuration}'; nearest: {', '.join(f'{base}/{name}' for name in near)}"
    return _one_line(error)


def _choose_keys(
    options: config.DataOptions, builder: tfds.core.DatasetBuilder, labels: bool, one_class_for: Optional[str]
) -> Tuple[str, Optional[str], Optional[str]]:
    """Names of the features that are the image, its class or classes, and these without difficult ones.

    They are those of TFDS's supervised pair, else the only ones; several classes count where there is no single one.
    """
    features = builder.info.features
    named = features.items() if isinstance(features, tfds.features.FeaturesDict) else ()
    supervised = builder.info.supervised_keys or ()
    images = [key for key, feature in named if isinstance(feature, tfds.features.Image)]
    classes = [key for key, feature in named if isinstance(feature, tfds.features.ClassLabel)]
    images = [key for key in images if key in supervised] or images
    classes = [key for key in classes if key in supervised] or classes
    several = [key for key, feature in named if _is_sequence_of_classes(feature)] if not classes else []
    label_keys = classes or [key for key in several if not key.endswith(NO_DIFFICULT)]
    fit = len(images) == 1 and len(features[images[0]].shape) == 3 and features[images[0]].np_dtype == np.uint8
    if fit and several and one_class_for:
        raise UserError(
            f"--dataset={options.dataset}: has several classes for an image ({several[0]}); {one_class_for}"
        )
    if not fit or (labels and len(label_keys) != 1):
        found = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in named) or type(features).__name__
        wanted = "one image and one class label" if labels else "one image"
        raise UserError(f"--dataset={options.dataset}: {wanted} are needed of each example, but it has {found}")
    label_key = label_keys[0] if len(label_keys) == 1 else None
    no_difficult_key = f"{label_key}{NO_DIFFICULT}"
    return images[0], label_key, no_difficult_key if no_difficult_key in several else None


def _is_sequence_of_classes(feature: tfds.features.FeatureConnector) -> bool:
    return isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.ClassLabel)


def _check_is_trained_on(options: config.DataOptions) -> None:
    """Raises UserError for a data set that is only evaluated on, before hours are spent on preparing it."""
    clean = catalogue.dataset_defaults(options.dataset).trained_on
    if clean and options.train_split is None:
        raise UserError(
            f"--dataset={options.dataset}: has only images to evaluate on; train with --dataset={clean}, or give "
            "--train_split and --eval_split"
        )


def _prepare(options: config.DataOptions, builder: tfds.core.DatasetBuilder) -> None:
    """Downloads what is missing and writes the data set into the data directory; says so on stderr."""
    print(f"Preparing {options.dataset} in {builder.data_dir} ...", file=sys.stderr, flush=True)
    manual_dir = None
    if options.source_files and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        manual_dir = os.path.expanduser(options.source_files)
    elif options.source_files:
        source_files.place(builder, options.source_files)
    finished = builder.data_path / "dataset_info.json"
    with source_files.watched_downloads() as out_of_reach:
        try:
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
        except UserError:
            raise
        except Exception as error:
            # Another process may have prepared the same meanwhile; then its copy does.
            if not finished.exists():
                raise UserError(_why_not_prepared(options, builder, out_of_reach, error)) from error
    if not finished.exists():
        raise UserError(f"--dataset={options.dataset}: {builder.data_dir} is only half a data set; delete that folder")
    builder.info.read_from_directory(builder.data_dir)


def _set_sizes(options: config.DataOptions, builder: tfds.core.DatasetBuilder) -> None:
    """Gives the builder the sizes of its splits, as far as they are known without its data."""
    if isinstance(builder, folder.Folder):
        sizes = {split: len(files) for split, files in builder.builder_config.splits.items()}
    else:
        known = catalogue.sizes(options.dataset)
        if known is None:
            raise UserError(
                f"--dataset={options.dataset}: its number of images is not known without its data; let a run prepare "
                "it, or say which --data_dir has it prepared"
            )
        sizes = known
    splits = [tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0) for name, size in sizes.items()]
    builder.info.set_splits(tfds.core.splits.SplitDict(splits))


def _why_not_prepared(
    options: config.DataOptions, builder: tfds.core.DatasetBuilder, out_of_reach: List[str], error: Exception
) -> str:
    name = options.dataset
    if out_of_reach:
        files = source_files.describe(builder, out_of_reach)
        if options.source_files:
            return f"--source_files={options.source_files}: lacks what cannot be downloaded from here: {files}"
        return (
            f"--dataset={name}: not in --data_dir={builder.data_dir_root} and cannot be downloaded from here; fetch "
            f"{files} elsewhere and say --source_files=FOLDER, or say which --data_dir has it prepared"
        )
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and isinstance(error, NOT_FOUND):
        where = options.source_files or builder.data_dir_root / "downloads" / "manual"
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        return (
            f"--dataset={name}: its files have to be put by hand into manual_dir, which is {where} (another: "
            f"--source_files=FOLDER): {instructions}"
        )
    return f"--dataset={name}: could not be prepared: {_one_line(error)}"


def _choose_splits(
    options: config.DataOptions, builder: tfds.core.DatasetBuilder, label_key: Optional[str]
) -> Tuple[str, Optional[str], Optional[str]]:
    """The splits to train on, to watch and to evaluate on.

    What the user gives counts. What is left open shares no image with what is given.
    """
    splits = builder.info.splits
    train, watched, final = options.train_split, options.validation_split, options.eval_split
    if train is None and "train" not in splits:
        raise UserError(
            f"--dataset={options.dataset}: has no split 'train', only {', '.join(splits)}; give --train_split and "
            "--eval_split"
        )
    ranges = functools.partial(_ranges, builder)
    given = ranges("train_split", train)
    home = given[0][0] if given else "train"
    whole = [(home, 0, splits[home].num_examples)]
    last_tenth = f"{home}[90%:]"

    if final is not None:
        if ranges("eval_split", final) and label_key and not _is_labelled(builder, final, label_key):
            raise UserError(f"--eval_split={final}: its labels are not public, so there is nothing to evaluate by")
    elif label_key:
        free = [split for split in ("test", "validation") if _is_free(builder, split, label_key, given)]
        if free:
            final = free[0]
        elif given in ([], whole):
            final = last_tenth
            train = None
        else:
            final = last_tenth if not _overlap(ranges("eval_split", last_tenth), given) else _without(whole, given)
        if not final:
            raise UserError(f"--train_split={train}: leaves no images to evaluate on; give --eval_split")

    if watched == "none":
        watched = None
    elif watched is None and "test" in splits:
        taken = given + ranges("eval_split", final)
        watched = "validation" if _is_free(builder, "validation", label_key, taken) else None

    if train is None:
        train = f"{home}[:90%]" if final == last_tenth else home
        taken = ranges("validation_split", watched) + ranges("eval_split", final)
        if _overlap(ranges("train_split", train), taken):
            train = _without(whole, taken)
        if not train:
            raise UserError(f"--eval_split={final}: leaves no images to train on; give --train_split")
    given = ranges("train_split", train)
    if sum(stop - start for _, start, stop in given) < 2:
        raise UserError(f"--train_split={train}: one image is not enough to train on")
    shared = [
        f"--{flag}={spec}"
        for flag, spec in (("validation_split", watched), ("eval_split", final))
        if _overlap(given, ranges(flag, spec))
    ]
    if shared:
        print(f"Warning: --train_split={train} shares images with {' and '.join(shared)}", file=sys.stderr)
    return train, watched, final


def _is_free(builder: tfds.core.DatasetBuilder, split: str, label_key: Optional[str], taken: List[Range]) -> bool:
    """Whether there is such a split, with labels if they are needed, and none of its images is taken."""
    return (
        split in builder.info.splits
        and not _overlap(_ranges(builder, "eval_split", split), taken)
        and (label_key is None or _is_labelled(builder, split, label_key))
    )


def _ranges(builder: tfds.core.DatasetBuilder, flag: str, spec: Optional[str]) -> List[Range]:
    """The images that a split or slice means; none if it is None.

    Raises:
      UserError: it means nothing, or no images.
    """
    if spec is None:
        return []
    flag = f"--{flag}={spec}"
    splits = builder.info.splits
    for part in spec.split("+"):
        name = part.split("[")[0].strip()
        if name not in splits and name != "all":
            near = difflib.get_close_matches(name, splits, 1)
            hint = f"; perhaps '{near[0]}' is meant" if near else ""
            raise UserError(f"{flag}: there is no split '{name}', only {', '.join(splits)}{hint}")
    try:
        parsed = tfds.core.ReadInstruction.from_spec(spec)
    except Exception as error:
        example = "'train', 'train[:10%]', 'train[1000:2000]', 'train+test[:50%]'"
        raise UserError(f"{flag}: not a slice such as {example}") from error
    try:
        absolute = parsed.to_absolute(splits)
    except ValueError as error:
        raise UserError(f"{flag}: {error}") from error
    ends = [(part.splitname, part.from_ or 0, part.to) for part in absolute]
    ranges = [(name, start, splits[name].num_examples if stop is None else stop) for name, start, stop in ends]
    if any(start >= stop for _, start, stop in ranges):
        # TFDS would read a slice that ends before it starts up to the end of the split.
        sizes = ", ".join(f"{name}: {info.num_examples}" for name, info in splits.items())
        raise UserError(f"{flag}: has no images in it, or in a part of it (images by split: {sizes})")
    return ranges


def _overlap(some: List[Range], others: List[Range]) -> int:
    """Number of images in both."""
    return sum(
        max(0, min(stop, other_stop) - max(start, other_start))
        for name, start, stop in some
        for other, other_start, other_stop in others
        if name == other
    )


def _without(whole: List[Range], taken: List[Range]) -> str:
    """What remains of one split, in TFDS's slicing syntax; empty if nothing does."""
    ((name, position, end),) = whole
    rest = []
    for _, start, stop in sorted(part for part in taken if part[0] == name):
        if position < start:
            rest.append(f"{name}[{position}:{start}]")
        position = max(position, stop)
    if position < end:
        rest.append(f"{name}[{position}:{end}]")
    return "+".join(rest)


def _is_labelled(builder: tfds.core.DatasetBuilder, split: str, label_key: str) -> bool:
    """Whether a split has labels; those of some test sets are secret, which TFDS writes as -1."""
    if not builder.data_path.exists():
        return True  # of `_set_sizes`, which knows of no others
    only_labels = tfds.decode.PartialDecoding({label_key: True})
    examples = builder.as_dataset(split=split, decoders=only_labels).take(LABELS_TO_LOOK_AT)
    return any(np.any(example[label_key] >= 0) for example in examples.as_numpy_iterator())


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS's announcements off the screen, and its progress bars where nobody sees them move."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        absl_logging.set_verbosity(verbosity)
