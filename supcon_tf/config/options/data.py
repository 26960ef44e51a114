"""Options of the data."""

import dataclasses
from typing import Optional

from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Data set, splits, and how images are read."""

    dataset: str = option(
        "digits",
        "Data set: 'digits' (embedded), the name of an image-classification data set of TensorFlow Datasets, or "
        "folder:PATH. The folder holds PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/*. Mode 'simclr' also "
        "accepts PATH/* without classes.",
    )
    class_level: Optional[int] = option(
        None,
        "Level of the folders of folder:PATH that are the classes, counted from 1 below the split, or below PATH where "
        "there are no splits. Folders of one name at that level are one class. 0: the images have no classes, for mode "
        "'simclr'. Default: the first level, unless it looks like splits or repeats itself; the run then stops.",
        minimum=0,
    )
    data_dir: Optional[str] = option(
        None,
        "Folder where TensorFlow Datasets keeps prepared data. Default: ~/tensorflow_datasets.",
        identity=False,
    )
    source_files: Optional[str] = option(
        None,
        "Folder with the original files of the data set, for machines that cannot download them. Each file is checked "
        "against its checksum in TensorFlow Datasets, if it has one.",
        identity=False,
    )
    train_split: Optional[str] = option(
        None,
        "Training images in the slicing syntax of TensorFlow Datasets, for example 'train[:10%]'. Default: 'train'; "
        "for dtd and oxford_flowers102 'train+validation'.",
    )
    validation_split: Optional[str] = option(
        None,
        "Images to evaluate on during training, or 'none'. Default: 'validation' if the data set has both "
        "'validation' and 'test', otherwise 'none'.",
    )
    eval_split: Optional[str] = option(
        None,
        "Images for the final figures. Default: 'test', otherwise 'validation', otherwise the last tenth of 'train', "
        "which is then left out of training.",
    )
    image_size: Optional[int] = option(
        None,
        "Height and width in pixels of the images that the encoder sees. Default: the size of the data set if it is "
        "fixed and at most 224, otherwise 224.",
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
        "Maximum number of training images: the first ones of each class, in the proportions of the data set, with at "
        "least one per class if possible. A smaller number selects a subset of a larger one, for every --seed. "
        "Default: all.",
        minimum=2,
    )
    label_noise: float = option(
        0.0,
        "Share of training images whose label is replaced by a random other class, fixed for the whole run.",
        minimum=0,
        maximum=1,
    )
    classes_per_batch: Optional[int] = option(
        None,
        "Number of classes in each batch of the stage 'pretrain', drawn at random for each batch, with the same number "
        "of images each. The number of steps in an epoch does not change. Default: images are drawn regardless of "
        "class.",
        minimum=1,
    )
    unlabelled: Optional[str] = option(
        None,
        "Additional images without labels for mode 'supcon'; each is a class by itself in the contrastive loss. Give "
        "a data set by name (its split 'unlabelled', otherwise 'train') or folder:PATH. The name of --dataset selects "
        "its images that are neither trained on with labels nor evaluated on. An epoch remains one pass over the "
        "images of --dataset.",
    )
    unlabelled_share: float = option(
        0.5,
        "Share of each batch that comes from --unlabelled, rounded to a whole number of images per replica.",
        above=0,
        maximum=0.99,
    )
    cache: str = option(
        "auto",
        "Where encoded training images are kept: in 'memory', or 'off' to read them again in each epoch. 'auto' uses "
        "memory if they take at most a quarter of what is available. Changes the time only.",
        choices=("auto", "memory", "off"),
        identity=False,
    )
    on_bad_image: str = option(
        "stop",
        "Reaction to an image that cannot be decoded: 'stop' and name it, or 'skip' it. Skipped images are "
        "named and counted. Files of folder:PATH are left out; in other data sets a grey image without label takes the "
        "place.",
        choices=("stop", "skip"),
        identity=False,
    )
