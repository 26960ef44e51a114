"""Defaults of data sets by name: image size, first layers, crops, whitening, mirroring, training split.

A flag and a recipe win over a default from here. Data sets that are not listed get `DatasetDefaults()`. Names are those
of TensorFlow Datasets (TFDS), without version, and with a configuration only if it differs from the others. Imports no
TensorFlow.

Sources, by their names in the comments below:
  authors' release: google-research/supcon, the TensorFlow code of the paper: preprocessing.py, inputs.py, scripts.
  authors' CIFAR: HobbitLong/SupContrast, main_supcon.py, from which the paper's CIFAR figures come.
  transfer protocol: Kornblith et al. 2019 (Sec. A.1, Table 4), used by Chen et al. 2020 (App. B.8) and the paper.
"""

from typing import Dict, NamedTuple, Optional

from supcon_tf import config
from supcon_tf.config import NO_WHITENING, Whitening


class DatasetDefaults(NamedTuple):
    """Options whose default depends on the data set.

    Attributes:
      image_size: side in pixels of what the encoder sees; None for the images' own size, up to 224.
      stem: the encoder's first layers for images of that size; see the option `stem`.
      crop_min_area: smallest share of an image that a random crop keeps.
      eval_crop: side of the central square that evaluation sees, as a share of the shorter side.
      whitening: constants of the training images; None if they must be measured.
      flip: whether an image and its mirror image belong to one class.
      train_split: split to train on; None for 'train', except images for validation or evaluation.
      trained_on: for a data set that is for evaluation only, the data set to train on.
    """

    image_size: Optional[int] = None
    stem: str = "auto"
    crop_min_area: float = config.CROP_MIN_AREA
    eval_crop: float = config.EVAL_CROP
    whitening: Optional[Whitening] = None
    flip: bool = True
    train_split: Optional[str] = None
    trained_on: Optional[str] = None


# The authors' release: 224 pixels, 7x7 stem, crops of 8 % and more. Evaluation sees the central 224 of 256 pixels.
# Whitening is switched on, but no constants are defined, so images stay in [-1, 1].
IMAGENET = DatasetDefaults(image_size=224, stem="imagenet", whitening=NO_WHITENING)

# The authors' release and the authors' CIFAR agree: 32 pixels, 3x3 stem, crops of 20 % and more, evaluation sees the
# whole image. Both have the constants of CIFAR-10. Only the authors' CIFAR has constants of CIFAR-100, for images in
# [0, 1]: (.5071, .4867, .4408) and (.2675, .2565, .2761).
CIFAR10 = DatasetDefaults(
    image_size=32,
    stem="small",
    crop_min_area=0.2,
    eval_crop=1.0,
    whitening=Whitening((-0.0172, -0.0356, -0.107), (0.4046, 0.3988, 0.402)),
)
CIFAR100 = CIFAR10._replace(whitening=Whitening((0.0142, -0.0266, -0.1184), (0.535, 0.513, 0.5522)))

# The transfer protocol: 224 pixels, crops and evaluation as for ImageNet.
TRANSFER = DatasetDefaults(image_size=224, stem="imagenet")

CHARACTERS = DatasetDefaults(flip=False)  # a mirrored character is another one, or none

CATALOGUE: Dict[str, DatasetDefaults] = {
    "imagenet2012": IMAGENET,
    "imagenet2012_subset": IMAGENET,  # the part of 1 % or 10 % that semi-supervised learning uses
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    # The paper's transfer data sets, besides CIFAR. TFDS lacks FGVC Aircraft and Birdsnap; caltech_birds2011 is similar
    # to the latter.
    "food101": TRANSFER,
    "caltech_birds2011": TRANSFER,
    "sun397": TRANSFER,  # the protocol's split is the configuration standard-part1-120k
    "cars196": TRANSFER,
    "dtd": TRANSFER._replace(train_split="train+validation"),  # protocol: 3,760 training images, the first of 10 splits
    "oxford_iiit_pet": TRANSFER,
    "caltech101": TRANSFER,  # TFDS splits as the protocol does: 30 training images of each class
    "oxford_flowers102": TRANSFER._replace(train_split="train+validation"),  # protocol: 2,040 training images
    "voc": TRANSFER._replace(train_split="train+validation"),  # 2007, the default; protocol: 5,011 training images
    "voc/2012": TRANSFER,  # its test labels are secret, so it is evaluated on 'validation'
    # Corrupted evaluation images (Hendrycks & Dietterich 2019). The images of imagenet2012_corrupted are cropped to
    # 224 pixels already.
    "cifar10_corrupted": CIFAR10._replace(trained_on="cifar10"),
    "imagenet2012_corrupted": IMAGENET._replace(eval_crop=1.0, trained_on="imagenet2012"),
    "binarized_mnist": CHARACTERS,
    "binary_alpha_digits": CHARACTERS,
    "cmaterdb": CHARACTERS,
    # Measured constants did not help digits. Top-1 of supcon, ce and simclr, seed 0, was 99.00, 96.25 and 92.75 % with
    # them, and 99.25, 98.00 and 92.50 % without. The recipes of fashion_mnist were measured without them.
    "digits": CHARACTERS._replace(whitening=NO_WHITENING),
    "fashion_mnist": DatasetDefaults(whitening=NO_WHITENING),
    "emnist": CHARACTERS,
    "kmnist": CHARACTERS,
    "mnist": CHARACTERS,
    "mnist_corrupted": CHARACTERS,
    "omniglot": CHARACTERS,
    "svhn_cropped": CHARACTERS,
}

# Number of images of each split with labels, for a plan without the data and without the network. Sources: the data
# sets' pages and papers; TFDS itself for imagenet2012_subset and oxford_flowers102, whose validation images it chose.
SIZES: Dict[str, Dict[str, int]] = {
    "imagenet2012": {"train": 1_281_167, "validation": 50_000},
    "imagenet2012_subset": {"train": 12_811, "validation": 50_000},  # 1 %, the default
    "imagenet2012_subset/10pct": {"train": 128_116, "validation": 50_000},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "food101": {"train": 75_750, "validation": 25_250},
    "caltech_birds2011": {"train": 5_994, "test": 5_794},
    "cars196": {"train": 8_144, "test": 8_041},
    "dtd": {"train": 1_880, "validation": 1_880, "test": 1_880},
    "oxford_iiit_pet": {"train": 3_680, "test": 3_669},
    "oxford_flowers102": {"train": 1_020, "validation": 1_020, "test": 6_149},
    "voc/2007": {"train": 2_501, "validation": 2_510, "test": 4_952},
    "voc/2012": {"train": 5_717, "validation": 5_823},
    "digits": {"train": 1_197, "validation": 200, "test": 400},
    "fashion_mnist": {"train": 60_000, "test": 10_000},
    "kmnist": {"train": 60_000, "test": 10_000},
    "mnist": {"train": 60_000, "test": 10_000},
    "svhn_cropped": {"train": 73_257, "test": 26_032, "extra": 531_131},
}

# Name elsewhere, in small letters and digits → name in TFDS.
OTHER_NAMES: Dict[str, str] = {
    "cars": "cars196",
    "cub": "caltech_birds2011",
    "cub200": "caltech_birds2011",
    "cifar10c": "cifar10_corrupted",
    "flowers": "oxford_flowers102",
    "flowers102": "oxford_flowers102",
    "ilsvrc2012": "imagenet2012",
    "imagenet": "imagenet2012",
    "imagenet1k": "imagenet2012",
    "imagenetc": "imagenet2012_corrupted",
    "oxfordpets": "oxford_iiit_pet",
    "pets": "oxford_iiit_pet",
    "stanfordcars": "cars196",
    "sun": "sun397",
    "svhn": "svhn_cropped",
    "textures": "dtd",
    "voc2007": "voc/2007",
}
# Data sets of the paper that TFDS lacks.
NOT_IN_TFDS = ("aircraft", "birdsnap", "fgvcaircraft")


def dataset_defaults(dataset: str) -> DatasetDefaults:
    """Returns the defaults for a data set, whose name may have a configuration and a version.

    >>> dataset_defaults("cifar10:3.0.2").image_size
    32
    """
    return CATALOGUE.get(dataset.partition(":")[0], CATALOGUE.get(base_name(dataset), DatasetDefaults()))


def sizes(dataset: str) -> Optional[Dict[str, int]]:
    """Returns the number of images of each labelled split of a data set; None if it is unknown without the data."""
    name = dataset.partition(":")[0]
    if name == "voc":
        name = "voc/2007"  # its default
    return SIZES.get(name, None if "/" in name else SIZES.get(base_name(dataset)))


def base_name(dataset: str) -> str:
    """Returns the name alone: 'cifar10_corrupted/fog_3:1.0.0' → 'cifar10_corrupted'; 'folder' for a folder."""
    return dataset.partition(":")[0].partition("/")[0]


def other_name(dataset: str) -> Optional[str]:
    """Returns the name in TFDS of a data set that is called otherwise elsewhere: 'Stanford-Cars' → 'cars196'."""
    return OTHER_NAMES.get(_plain(dataset))


def is_known_to_be_missing(dataset: str) -> bool:
    """Returns whether the paper uses the data set but TFDS lacks it."""
    return _plain(dataset) in NOT_IN_TFDS


def _plain(dataset: str) -> str:
    """Returns the name in small letters and digits: 'FGVC_Aircraft' → 'fgvcaircraft'."""
    return "".join(character for character in base_name(dataset).lower() if character.isalnum())
