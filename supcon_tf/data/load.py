"""Turns the data options into a prepared data set, with the splits for training, validation and evaluation."""

import dataclasses
import os
from typing import List, Optional, Tuple

import tensorflow as tf
import tensorflow_datasets as tfds

import supcon_tf.data.digits  # noqa: F401 (registers 'digits' with TFDS)
from supcon_tf.config import DataOptions
from supcon_tf.data import findings as folder_findings
from supcon_tf.data import folder
from supcon_tf.data.features import choose_features, is_sequence_of_classes
from supcon_tf.data.find import find_builder
from supcon_tf.data.folder_files import PREFIX
from supcon_tf.data.prepare import prepare_data, quiet_tfds, set_known_sizes
from supcon_tf.data.splits import choose_splits
from supcon_tf.errors import UserError, arguments_called

UNLABELLED_SPLITS = ("unlabelled", "unlabeled")


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A prepared data set, and which parts of it a run uses for what.

    Attributes:
      builder: reads the data set.
      image_key, label_key: names of its features; the label key is None if no image has a label.
      class_names: names of the classes, in the order of the labels; empty if no image has a label.
      image_shape: `(height, width, channels)` of decoded images; None for sizes that vary; 1 or 3 channels.
      train_split, validation_split, eval_split: in TFDS's slicing syntax; None if there is no such part.
      multi_label: whether an image may have several classes, or none; its label is then a sequence.
      no_difficult_key: name of the feature that lists an image's classes without those marked difficult; None if the
        data set has no such feature. Only data sets with several classes per image have it.
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
        """Returns the number of images in `split`, which may be a slice."""
        return self.builder.info.splits[split].num_examples


def load(
    options: DataOptions,
    *,
    labels: bool,
    prepare: bool = True,
    builder: Optional[tfds.core.DatasetBuilder] = None,
) -> ImageData:
    """Finds the data set, prepares it if needed, and chooses its splits.

    >>> load(DataOptions(dataset="digits"), labels=True).num_examples("train")
    1197

    Args:
      options: the options about data.
      labels: whether the images must have labels.
      prepare: whether to download and write the data set if it is not prepared. With False nothing is written; sizes
        then come from TFDS or from `catalogue.SIZES`.
      builder: of the data set, if it has been found before; a folder is then not listed again.

    Raises:
      ArgumentError: the data set is unknown, unsuitable or cannot be obtained, or a split does not exist.
      UserError: its prepared copy is incomplete or damaged.
    """
    with quiet_tfds():
        builder = builder or find_builder(options, labels=labels)
        if isinstance(builder, folder.Folder) and options.image_size is not None and _only_trained_on(options):
            builder = folder.with_training_copies(builder, options.image_size)
        image_key, label_key, no_difficult_key = choose_features(options.dataset, builder, labels=labels)
        if not builder.info.splits:
            (prepare_data if prepare else set_known_sizes)(options, builder)
        try:
            train, validation, evaluation = choose_splits(options, builder, label_key)
        except (tf.errors.DataLossError, tf.errors.FailedPreconditionError) as error:  # it looks at some labels
            reason = error.message.split(" [Op:")[0].rpartition("}} ")[2]
            raise UserError(
                f"{builder.data_dir}: a file is damaged ({reason}); delete this folder to have the data prepared again"
            ) from error
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
        multi_label=label_key is not None and is_sequence_of_classes(features[label_key]),
        no_difficult_key=no_difficult_key,
    )


def has_skipped(data: ImageData) -> bool:
    """Returns whether files of a user's folder were left out when it was prepared."""
    return isinstance(data.builder, folder.Folder) and bool(data.builder.info.metadata["skipped"])


def _only_trained_on(options: DataOptions) -> bool:
    """Returns whether no image of the split 'train' of a folder is held out."""
    held_out = (options.validation_split or "", options.eval_split or "")
    others = any(name in (options.train_split or "") for name in ("validation", "test", "all"))
    return not others and not any(name in spec for spec in held_out for name in ("train", "all"))


def findings(data: ImageData) -> List[str]:
    """Returns lines on what was recognised in a user's folder; none for any other data set."""
    return folder_findings.findings(data.builder) if isinstance(data.builder, folder.Folder) else []


def data_dir(options: DataOptions) -> str:
    """Returns the folder that holds all prepared data sets."""
    return os.path.expanduser(options.data_dir or str(tfds.core.constants.DATA_DIR))


def load_unlabelled(options: DataOptions, *, prepare: bool = True) -> ImageData:
    """Loads the images of `options.unlabelled` to train on: the split 'unlabelled' if there is one, else 'train'.

    Keeps no images for validation or evaluation.

    Args:
      options, prepare: the same arguments as those of `load`.

    Raises:
      ArgumentError, UserError: under the conditions of `load`.
    """
    name = str(options.unlabelled)
    same = _same_folder(name, options.dataset)
    whole = dataclasses.replace(
        options,
        dataset=name,
        train_split=None,
        validation_split="none",
        eval_split=None,
        # Another folder than that of `dataset` holds nothing out. The folder of `dataset` holds out the same images.
        class_level=options.class_level if same else 0,
        image_size=options.image_size if not same or _only_trained_on(options) else None,  # else another copy of it
    )
    with arguments_called(dataset="unlabelled"):
        data = load(whole, labels=False, prepare=prepare)
    splits = data.builder.info.splits
    split = next((name for name in UNLABELLED_SPLITS if name in splits), "train")
    return dataclasses.replace(data, train_split=split, eval_split=None)


def _same_folder(dataset: str, other: str) -> bool:
    """Returns whether two names of data sets stand for one folder."""
    if not dataset.startswith(PREFIX) or not other.startswith(PREFIX):
        return dataset == other
    paths = (os.path.expanduser(name[len(PREFIX) :]) for name in (dataset, other))
    return len({path if "://" in path else os.path.realpath(path) for path in paths}) == 1


def is_multi_label(options: DataOptions) -> bool:
    """Returns whether images of the data set may have several classes. Prepares and downloads nothing.

    Raises:
      ArgumentError: the data set is unknown or unsuitable.
    """
    if folder.is_folder(options.dataset):
        return False  # the folder is the class
    with quiet_tfds():
        builder = find_builder(options, labels=False)
        label_key = choose_features(options.dataset, builder, labels=False).label_key
    return label_key is not None and is_sequence_of_classes(builder.info.features[label_key])
