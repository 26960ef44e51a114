"""Compares the classes that a run trains on with those that it is evaluated on."""

from typing import List, Sequence

import numpy as np

from supcon_tf.data import records
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import ArgumentError, printable

LARGEST_BYTES = 1 << 30  # labels of larger data sets are not read beforehand, since that takes minutes
NAMED = 3  # number of classes that are named; the others are only counted


def check_classes(images: TrainingImages) -> List[str]:
    """Returns warnings about classes that have held-out images but no training image, or the other way round.

    Reads the labels of all images. Data sets of more than `LARGEST_BYTES` and images with several classes are not
    looked at.

    Raises:
      ArgumentError: no class has both. Names the option `eval_split`.
    """
    data = images.data
    large = int(data.builder.info.dataset_size) > LARGEST_BYTES
    if data.eval_split is None or data.label_key is None or data.multi_label or large:
        return []
    labels = images.index.labels if images.kept is None else images.index.labels[images.kept]
    trained_on = np.unique(labels[labels >= 0])
    held_out = records.read_index(data, data.eval_split).labels
    evaluated = np.unique(held_out[held_out >= 0])
    never_right = np.setdiff1d(evaluated, trained_on)
    if len(evaluated) and len(never_right) == len(evaluated):
        raise ArgumentError(
            "eval_split",
            data.eval_split,
            "none of its classes has an image in {train_split}, so no prediction can be right; give other splits",
            train_split=data.train_split,
        )
    unseen = np.setdiff1d(trained_on, evaluated)
    found = (
        ("held-out classes without a training image, which are always wrong", never_right, evaluated),
        ("classes without a held-out image, which are not evaluated", unseen, trained_on),
    )
    return [_warning(*problem, data.class_names) for problem in found if len(problem[1])]


def _warning(problem: str, classes: np.ndarray, whole: np.ndarray, names: Sequence[str]) -> str:
    named = ", ".join(names[label] for label in classes[:NAMED])
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return printable(f"Warning: {problem}: {len(classes):,} of {len(whole):,}: {named}{more}")
