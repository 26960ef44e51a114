"""Options of the data."""

import dataclasses
from typing import Optional, Union

from supcon_tf.config.field import option
from supcon_tf.errors import ArgumentError


def _check_classes_per_batch(value: str) -> None:
    """Raises ArgumentError for a text that stands for no number of classes."""
    if value != "auto":
        raise ArgumentError("classes_per_batch", value, "must be a whole number or auto")


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Data set, splits, and how images are read."""

    dataset: str = option(
        "digits",
        "Data set: 'digits' (embedded), the name of an image-classification data set of TensorFlow Datasets, or "
        "folder:PATH. The folder holds PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/*. Mode 'simclr' also "
        "accepts PATH/* without classes. csv:FILE is a table (CSV, TSV, JSON Lines or Parquet) with a column for the "
        "path, one for the class and, if wanted, one called split.",
    )
    path_column: Optional[str] = option(
        None,
        "Column of csv:FILE with the path of the image, relative to the table. Default: the column called path, file "
        "or the like.",
        none="automatic",
    )
    label_column: Optional[str] = option(
        None,
        "Column of csv:FILE with the class. Default: the column called label, class or the like.",
        none="automatic",
    )
    group: Optional[str] = option(
        None,
        "Images that are not torn apart, for example those of a patient or a camera: all of a group are for training, "
        "or all are held out. Otherwise near copies on both sides make every figure too good. For csv:FILE a column; "
        "for folder:PATH 'folder' for the folder below that of the class, or 'prefix:_' for what the names of files "
        "have before the first '_' or another text.",
        none="none",
    )
    class_level: Optional[int] = option(
        None,
        "Level of the class folders in folder:PATH: 1 is the first level below the split, or below PATH if there "
        "are no splits. Folders with the same name at that level are one class. 0 means images without classes, for "
        "mode 'simclr'. Default: 1. The run stops if that level seems to hold splits, or the same classes again.",
        none="automatic",
        minimum=0,
    )
    data_dir: Optional[str] = option(
        None,
        "Folder where TensorFlow Datasets keeps prepared data. Default: TFDS_DATA_DIR if it is set, otherwise "
        "~/tensorflow_datasets.",
        none="automatic",
        identity=False,
    )
    source_files: Optional[str] = option(
        None,
        "Folder with the original files of the data set, for machines that cannot download them. Each file is checked "
        "against its checksum in TensorFlow Datasets, if it has one.",
        none="none",
        identity=False,
    )
    train_split: Optional[str] = option(
        None,
        "Training images in the slicing syntax of TensorFlow Datasets, for example 'train[:10%]'. Default: 'train'; "
        "for dtd and oxford_flowers102 'train+validation'.",
        none="automatic",
    )
    validation_split: Optional[str] = option(
        None,
        "Images to evaluate on during training, or 'none'. Default: 'validation' if the data set has both "
        "'validation' and 'test', otherwise 'none'.",
        none="automatic",
    )
    eval_split: Optional[str] = option(
        None,
        "Images for the final figures. Default: 'test', otherwise 'validation', otherwise the last tenth of 'train', "
        "which is then left out of training.",
        none="automatic",
    )
    image_size: Optional[int] = option(
        None,
        "Height and width in pixels of the images that the encoder sees. Default: the size of the data set if it is "
        "fixed and at most 224, otherwise 224.",
        none="automatic",
        minimum=4,
    )
    whitening: str = option(
        "auto",
        "Normalise each channel to mean 0 and standard deviation 1: 'auto' or 'none'. 'auto' uses the authors' "
        "constants for cifar10 and cifar100, and no whitening for imagenet2012, digits and fashion_mnist. Other data "
        "sets use the statistics of 10,000 training images. Encoders that scale images themselves (see --encoder) are "
        "not whitened.",
        choices=("auto", "none"),
    )
    max_examples: Optional[int] = option(
        None,
        "Maximum number of training images: the first ones of each class, in the proportions of the data set, with "
        "at least one per class if possible. A smaller number selects a subset of a larger one, for every --seed.",
        none="all",
        minimum=2,
    )
    label_noise: float = option(
        0.0,
        "Share of training images whose label is replaced by a random other class, fixed for the whole run.",
        minimum=0,
        maximum=1,
    )
    classes_per_batch: Union[int, str, None] = option(
        None,
        "Number of classes in each batch of the stage 'pretrain', with the same number of images each. The classes "
        "are drawn at random for each batch. The number of steps in an epoch does not change. Without this option, "
        "images are drawn regardless of class. 'auto' takes as many classes as have two images each in a batch.",
        none="any",
        check_text=_check_classes_per_batch,
        minimum=1,
    )
    unlabelled: Optional[str] = option(
        None,
        "Additional images without labels for mode 'supcon'; each is a class by itself in the contrastive loss. "
        "Give a data set by name (its split 'unlabelled', otherwise 'train') or folder:PATH. With the name of "
        "--dataset, they are its images that are neither trained on with labels nor evaluated on. An epoch remains "
        "one pass over the images of --dataset.",
        none="none",
    )
    unlabelled_share: float = option(
        0.5,
        "Share of each batch that comes from --unlabelled, rounded to a whole number of images per replica.",
        above=0,
        maximum=0.99,
    )
    cache: str = option(
        "auto",
        "Use of memory for encoded training images: 'memory' keeps them, 'off' reads them again in each epoch, and "
        "'auto' keeps them if they take at most a quarter of the available memory. Changes the time only.",
        choices=("auto", "memory", "off"),
        identity=False,
    )
    on_bad_image: str = option(
        "stop",
        "Reaction to an image that cannot be decoded: 'stop' names it and stops, 'skip' names and counts it. A "
        "skipped file of folder:PATH is left out. In other data sets, a grey image without label takes its place.",
        choices=("stop", "skip"),
        identity=False,
    )
