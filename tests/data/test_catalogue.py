import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from supcon_tf.data import catalogue, digits  # noqa: F401 (makes 'digits' known to TFDS)

# The authors' values: pixels, stem, smallest share of a crop, share of the central square in evaluation, constants.
CIFAR10 = (32, "small", 0.2, 1.0, ((-0.0172, -0.0356, -0.107), (0.4046, 0.3988, 0.402)))
TABLE = {
    "imagenet2012": (224, "imagenet", 0.08, 224 / 256, ((0,), (1,))),
    "cifar10": CIFAR10,
    "cifar10_corrupted": CIFAR10,
}
# Constants for images in [0, 1], from the authors' PyTorch release.
CIFAR_IN_0_TO_1 = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}
# Kornblith et al. (2019, Table 4) train on more images than TFDS has in 'train': 3,760, 2,040 and 5,011, about twice as
# many.
TRAIN_AND_VALIDATION = ("dtd", "oxford_flowers102", "voc", "voc/2007:5.0.0")


@pytest.fixture(scope="module")
def known():
    return tfds.list_builders(with_community_datasets=False)


def test_imports_no_tensorflow():
    code = "import sys, supcon_tf.data.catalogue; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_data_set_is_one_of_tfds(known):
    assert [name for name in catalogue.CATALOGUE if catalogue.base_name(name) not in known] == []
    assert [
        defaults.trained_on for defaults in catalogue.CATALOGUE.values() if defaults.trained_on not in (None, *known)
    ] == []


def test_other_names_are_unknown_to_tfds_and_lead_to_known_ones(known):
    assert not {*catalogue.OTHER_NAMES, *catalogue.NOT_IN_TFDS} & {*known}
    for name in catalogue.OTHER_NAMES.values():
        assert tfds.builder_cls(catalogue.base_name(name))
        assert catalogue.base_name(name) in catalogue.CATALOGUE


@pytest.mark.parametrize("name", TABLE)
def test_defaults_are_those_of_the_authors_release(name):
    defaults = catalogue.dataset_defaults(name)
    assert (
        defaults.image_size,
        defaults.stem,
        defaults.crop_min_area,
        defaults.eval_crop,
        defaults.whitening,
    ) == TABLE[name]


@pytest.mark.parametrize("name", CIFAR_IN_0_TO_1)
def test_constants_of_cifar_are_those_of_both_releases(name):
    mean, std = CIFAR_IN_0_TO_1[name]
    assert catalogue.dataset_defaults(name).whitening.mean == pytest.approx([2 * m - 1 for m in mean])
    assert catalogue.dataset_defaults(name).whitening.std == pytest.approx([2 * s for s in std])


@pytest.mark.parametrize(
    "name", ["food101", "caltech_birds2011", "sun397", "cars196", "dtd", "oxford_iiit_pet", "caltech101",
             "oxford_flowers102", "voc", "voc/2007:5.0.0", "voc/2012"],
)  # fmt: skip
def test_transfer_data_sets_are_seen_as_imagenet_is_and_split_by_the_protocol(name):
    defaults, imagenet = catalogue.dataset_defaults(name), catalogue.dataset_defaults("imagenet2012")
    assert defaults._replace(train_split=None) == imagenet._replace(whitening=None)
    assert defaults.train_split == ("train+validation" if name in TRAIN_AND_VALIDATION else None)


def test_sizes_and_channels_fit_those_of_tfds(tmp_path):
    for name, defaults in catalogue.CATALOGUE.items():
        if defaults.image_size:
            height, width, channels = tfds.builder(name, data_dir=tmp_path).info.features["image"].shape
            assert (height or defaults.image_size, width or defaults.image_size) == (defaults.image_size,) * 2, name
            assert channels == 3, name
        for constants in defaults.whitening or ():
            assert len(constants) in (1, 3)


@pytest.mark.parametrize("name", ["stanford_dogs", "folder:cifar10", "folder:/images/mnist", "colorectal_histology"])
def test_other_data_sets_have_the_general_defaults(name):
    assert catalogue.dataset_defaults(name) == catalogue.DatasetDefaults()
    assert catalogue.DatasetDefaults()[:5] == (None, "auto", 0.08, 0.875, None)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("digits", False),
        ("mnist:3.0.1", False),
        ("emnist/letters", False),
        ("emnist/letters:3.1.0", False),
        ("cifar10", True),
        ("folder:mnist", True),
    ],
)
def test_digits_and_letters_are_not_to_be_mirrored(dataset, expected):
    assert catalogue.dataset_defaults(dataset).flip is expected
