"""Chooses the splits for training, validation and evaluation, and computes with slices."""

import sys
from typing import List, NamedTuple, Optional

import numpy as np
import tensorflow_datasets as tfds

from supcon_tf.config import DataOptions
from supcon_tf.errors import NAME_ONLY, ArgumentError, arguments_called, as_keyword
from supcon_tf.names import did_you_mean

LABELS_TO_LOOK_AT = 32  # a split counts as unlabelled if this number of its first images have no label


class Range(NamedTuple):
    """Successive images of a split: from number `start` up to `stop`, exclusive."""

    split: str
    start: int
    stop: int


class Splits(NamedTuple):
    """The parts of a data set, in TFDS's slicing syntax; None if there is no such part."""

    train: str
    validation: Optional[str]
    evaluation: Optional[str]


def choose_splits(options: DataOptions, builder: tfds.core.DatasetBuilder, label_key: Optional[str]) -> Splits:
    """Returns the splits that the options give, and chooses those that they leave open.

    A chosen split shares no image with a given one. Evaluation takes 'test', else 'validation', else the last tenth of
    the training split. Training takes 'train', except images for validation or evaluation.

    Args:
      options: the options about data.
      builder: of the data set.
      label_key: name of the label; None if no image has one; the images then cannot be evaluated on.

    Raises:
      ArgumentError: a split does not exist, is empty, or leaves no images for another.
    """
    splits = builder.info.splits
    if options.train_split is None and "train" not in splits:
        raise ArgumentError(
            "dataset",
            options.dataset,
            f"has no split 'train', only {', '.join(splits)}; give {{train_split}} and {{eval_split}}",
            train_split=NAME_ONLY,
            eval_split=NAME_ONLY,
        )
    train, evaluation = options.train_split, options.eval_split
    given = _ranges_of("train_split", builder, train)
    home = given[0].split if given else "train"
    whole = Range(home, 0, splits[home].num_examples)
    last_tenth = f"{home}[90%:]"
    if evaluation is not None:
        _check_is_labelled(evaluation, builder, label_key)
    elif label_key:
        evaluation = _default_evaluation(builder, label_key, given, whole, last_tenth)
        if not evaluation:
            raise ArgumentError(
                "train_split", train, "leaves no images to evaluate on; give {eval_split}", eval_split=NAME_ONLY
            )
        if evaluation == last_tenth and given == [whole]:
            train = None
    taken = given + _ranges_of("eval_split", builder, evaluation)
    validation = _validation(options.validation_split, builder, label_key, taken)
    if train is None:
        train = _default_training(builder, validation, evaluation, whole, last_tenth)
    if sum(stop - start for _, start, stop in _ranges_of("train_split", builder, train)) < 2:
        raise ArgumentError("train_split", train, "one image is not enough to train on")
    _warn_of_overlap(builder, train, validation, evaluation)
    return Splits(train, validation, evaluation)


def ranges(builder: tfds.core.DatasetBuilder, split: Optional[str]) -> List[Range]:
    """Returns the images that a split or slice stands for; no range for None.

    Raises:
      ArgumentError: `split` is not understood, or stands for no images.
    """
    if split is None:
        return []
    splits = builder.info.splits
    for part in split.split("+"):
        name = part.split("[")[0].strip()
        if name not in splits and name != "all":
            problem = f"there is no split '{name}', only {', '.join(splits)}{did_you_mean(name, splits)}"
            raise ArgumentError("split", split, problem)
    try:
        parsed = tfds.core.ReadInstruction.from_spec(split)
    except Exception as error:
        example = "'train', 'train[:10%]', 'train[1000:2000]', 'train+test[:50%]'"
        raise ArgumentError("split", split, f"not a slice such as {example}") from error
    try:
        absolute = parsed.to_absolute(splits)
    except ValueError as error:
        raise ArgumentError("split", split, str(error)) from error
    found = [
        Range(part.splitname, part.from_ or 0, splits[part.splitname].num_examples if part.to is None else part.to)
        for part in absolute
    ]
    if any(start >= stop for _, start, stop in found):
        # TFDS would read a slice that ends before it starts up to the end of the split.
        sizes = ", ".join(f"{name}: {info.num_examples:,}" for name, info in splits.items())
        raise ArgumentError("split", split, f"it, or a part of it, has no images (images by split: {sizes})")
    return found


def positions(builder: tfds.core.DatasetBuilder, spec: Optional[str], split: str) -> np.ndarray:
    """Returns the positions in the whole of `split` of the images of `spec`, in its order; −1 for other splits."""
    parts = [
        np.arange(start, stop) if name == split else np.full(stop - start, -1)
        for name, start, stop in ranges(builder, spec)
    ]
    return np.concatenate([np.empty([0], np.int64), *parts])


def _ranges_of(option: str, builder: tfds.core.DatasetBuilder, split: Optional[str]) -> List[Range]:
    """Returns the ranges of a split; errors name the option that gives it."""
    with arguments_called(split=option):
        return ranges(builder, split)


def _check_is_labelled(evaluation: str, builder: tfds.core.DatasetBuilder, label_key: Optional[str]) -> None:
    """Raises ArgumentError if the split to evaluate on has no labels although other splits have."""
    if _ranges_of("eval_split", builder, evaluation) and label_key and not _is_labelled(builder, evaluation, label_key):
        raise ArgumentError("eval_split", evaluation, "its labels are not public, so it cannot be evaluated on")


def _default_evaluation(
    builder: tfds.core.DatasetBuilder, label_key: str, given: List[Range], whole: Range, last_tenth: str
) -> str:
    """Returns a split for evaluation that shares no image with the `given` ones, which the user trains on."""
    for split in ("test", "validation"):
        if _is_free(builder, split, label_key, given):
            return split
    if given in ([], [whole]) or not _overlap(_ranges_of("eval_split", builder, last_tenth), given):
        return last_tenth
    return _without(whole, given)


def _validation(
    given: Optional[str], builder: tfds.core.DatasetBuilder, label_key: Optional[str], taken: List[Range]
) -> Optional[str]:
    """Returns the split to validate on, if any. 'validation' is the default where a 'test' is there to evaluate on."""
    if given is not None:
        return None if given == "none" else given
    is_default = "test" in builder.info.splits and _is_free(builder, "validation", label_key, taken)
    return "validation" if is_default else None


def _default_training(
    builder: tfds.core.DatasetBuilder,
    validation: Optional[str],
    evaluation: Optional[str],
    whole: Range,
    last_tenth: str,
) -> str:
    """Returns the split to train on: `whole`, except images for validation or evaluation."""
    validated = _ranges_of("validation_split", builder, validation)
    evaluated = _ranges_of("eval_split", builder, evaluation)
    train = f"{whole.split}[:90%]" if evaluation == last_tenth else whole.split
    if not _overlap(_ranges_of("train_split", builder, train), validated + evaluated):
        return train
    train = _without(whole, validated + evaluated)
    if not train:
        name, value = ("eval_split", evaluation) if _overlap([whole], evaluated) else ("validation_split", validation)
        raise ArgumentError(name, value, "leaves no images to train on; give {train_split}", train_split=NAME_ONLY)
    return train


def _warn_of_overlap(
    builder: tfds.core.DatasetBuilder, train: str, validation: Optional[str], evaluation: Optional[str]
) -> None:
    """Prints a warning if images to train on are also for validation or evaluation, as the user asked for."""
    trained_on = _ranges_of("train_split", builder, train)
    shared = [
        as_keyword(option, split)
        for option, split in (("validation_split", validation), ("eval_split", evaluation))
        if _overlap(trained_on, _ranges_of(option, builder, split))
    ]
    if shared:
        print(f"Warning: {as_keyword('train_split', train)} shares images with {' and '.join(shared)}", file=sys.stderr)


def _is_free(builder: tfds.core.DatasetBuilder, split: str, label_key: Optional[str], taken: List[Range]) -> bool:
    """Returns whether a split exists, has labels if `label_key` is given, and shares no image with the taken ones."""
    return (
        split in builder.info.splits
        and not _overlap(_ranges_of("eval_split", builder, split), taken)
        and (label_key is None or _is_labelled(builder, split, label_key))
    )


def _overlap(some: List[Range], others: List[Range]) -> int:
    """Returns the number of images in both."""
    return sum(
        max(0, min(stop, other_stop) - max(start, other_start))
        for name, start, stop in some
        for other, other_start, other_stop in others
        if name == other
    )


def _without(whole: Range, taken: List[Range]) -> str:
    """Returns the rest of a split, in TFDS's slicing syntax; empty if nothing is left."""
    name, position, end = whole
    rest = []
    for _, start, stop in sorted(part for part in taken if part.split == name):
        if position < start:
            rest.append(f"{name}[{position}:{start}]")
        position = max(position, stop)
    if position < end:
        rest.append(f"{name}[{position}:{end}]")
    return "+".join(rest)


def _is_labelled(builder: tfds.core.DatasetBuilder, split: str, label_key: str) -> bool:
    """Returns whether a split has labels. Some test sets have secret ones, which TFDS writes as −1."""
    if not builder.data_path.exists():
        return True  # its sizes come from `set_known_sizes`, which lists labelled splits only
    only_labels = tfds.decode.PartialDecoding({label_key: True})
    examples = builder.as_dataset(split=split, decoders=only_labels).take(LABELS_TO_LOOK_AT)
    return any(np.any(example[label_key] >= 0) for example in examples.as_numpy_iterator())
