import io
import os
import re

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.data import folder, folder_layout
from supcon_tf.data.findings import findings
from supcon_tf.data.pixels import encode
from supcon_tf.errors import ArgumentError

ROWS, COLUMNS = np.mgrid[:24, :32]
RGB = np.stack([COLUMNS * 8, ROWS * 10, (ROWS + COLUMNS) * 4], axis=-1).astype(np.uint8)
ALPHA = (COLUMNS * 3).astype(np.uint8)
GREY = RGB[..., 0]
SIXTEEN_BITS = (COLUMNS * 2000 + ROWS).astype(np.uint16)
THREE_GREYS = np.repeat(GREY[..., np.newaxis], 3, axis=-1)
THREE_HIGH_BYTES = np.repeat((SIXTEEN_BITS // 256).astype(np.uint8)[..., np.newaxis], 3, axis=-1)


def picture(pixels, mode=None):
    image = PIL.Image.fromarray(pixels)
    return image.convert(mode) if mode else image


def file_content(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(content):
    return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()


def write(root, *names, content=None):
    """Writes files below `root`: small PNGs, or the given content."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_content(picture(RGB[:3, :4]), "PNG") if content is None else content)


def build(root, data_dir=None, labels=True, on_bad_image="stop"):
    data_dir = str(data_dir or root.parent / "data")
    return folder.builder(str(root), labels=labels, on_bad_image=on_bad_image, data_dir=data_dir)


def prepared(root, **options):
    tfds.disable_progress_bar()
    builder = build(root, **options)
    builder.download_and_prepare()
    return builder


def names(builder):
    """Returns split → set of (name of the file, class)."""
    return {
        split: {(file.name, file.label) for file in files} for split, files in builder.builder_config.splits.items()
    }


@pytest.mark.parametrize(
    "content",
    [
        file_content(picture(RGB), "JPEG"),
        file_content(picture(RGB), "JPEG", progressive=True),
        file_content(picture(GREY), "JPEG"),
        file_content(picture(RGB, "CMYK"), "JPEG"),
        file_content(picture(np.dstack([RGB, ALPHA])), "PNG"),
        file_content(picture(RGB).quantize(64), "PNG"),
        file_content(picture(SIXTEEN_BITS), "PNG"),
    ],
)
def test_jpeg_and_png_keep_their_bytes(content):
    assert encode(content) == content


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (file_content(picture(RGB), "WEBP", lossless=True), RGB),
        (file_content(picture(np.dstack([RGB, ALPHA])), "WEBP", lossless=True, exact=True), RGB),
        (file_content(picture(RGB), "BMP"), RGB),
        (file_content(picture(RGB), "PPM"), RGB),
        (file_content(picture(RGB), "TIFF"), RGB),
        (file_content(picture(np.dstack([RGB, ALPHA])), "TIFF"), RGB),
        (file_content(picture(RGB, "CMYK"), "TIFF"), RGB),
        (file_content(picture(GREY), "TIFF"), THREE_GREYS),
        (file_content(picture(np.dstack([GREY, ALPHA]), None), "TIFF"), THREE_GREYS),
        (file_content(picture(GREY), "GIF"), THREE_GREYS),
        (file_content(picture(SIXTEEN_BITS), "TIFF"), THREE_HIGH_BYTES),
        (file_content(picture(SIXTEEN_BITS), "PPM"), THREE_HIGH_BYTES),
        (file_content(picture(SIXTEEN_BITS), "PNG"), THREE_HIGH_BYTES),
        (file_content(picture(GREY), "GIF", save_all=True, append_images=[picture(255 - GREY)]), THREE_GREYS),
    ],
)
def test_other_images_become_what_tensorflow_decodes_to_the_same_pixels(content, pixels):
    np.testing.assert_array_equal(decode(encode(content)), pixels)


@pytest.mark.parametrize(
    ("content", "error", "complaint"),
    [
        (b"", ValueError, "an empty file"),
        (b"no image at all", ValueError, "no known image format"),
        (file_content(picture(RGB), "JPEG")[:-60], OSError, "truncated"),
        (file_content(picture(RGB), "PNG")[:-60], ValueError, "a damaged PNG"),
        (file_content(picture(RGB), "WEBP")[:60], ValueError, "a damaged WebP"),
        (file_content(picture(GREY.astype(np.float32)), "TIFF"), ValueError, "floating-point pixels"),
        (file_content(picture(GREY.astype(np.int32) * 1000), "TIFF"), ValueError, "pixels of more than 16 bits"),
    ],
)
def test_content_that_cannot_be_decoded_is_rejected(content, error, complaint):
    with pytest.raises(error, match=complaint):
        encode(content)


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Val"])
def test_layout_with_splits(tmp_path, validation):
    write(tmp_path, "train/cat/a.png", "train/dog/deep/down/b.png", f"{validation}/dog/c.png", "test/cat/d.png")
    assert names(build(tmp_path)) == {
        "train": {("train/cat/a.png", "cat"), ("train/dog/deep/down/b.png", "dog")},
        "validation": {(f"{validation}/dog/c.png", "dog")},
        "test": {("test/cat/d.png", "cat")},
    }


def test_layout_with_train_and_validation_alone_holds_nothing_out(tmp_path):
    write(tmp_path, *[f"train/{label}/{i}.png" for label in "ab" for i in range(9)], "val/a/x.png")
    found = names(build(tmp_path))
    assert {split: len(files) for split, files in found.items()} == {"train": 18, "validation": 1}


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_images_for_evaluation_some_of_each_class_are_held_out(tmp_path, prefix):
    everything = {(f"{prefix}{label}/{i}.png", label) for label in "abc" for i in range(2)}
    write(tmp_path, *[name for name, _ in everything])
    found = names(build(tmp_path))
    assert set(found) == {"train", "test"}
    assert found["train"] | found["test"] == everything
    assert sorted(label for _, label in found["train"]) == sorted(label for _, label in found["test"]) == list("abc")


def test_train_may_be_a_class(tmp_path):
    write(tmp_path, "train/a.png", "train/b.png", "ship/a.png", "ship/b.png")
    assert build(tmp_path).builder_config.class_names == ("ship", "train")


def test_hidden_files_are_ignored_and_images_outside_the_classes_are_mentioned(tmp_path):
    write(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "cover.png")
    write(tmp_path, "a/.DS_Store", "b/Thumbs.db", ".git/x/y", "__MACOSX/a/1.png", "README.md", content=b"-")
    builder = build(tmp_path)
    found = names(builder)
    assert found["train"] | found["test"] == {("a/1.png", "a"), ("a/2.png", "a"), ("b/1.png", "b"), ("b/2.png", "b")}
    unused, passed_over, classes = findings(builder)
    assert unused == "Not used, images outside the splits and their classes: 1, e.g. cover.png"
    assert passed_over == "Passed over 4 hidden or system files or folders, e.g. .git"
    assert classes == "Classes, with images for training + held out: a 1 + 1, b 1 + 1"


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["1.png", "2.png"], {"1.png", "2.png"}),
        (["pictures/1.png", "2.png"], {"pictures/1.png", "2.png"}),
        (["train/1.png", "test/2.png"], {"train/1.png"}),
    ],
)
def test_without_classes_all_are_trained_on_if_no_labels_are_needed(tmp_path, files, chosen):
    write(tmp_path, *files)
    builder = build(tmp_path, labels=False)
    assert names(builder) == {"train": {(name, "") for name in chosen}}
    assert list(builder.info.features) == ["image"]


def test_classes_are_kept_where_no_labels_are_needed(tmp_path):
    write(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert build(tmp_path, labels=False).data_dir == build(tmp_path, labels=True).data_dir


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ([], "empty"),
        ([".hidden/a.png"], "empty"),
        (["1.png", "2.png"], "no folders of classes in"),
        (["train/1.png", "test/2.png"], "train; without classes"),
        (["a/1.png", "a/2.png"], "only one class, 'a'"),
        (["inner/train/a/1.png", "inner/train/b/1.png"], "did you mean folder:.*inner"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "'test' has the class 'c', .* out of 'test'"),
        (["a/1.txt", "b/1.pdf"], "holds no images, only files such as a/1.txt"),
        (["a/1.png", "a/2.png", "b/1.txt"], "only one class with images, 'a'; the folder 'b' holds no images"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "mean the same"),
    ],
)
def test_unusable_folders_are_rejected_in_one_line(tmp_path, files, complaint):
    write(tmp_path, *files)
    with pytest.raises(ArgumentError, match=complaint) as error:
        build(tmp_path)
    assert f"dataset='folder:{tmp_path}': " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split", ["", "train/"])
def test_an_empty_folder_is_named_where_one_class_is_left(tmp_path, split):
    write(tmp_path, f"{split}a/1.png", f"{split}a/2.png")
    for name in (".hidden", "b"):
        (tmp_path / split / name).mkdir()
    with pytest.raises(ArgumentError, match="there is only one class, 'a'; the folder 'b' holds no images"):
        build(tmp_path)


def test_missing_folder_and_file_are_told_apart(tmp_path):
    write(tmp_path, "1.png")
    with pytest.raises(ArgumentError, match="no such folder"):
        build(tmp_path / "missing")
    with pytest.raises(ArgumentError, match="is a file"):
        build(tmp_path / "1.png")


def image_files(pairs):
    return [folder_layout.ImageFile(f"/x/{label}/{name}", f"{label}/{name}", label) for label, name in sorted(pairs)]


PAIRS = st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 10**6).map(str)), max_size=60)


@settings(deadline=None, max_examples=60)
@given(PAIRS, PAIRS)
def test_held_out_files_partition_each_class_and_stay_when_others_come(some, more):
    train, test = folder_layout.hold_out(image_files(some))
    assert sorted(train + test) == sorted(image_files(some))
    for label in {label for label, _ in some}:
        size = sum(one == label for one, _ in some)
        held = sum(file.label == label for file in test)
        assert (1 <= held < size) if size > 1 else held == 0
    # Files stay on their side, unless the minimum of one file per side has moved one.
    wider_train, wider_test = folder_layout.hold_out(image_files(some | more))
    for label in "abc":
        if all(sum(file.label == label for file in side) > 1 for side in (train, test)):
            assert {file for file in test if file.label == label} <= set(wider_test)
            assert {file for file in train if file.label == label} <= set(wider_train)


def test_about_a_fifth_is_held_out():
    _, test = folder_layout.hold_out(image_files({("a", str(i)) for i in range(3000)}))
    assert 520 < len(test) < 680  # 600 expected, standard deviation 22


def test_prepared_images_have_their_pixels_and_labels_and_can_be_sliced(tmp_path):
    root = tmp_path / "pictures"
    write(root, "train/cat/1.png", content=file_content(picture(RGB), "PNG"))
    write(root, "train/dog/1.webp", content=file_content(picture(255 - RGB), "WEBP", lossless=True))
    write(root, "test/dog/1.tif", content=file_content(picture(SIXTEEN_BITS), "TIFF"))
    builder = prepared(root)
    examples = list(builder.as_dataset(split="train").as_numpy_iterator())
    by_label = {int(example["label"]): example["image"] for example in examples}
    np.testing.assert_array_equal(by_label[0], RGB)
    np.testing.assert_array_equal(by_label[1], 255 - RGB)
    (example,) = builder.as_dataset(split="test").as_numpy_iterator()
    np.testing.assert_array_equal(example["image"], THREE_HIGH_BYTES)
    assert builder.info.features["label"].names == ["cat", "dog"]
    assert builder.info.splits["train[:50%]"].num_examples == 1


def test_a_file_that_is_no_image_stops_with_its_name_and_leaves_no_data_set(tmp_path):
    root = tmp_path / "pictures"
    write(root, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    write(root, "b/notes.txt", content=b"-")
    with pytest.raises(ArgumentError, match=r"b/notes\.txt .*on_bad_image='skip'"):
        prepared(root)
    assert not list((tmp_path / "data" / "folder").glob("*/*"))


def test_all_files_that_cannot_be_read_are_named_at_once_and_listed(tmp_path):
    root = tmp_path / "pictures"
    for split in ("train", "test"):
        write(root, *[f"{split}/{label}/{i}.png" for label in "ab" for i in range(2)])
    bad = [f"{split}/a/bad{i:02d}.jpg" for split in ("train", "test") for i in range(7)]
    write(root, *bad, content=b"-")
    with pytest.raises(
        ArgumentError, match="14 files cannot be read as images: train/a/bad00.jpg .* and 4 more; "
    ) as error:
        prepared(root)
    (listed,) = (tmp_path / "data").rglob("*.unreadable.txt")
    assert str(listed) in str(error.value)
    assert [line.split("\t")[0] for line in listed.read_text().splitlines()] == bad


def test_skipped_files_are_named_and_counted_now_and_later(tmp_path):
    root = tmp_path / "pictures"
    for i in range(40):  # no two files have the same content, as copies are held out together
        for number, label in enumerate("ab"):
            pixels = np.full((3, 4, 3), 2 * i + number, np.uint8)
            write(root, f"{label}/{i}.png", content=file_content(picture(pixels), "PNG"))
    bad = [f"{'ab'[i % 2]}/bad{i}.jpg" for i in range(70)]
    for name in bad:
        write(root, name, content=name.encode())
    first = prepared(root, on_bad_image="skip")
    assert sum(info.num_examples for info in first.info.splits.values()) == 80
    assert sorted(name for name, _ in first.info.metadata["skipped"]) == sorted(bad)
    *said, classes = findings(first)
    assert len(said) == 11
    assert classes.startswith("Classes") and sum(map(int, re.findall(r"\d+", classes))) == 80
    assert all(line.startswith("Skipped ") and line.split()[1].rstrip(":") in bad for line in said[:10])
    assert said[10].endswith("skipped: 70")
    later = build(root, on_bad_image="skip")
    assert later.info.splits["train"].num_examples
    assert findings(later) == [*said, classes]


def test_a_split_without_a_good_image_is_rejected(tmp_path):
    root = tmp_path / "pictures"
    write(root, "train/a/1.png", "train/b/1.png")
    write(root, "test/a/1.png", content=b"-")
    with pytest.raises(ArgumentError, match="none of the 1 files for 'test'"):
        prepared(root, on_bad_image="skip")


@pytest.mark.parametrize("change", ["touch", "add", "remove", "rename", "skip"])
def test_an_unchanged_folder_is_prepared_once_and_a_changed_one_again(tmp_path, change):
    root = tmp_path / "pictures"
    write(root, "a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png")
    prepared(root)
    assert build(root).info.splits
    if change == "touch":
        os.utime(root / "a/1.png", ns=(1, 1))
    elif change == "add":
        write(root, "b/3.png")
    elif change == "remove":
        (root / "a/3.png").unlink()
    elif change == "rename":
        (root / "a/3.png").rename(root / "a/4.png")
    changed = build(root, on_bad_image="skip" if change == "skip" else "stop")
    assert not changed.info.splits


def test_files_of_a_killed_preparation_are_not_used(tmp_path, monkeypatch):
    root = tmp_path / "pictures"
    write(root, "a/1.png", "a/2.png", "b/1.png", "b/2.png")

    def die(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(folder, "_read", die)
        with pytest.raises(KeyboardInterrupt):
            prepared(root)
    builder = build(root)
    assert not builder.info.splits
    # A process that is killed by SIGKILL cannot clean up.
    half = builder.data_path.parent / f"incomplete.ABC123_{builder.data_path.name}"
    half.mkdir(parents=True)
    (half / "folder-train.tfrecord-00000-of-00001").write_bytes(b"half")
    assert not build(root).info.splits
    assert sum(info.num_examples for info in prepared(root).info.splits.values()) == 4
