import contextlib
import dataclasses
import socket

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from absl import logging
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_datasets.core.utils import tqdm_utils

from supcon_tf import config
from supcon_tf.data import load, source_files
from supcon_tf.data.digits import Digits
from supcon_tf.errors import ArgumentError, UserError
from tests import imagenet, voc

# Images by split, for each configuration of the data set below. The labels of 'secret' are -1.
SPLITS = {
    "one": {"train": 20},
    "watch": {"train": 20, "validation": 6},
    "full": {"train": 20, "validation": 6, "test": 5},
    "secret": {"train": 20, "validation": 6, "test": 5},
    "tiny": {"train": 3},
    "more": {"train": 20, "test": 5, "unlabelled": 9},
    "odd": {"first": 20, "second": 5},
}


class Numbered(tfds.core.GeneratorBasedBuilder):
    """Images of one pixel that shows their number; numbers count through all splits."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing to download
    BUILDER_CONFIGS = tuple(tfds.core.BuilderConfig(name=name) for name in SPLITS)

    def _info(self):
        features = {
            "number": tfds.features.Scalar(np.int64),
            "image": tfds.features.Image(shape=(1, 1, 4)),
            "label": tfds.features.ClassLabel(names=["even", "odd"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        generators, first = {}, 0
        for split, images in SPLITS[self.builder_config.name].items():
            generators[split] = self._generate_examples(split, range(first, first + images))
            first += images
        return generators

    def _generate_examples(self, split, numbers):
        secret = self.builder_config.name == "secret" and split == "test"
        for number in numbers:
            image = np.full((1, 1, 4), number, np.uint8)
            yield number, {"number": number, "image": image, "label": -1 if secret else number % 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("numbered"))


@pytest.fixture
def offline(monkeypatch):
    """Fails the test if it opens a connection; no host seems to answer."""
    monkeypatch.setattr(source_files, "host_answers", lambda url: False)
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("a connection was tried"))


def numbered(data_dir, configuration, labels=True, **options):
    return load.load(
        config.DataOptions(dataset=f"numbered/{configuration}", data_dir=data_dir, **options), labels=labels
    )


def numbers(data, split):
    return {int(example["number"]) for example in data.builder.as_dataset(split=split).as_numpy_iterator()}


def test_digits_are_ready_to_train_on(digits_dir, offline, capsys):
    data = load.load(config.DataOptions(data_dir=digits_dir), labels=True)
    assert (data.image_key, data.label_key, data.image_shape) == ("image", "label", (8, 8, 1))
    assert data.class_names == tuple("0123456789")
    assert (data.train_split, data.validation_split, data.eval_split) == ("train", "validation", "test")
    assert data.num_examples("train") == 1197
    assert data.num_examples("train[:10%]+test") == 520
    assert capsys.readouterr() == ("", "")  # nothing to prepare, nothing to say


def test_preparing_is_said_once_on_stderr(tmp_path, capsys, offline):
    numbered(str(tmp_path), "full")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Preparing numbered/full in {tmp_path}/numbered/full/1.0.0 ...\n"


def test_images_with_transparency_are_decoded_without(data_dir):
    assert numbered(data_dir, "full").image_shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("configuration", "given_splits", "expected"),
    [
        # Nothing given: 'test', else 'validation', else the last tenth.
        ("full", (None, None, None), ("train", "validation", "test")),
        ("watch", (None, None, None), ("train", None, "validation")),
        ("one", (None, None, None), ("train[:90%]", None, "train[90%:]")),
        ("secret", (None, None, None), ("train", None, "validation")),
        # A part to train on.
        ("full", ("train[:10%]", None, None), ("train[:10%]", "validation", "test")),
        ("one", ("train[:10%]", None, None), ("train[:10%]", None, "train[90%:]")),
        ("one", ("train", None, None), ("train[:90%]", None, "train[90%:]")),
        ("one", ("train[5:]", None, None), ("train[5:]", None, "train[0:5]")),
        ("one", ("train[2:5]+train[18:]", None, None), ("train[2:5]+train[18:]", None, "train[0:2]+train[5:18]")),
        ("full", ("train+validation", None, None), ("train+validation", None, "test")),
        ("full", ("train+test[:1]", None, None), ("train+test[:1]", None, "validation")),
        ("odd", ("first", None, None), ("first[:90%]", None, "first[90%:]")),
        ("odd", ("first", None, "second"), ("first", None, "second")),
        # Images for evaluation or validation are not trained on.
        ("full", (None, None, "train[:5]"), ("train[5:20]", "validation", "train[:5]")),
        ("full", (None, None, "validation"), ("train", None, "validation")),
        ("full", (None, "train[90%:]", None), ("train[0:18]", "train[90%:]", "test")),
        ("full", (None, "none", None), ("train", None, "test")),
        ("one", (None, "train[:5]", None), ("train[5:18]", "train[:5]", "train[90%:]")),
        ("watch", (None, "validation", "train[:5]"), ("train[5:20]", "validation", "train[:5]")),
    ],
)
def test_splits_that_are_not_given_are_chosen_as_documented(data_dir, capsys, configuration, given_splits, expected):
    train, validation, final = given_splits
    data = numbered(data_dir, configuration, train_split=train, validation_split=validation, eval_split=final)
    assert (data.train_split, data.validation_split, data.eval_split) == expected
    assert "Warning" not in capsys.readouterr().err
    for split in expected[1:]:
        assert not split or not numbers(data, split) & numbers(data, expected[0])


PLACES = st.integers(0, 20)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=3))
def test_training_images_are_not_evaluated_on_by_default(data_dir, slices):
    train = "+".join(f"train[{start}:{stop}]" for start, stop in slices)
    try:
        data = numbered(data_dir, "one", train_split=train)
    except ArgumentError:
        chosen = set().union(*[range(start, stop) for start, stop in slices])
        assert len(chosen) in (1, 20) or any(start >= stop for start, stop in slices)
    else:
        assert numbers(data, data.eval_split)
        assert not numbers(data, data.eval_split) & numbers(data, data.train_split)


@pytest.mark.parametrize(
    ("splits", "named"),
    [
        ({"train_split": "train", "eval_split": "train[15:]"}, ["eval_split='train[15:]'"]),
        ({"train_split": "train", "validation_split": "train[:1]"}, ["validation_split='train[:1]'"]),
        (
            {"train_split": "train+test", "validation_split": "train[:1]", "eval_split": "all"},
            ["validation_split='train[:1]'", "eval_split='all'"],
        ),
    ],
)
def test_overlap_that_was_asked_for_gives_one_line_of_warning(data_dir, capsys, splits, named):
    numbered(data_dir, "full", train_split="train[:2]")  # so that it is prepared
    capsys.readouterr()
    data = numbered(data_dir, "full", **splits)
    assert data.train_split == splits["train_split"]
    (warning,) = capsys.readouterr().err.splitlines()
    assert all(option in warning for option in named)


@pytest.mark.parametrize(
    ("configuration", "splits", "complaint"),
    [
        (
            "full",
            {"train_split": "trian"},
            r"train_split='trian': .*only train, validation, test; did you mean train\?",
        ),
        ("full", {"eval_split": "tset[:3]"}, r"eval_split='tset\[:3\]': .*did you mean test\?"),
        ("full", {"validation_split": "train+nope"}, r"validation_split='train\+nope': there is no split 'nope'"),
        ("full", {"eval_split": ""}, "eval_split='': there is no split ''"),
        ("full", {"train_split": "train["}, r"train_split='train\[': not a slice such as"),
        ("full", {"train_split": "train[1.5:]"}, "not a slice such as"),
        ("full", {"train_split": "train[:200%]"}, "not a slice such as"),
        ("full", {"train_split": "train[:21]"}, "incompatible with 20 examples"),
        ("full", {"train_split": "train[:0]"}, "it, or a part of it, has no images.*train: 20"),
        ("full", {"eval_split": "train[7:7]"}, "eval_split=.*has no images"),
        ("full", {"eval_split": "test+train[7:5]"}, "eval_split=.*or a part of it"),
        ("full", {"train_split": "train[:1]"}, "one image is not enough"),
        ("full", {"eval_split": "train"}, "^eval_split='train': leaves no images to train on; give train_split$"),
        ("full", {"validation_split": "train"}, "^validation_split='train': leaves no images to train on"),
        ("full", {"train_split": "all"}, "^train_split='all': leaves no images to evaluate on; give eval_split$"),
        ("secret", {"eval_split": "test"}, "eval_split='test': its labels are not public"),
        ("tiny", {}, r"train\[90%:\]'.*has no images"),
        ("odd", {}, "no split 'train', only first, second; give train_split"),
    ],
)
def test_impossible_splits_are_rejected_in_one_line(data_dir, configuration, splits, complaint):
    with pytest.raises(ArgumentError, match=complaint) as error:
        numbered(data_dir, configuration, **splits)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("cifr10", "did you mean cifar10.$"),
        ("CIFAR-10", "did you mean cifar10.$"),
        ("imagenet", "imagenet2012"),
        ("digit", "did you mean digits.$"),
        ("zzzqqq", "not a data set of TensorFlow Datasets, and not folder:PATH$"),
        ("", "not a data set of TensorFlow Datasets"),
        ("cifar10_corrupted/fogg_3", "no 'fogg_3'; did you mean cifar10_corrupted/fog_3.$"),
        ("cifar10_corrupted/zzz", "no 'zzz'; it has cifar10_corrupted/brightness_1, .*contrast_2, 88 more$"),
        ("cifar10:9.9.9", "only: 3.0.2"),
        ("folder:", "path is missing"),
        ("pets", "did you mean oxford_iiit_pet"),
        ("Stanford-Cars", "did you mean cars196"),
        ("FGVC_Aircraft", "not a data set of TensorFlow Datasets; download it and give folder:PATH"),
        ("birdsnap", "not a data set of TensorFlow Datasets; download it and give folder:PATH"),
        ("cifar10_corrupted/fog_3", "has images for evaluation only; train on dataset='cifar10', or give train_split"),
        ("imagenet2012_corrupted/fog_3", "has images for evaluation only; train on dataset='imagenet2012'"),
        ("celeb_a", "needs one image and one class label, but has .*landmarks"),
        ("coco", "needs one image and one class label, but has .*objects"),
        ("imdb_reviews", "needs one image and one class label, but has .*text"),
    ],
)
def test_unsuitable_names_are_rejected_in_one_line_without_the_network(tmp_path, offline, name, complaint):
    with pytest.raises(ArgumentError, match=complaint) as error:
        load.load(config.DataOptions(dataset=name, data_dir=str(tmp_path)), labels=True)
    assert str(error.value).startswith(f"dataset={name!r}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("cmaterdb/bangla:1.0.0", "training-images.npz"),
        ("cifar100", "cifar-100-binary.tar.gz"),  # has a label and a coarse label
        ("smallnorb", "smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat.gz"),  # has two images
    ],
)
def test_without_the_network_the_files_to_fetch_are_named(tmp_path, offline, name, file):
    with pytest.raises(ArgumentError, match=r"cannot be downloaded from here; fetch .* as source_files") as error:
        load.load(config.DataOptions(dataset=name, data_dir=str(tmp_path)), labels=True)
    assert file in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_files_to_download_by_hand_are_named_with_their_folder(tmp_path, offline):
    with pytest.raises(ArgumentError, match="ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar") as error:
        load.load(config.DataOptions(dataset="imagenet2012", data_dir=str(tmp_path)), labels=True)
    assert f"{tmp_path}/downloads/manual" in str(error.value)
    assert "\n" not in str(error.value)


def test_imagenet_is_prepared_from_tars_and_not_evaluated_on_its_secret_test_labels(tmp_path, offline):
    imagenet.write_tars(tmp_path, classes=4, per_class=3, test=4)
    options = config.DataOptions(
        dataset="imagenet2012", data_dir=str(tmp_path / "data"), source_files=str(tmp_path), train_split="train[:5]"
    )
    data = load.load(options, labels=True)
    assert "test" in data.builder.info.splits
    assert (data.train_split, data.validation_split, data.eval_split) == ("train[:5]", None, "validation")
    assert data.image_shape == (None, None, 3)
    assert len(data.class_names) == 1000


def test_missing_source_files_are_named(tmp_path, offline):
    with pytest.raises(ArgumentError, match=r"source_files=.*none of the files of cifar10, .*cifar-10-binary\.tar\.gz"):
        load.load(
            config.DataOptions(dataset="cifar10", data_dir=str(tmp_path), source_files=str(tmp_path)), labels=True
        )


def test_an_incomplete_copy_is_not_used(tmp_path):
    (tmp_path / "digits/1.0.0").mkdir(parents=True)
    with pytest.raises(UserError, match="delete") as error:
        load.load(config.DataOptions(data_dir=str(tmp_path)), labels=True)
    assert str(tmp_path / "digits/1.0.0") in str(error.value)


def test_another_process_may_be_quicker(tmp_path, monkeypatch):
    prepare = Numbered.download_and_prepare

    def lose_the_race(self, **options):
        prepare(self, **options)
        raise OSError("Directory not empty")

    monkeypatch.setattr(Numbered, "download_and_prepare", lose_the_race)
    assert numbers(numbered(str(tmp_path), "full"), "test") == {26, 27, 28, 29, 30}


def test_a_data_directory_that_cannot_be_written_is_to_blame(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArgumentError, match=r"^data_dir='.*/file': cannot be written \(.*\); "):
        load.load(config.DataOptions(data_dir=str(tmp_path / "file")), labels=True)


def test_a_failed_preparation_gives_one_line(tmp_path, monkeypatch):
    def fail(self, **options):
        raise ValueError("two\nlines")

    monkeypatch.setattr(Digits, "download_and_prepare", fail)
    with pytest.raises(ArgumentError, match="^dataset='digits': could not be prepared: ValueError: two lines$"):
        load.load(config.DataOptions(data_dir=str(tmp_path)), labels=True)


@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("name", ["digits", "no_such_data_set"])
def test_loading_leaves_what_tfds_shows_as_it_was(digits_dir, name, visible):
    def shows_bars():
        return not isinstance(tqdm_utils.tqdm(disable=True), tqdm_utils.EmptyTqdm)

    was_visible, verbosity = shows_bars(), logging.get_verbosity()
    try:
        tfds.display_progress_bar(visible)
        logging.set_verbosity(logging.INFO)
        with contextlib.suppress(ArgumentError):
            load.load(config.DataOptions(dataset=name, data_dir=digits_dir), labels=True)
        assert shows_bars() is visible
        assert logging.get_verbosity() == logging.INFO
    finally:
        tfds.display_progress_bar(was_visible)
        logging.set_verbosity(verbosity)


@pytest.fixture
def pictures(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "flat/1.png", "flat/2.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("L", (5, 6)).save(path)
    return tmp_path / "pictures"


def test_a_folder_is_loaded_like_any_data_set(pictures, tmp_path):
    (pictures / "b/3.png").write_bytes(b"-")
    options = config.DataOptions(dataset=f"folder:{pictures}", data_dir=str(tmp_path / "data"), on_bad_image="skip")
    for _ in range(2):
        data = load.load(options, labels=True)
        assert data.class_names == ("a", "b", "flat")
        assert (data.train_split, data.eval_split) == ("train", "test")
        assert data.num_examples("train") + data.num_examples("test") == 6
        assert any(line.startswith("Skipped b/3.png") for line in load.findings(data))


def test_unlabelled_images_are_all_trained_on(pictures, tmp_path):
    options = config.DataOptions(dataset=f"folder:{pictures / 'flat'}", data_dir=str(tmp_path / "data"))
    data = load.load(options, labels=False)
    assert (data.label_key, data.class_names) == (None, ())
    assert (data.train_split, data.validation_split, data.eval_split) == ("train", None, None)
    with pytest.raises(ArgumentError, match="no folders of classes"):
        load.load(options, labels=True)


def test_class_folders_of_unlabelled_images_are_all_trained_on(pictures, tmp_path):
    """A folder that is not that of the labelled images holds nothing out; the same folder holds out the same images."""
    data_dir = str(tmp_path / "data")
    options = config.DataOptions(dataset="digits", unlabelled=f"folder:{pictures}", data_dir=data_dir)
    data = load.load_unlabelled(options)
    assert (data.num_examples(data.train_split), data.label_key) == (6, None)
    same = dataclasses.replace(options, dataset=f"folder:{pictures}/.")
    labelled = load.load(same, labels=True)
    assert load.load_unlabelled(same).builder.data_path == labelled.builder.data_path


def test_unlabelled_images_are_a_whole_split_without_its_labels(digits_dir, capfd):
    data = load.load_unlabelled(config.DataOptions(dataset="x", data_dir=digits_dir, unlabelled="digits"))
    assert (data.train_split, data.validation_split, data.eval_split) == ("train", None, None)
    assert data.num_examples(data.train_split) == 1197
    assert capfd.readouterr().err == ""


def test_a_split_that_is_called_unlabelled_is_preferred(data_dir):
    data = load.load_unlabelled(config.DataOptions(dataset="x", data_dir=data_dir, unlabelled="numbered/more"))
    assert numbers(data, data.train_split) == set(range(25, 34))


@pytest.mark.parametrize("name", ["digts", "folder:/nowhere"])
def test_unlabelled_images_that_are_not_found_are_named_by_their_option(name, digits_dir):
    with pytest.raises(ArgumentError, match=f"^unlabelled={name!r}: "):
        load.load_unlabelled(config.DataOptions(dataset="x", data_dir=digits_dir, unlabelled=name))


@pytest.mark.parametrize(
    ("dataset", "several"),
    [("voc", True), ("voc/2012:5.0.0", True), ("cifar10", False), ("folder:/nowhere", False)],
)
def test_images_with_several_classes_are_known_before_anything_is_prepared(tmp_path, offline, dataset, several):
    assert load.is_multi_label(config.DataOptions(dataset=dataset, data_dir=str(tmp_path))) is several
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("labels", [True, False])
def test_several_classes_are_found_with_those_that_are_not_difficult(voc_dir, labels):
    data = load.load(config.DataOptions(dataset="voc/2007", data_dir=voc_dir), labels=labels)
    assert (data.multi_label, data.label_key, data.no_difficult_key) == (True, "labels", "labels_no_difficult")
    assert data.class_names == voc.CLASSES
    assert (data.train_split, data.validation_split, data.eval_split) == ("train", "validation", "test")


def test_corrupted_images_can_be_split_by_hand(tmp_path, offline):
    options = config.DataOptions(
        dataset="cifar10_corrupted/fog_3:1.0.0",
        data_dir=str(tmp_path),
        train_split="test[:50%]",
        eval_split="test[50%:]",
    )
    with pytest.raises(ArgumentError, match=r"cannot be downloaded from here; fetch .*CIFAR-10-C.tar"):
        load.load(options, labels=True)
