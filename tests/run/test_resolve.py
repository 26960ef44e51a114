"""Checks what the user, the record of a resumed run and the data set decide, in this order."""

import json

import pytest

from supcon_tf import config as config_lib
from supcon_tf.config import constraints
from supcon_tf.data import catalogue
from supcon_tf.data.load import ImageData
from supcon_tf.errors import ArgumentError
from supcon_tf.run import resolve


def resolved(record=None, **values):
    """Returns option → value after resolution."""
    config = config_lib.from_values({"mode": "supcon", **values})
    defaults = catalogue.dataset_defaults(config.data.dataset)
    return config_lib.values(resolve.with_defaults(config, defaults, record))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("cifar10:3.0.2", {"image_size": 32, "stem": "small", "crop_min_area": 0.2, "eval_crop": 1.0}),
        ("imagenet2012", {"image_size": 224, "stem": "imagenet", "crop_min_area": 0.08, "eval_crop": 0.875}),
        ("folder:/x", {"image_size": None, "stem": "auto", "crop_min_area": 0.08, "eval_crop": 0.875}),
        ("dtd", {"train_split": "train+validation", "validation_split": None, "eval_split": None}),
        ("cifar100", {"train_split": None, "whitening": "auto"}),
    ],
)
def test_the_data_set_decides_options_that_are_left_open(dataset, expected):
    values = resolved(dataset=dataset)
    assert {name: values[name] for name in expected} == expected


def test_what_the_user_gives_wins_over_the_data_set():
    given = {"image_size": 64, "stem": "imagenet", "crop_min_area": 0.3, "eval_crop": 0.5, "train_split": "train[:9]"}
    values = resolved(dataset="oxford_flowers102", **given)
    assert {name: values[name] for name in given} == given
    assert resolved(dataset="imagenet2012", image_size=32)["stem"] == "auto"  # the stem is for 224 pixels


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"validation_split": "validation"}, None),
        ({"validation_split": "train[90%:]"}, None),
        ({"eval_split": "validation[:10%]"}, None),
        ({"eval_split": "all"}, None),
        ({"eval_split": "test[:50%]"}, "train+validation"),
        ({"validation_split": "none"}, "train+validation"),
    ],
)
def test_held_out_images_are_not_trained_on(given, expected):
    assert resolved(dataset="dtd", **given)["train_split"] == expected


def test_a_contradiction_to_what_the_data_set_decides_names_both_options():
    with pytest.raises(ArgumentError) as caught:
        resolved(dataset="cifar10", crop_max_area=0.1)
    assert caught.value.text(config_lib.as_flag) == "--crop_min_area=0.2: must not exceed --crop_max_area=0.1"


def test_a_resumed_run_keeps_what_was_decided_although_the_catalogue_has_changed():
    record = json.loads(json.dumps(resolved(dataset="cifar10")))
    record.update(crop_min_area=0.15, eval_crop=0.9)
    values = resolved(record, dataset="cifar10")
    assert (values["crop_min_area"], values["eval_crop"], values["image_size"]) == (0.15, 0.9, 32)


def test_resolving_twice_changes_nothing():
    config = config_lib.from_values({"mode": "supcon", "dataset": "cifar10"})
    defaults = catalogue.dataset_defaults("cifar10")
    once = resolve.with_defaults(config, defaults, None)
    assert once != config and resolve.with_defaults(once, defaults, None) == once


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        ((28, 28, 1), None, (28, 28, 1)),
        ((20, 30, 3), None, (30, 30, 3)),
        ((None, None, 3), None, (224, 224, 3)),
        ((500, 400, 3), None, (224, 224, 3)),
        ((None, None, 3), 48, (48, 48, 3)),
    ],
)
def test_the_encoder_sees_squares_of_the_images_own_size_up_to_224_pixels(own, asked, expected, monkeypatch):
    data = ImageData(None, "image", "label", ("a", "b"), own, "train", None, "test")
    monkeypatch.setattr(resolve.load, "load", lambda *_, **__: data)
    config, *_ = resolve.resolve_config(config_lib.from_values({"mode": "supcon", "image_size": asked}))
    assert resolve.image_shape(config.data, data) == expected


def test_nothing_that_the_data_set_decides_stays_open(digits_dir):
    config, data, *_ = resolve.resolve_config(config_lib.from_values({"mode": "supcon", "data_dir": digits_dir}))
    assert (config.data.image_size, config.augment.flip, config.augment.eval_crop) == (8, "off", 0.875)
    assert resolve.image_shape(config.data, data) == (8, 8, 1)


NEED_A_SINGLE_LABEL = [
    ({"mode": "supcon"}, "mode"),
    ({"mode": "ce", "label_noise": 0.1}, "label_noise"),
    ({"mode": "ce", "label_smoothing": 0.1}, "label_smoothing"),
    ({"mode": "ce", "class_balance": 0.9}, "class_balance"),
    ({"mode": "ce", "classes_per_batch": 2}, "classes_per_batch"),
    ({"mode": "ce", "mix": "mixup"}, "mix"),
]


@pytest.mark.parametrize(("options", "argument"), NEED_A_SINGLE_LABEL)
def test_options_that_need_a_single_label_per_image_are_rejected(options, argument, tmp_path):
    config = config_lib.from_values({"dataset": "voc", "data_dir": str(tmp_path), **options})
    with pytest.raises(
        ArgumentError, match="needs a single label per image, but images of dataset='voc' may"
    ) as caught:
        resolve.check_single_label(config)
    assert caught.value.argument == argument
    assert not list(tmp_path.iterdir())  # nothing was prepared


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "simclr"},
        {"mode": "ce"},
        {"mode": "supcon", "stages": ("linear",), "warm_start": "runs/other"},
    ],
)
def test_several_labels_per_image_suit_a_run_that_trains_no_encoder_by_single_labels(options, tmp_path):
    resolve.check_single_label(config_lib.from_values({"dataset": "voc", "data_dir": str(tmp_path), **options}))


@pytest.mark.parametrize(("options", "argument"), NEED_A_SINGLE_LABEL)
def test_a_data_set_with_single_labels_allows_them(options, argument):
    resolve.check_single_label(config_lib.from_values({"dataset": "digits", **options}))


@pytest.mark.parametrize(
    ("batch_size", "classes", "replicas", "options", "expected"),
    [
        (256, 10, 1, {}, 8),
        (60, 10, 1, {}, 10),
        (64, 100, 1, {}, 32),
        (7, 10, 1, {}, 1),
        (64, 10, 2, {"unlabelled": "cifar100", "unlabelled_share": 0.25}, 8),
    ],
)
def test_auto_takes_as_many_classes_as_share_a_batch_with_two_images_each(
    batch_size, classes, replicas, options, expected
):
    config = config_lib.from_values({"mode": "supcon", "batch_size": batch_size, **options})
    assert resolve.classes_per_batch(config, classes, replicas) == expected


def test_the_number_of_classes_that_auto_finds_is_recorded_and_kept(digits_dir):
    config = config_lib.from_values(
        {"mode": "supcon", "dataset": "digits", "data_dir": digits_dir, "batch_size": 60, "classes_per_batch": "auto"}
    )
    resolved = resolve.resolve_config(config).config
    assert resolved.data.classes_per_batch == 10
    record = {**config_lib.values(resolved), "classes_per_batch": 5}
    assert resolve.resolve_config(config, record).config.data.classes_per_batch == 5


def test_label_noise_needs_labels():
    data = ImageData(None, "image", None, (), (8, 8, 3), "train", None, None)
    with pytest.raises(ArgumentError, match="label_noise=0.1: the images of mine have no labels"):
        resolve.check_label_noise(config_lib.DataOptions(dataset="mine", label_noise=0.1), data)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"dataset": "digits", "class_level": 1}, "class_level=1: works with dataset='folder:PATH' only"),
        ({"run_dir": "/x/\udcff"}, "run_dir=.*is not UTF-8"),
        ({"dataset": "folder:/x", "class_level": 0}, "class_level=0: means images without classes, which need mode"),
    ],
)
def test_class_levels_and_paths_that_cannot_be_used_are_refused(values, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        constraints.check(config_lib.from_values({"mode": "supcon", **values}))
