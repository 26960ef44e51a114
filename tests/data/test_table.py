"""Tables of images: CSV, TSV and JSON Lines."""

import json

import numpy as np
import PIL.Image
import pytest

from supcon_tf.config import DataOptions
from supcon_tf.data import load, table
from supcon_tf.data.folder import in_order
from supcon_tf.errors import ArgumentError

HEADER = ("path", "label", "split")


def write(tmp_path, rows, header=HEADER, name="labels.csv", separator=","):
    text = "".join(separator.join(row) + "\n" for row in (header, *rows))
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def rows(count=10, classes=("cat", "dog")):
    return [(f"images/{number}.png", classes[number % len(classes)]) for number in range(count)]


def arranged(file, **options):
    splits, remarks = table.arrange(file, labels=True, **options)
    return {split: sorted((image.name, image.label) for image in images) for split, images in splits.items()}, remarks


def test_the_column_of_splits_decides(tmp_path):
    file = write(tmp_path, [("a.png", "cat", "train"), ("b.png", "dog", "Training"), ("c.png", "dog", "val")])
    splits, remarks = arranged(file)
    assert splits == {"train": [("a.png", "cat"), ("b.png", "dog")], "validation": [("c.png", "dog")]}
    assert remarks == ["Columns: path 'path', label 'label', split 'split'"]


def test_without_splits_a_fifth_of_each_class_is_held_out(tmp_path):
    splits, _ = arranged(write(tmp_path, rows(200), HEADER[:2]))
    assert sorted(splits["train"] + splits["test"]) == sorted(rows(200))
    assert 20 <= len(splits["test"]) <= 60
    assert {label for _, label in splits["test"]} == {"cat", "dog"}


@pytest.mark.parametrize(
    ("header", "options"),
    [
        (("File Name", "Category"), {}),
        (("img_path", "y"), {}),
        (("where", "what"), {"path_column": "where", "label_column": "what"}),
    ],
)
def test_columns_are_recognised_or_named(tmp_path, header, options):
    splits, _ = arranged(write(tmp_path, rows(), header), **options)
    assert sorted(splits["train"] + splits["test"]) == sorted(rows())


def test_other_formats_give_the_same(tmp_path):
    expected = arranged(write(tmp_path, rows(), HEADER[:2]))[0]
    assert arranged(write(tmp_path, rows(), HEADER[:2], "labels.tsv", "\t"))[0] == expected
    assert arranged(write(tmp_path, rows(), HEADER[:2], "other.csv", ";"))[0] == expected
    lines = [json.dumps(dict(zip(HEADER, row))) for row in rows()]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    assert arranged(str(tmp_path / "labels.jsonl"))[0] == expected


def test_a_group_stays_on_one_side(tmp_path):
    patients = [(*row, f"patient {number // 5}") for number, row in enumerate(rows(200))]
    file = write(tmp_path, patients, ("path", "label", "patient"))
    splits, _ = arranged(file, group="patient")
    group = {name: patient for name, _, patient in patients}
    sides = [{group[name] for name, _ in splits[side]} for side in ("train", "test")]
    assert not sides[0] & sides[1] and 0.1 < len(splits["test"]) / 200 <= 0.2


def test_a_class_is_not_held_out_whole_with_its_only_group(tmp_path):
    one_each = [(*row, row[1]) for row in rows(20, ("cat", "dog", "fox"))]
    with pytest.raises(ArgumentError, match="none of its images can be held out"):
        arranged(write(tmp_path, one_each, ("path", "label", "patient")), group="patient")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no row"),
        ([("", "cat", "train")], "line 2 has no path"),
        ([("a.png", "", "train")], "line 2 has no class"),
        ([("a.png", "cat", "kept"), ("b.png", "dog", "train")], "the split 'kept' in line 2 is unknown"),
        ([("a.png", "cat", "train"), ("a.png", "dog", "train")], "line 3 has a.png again, as 'dog' and 'cat'"),
        ([("a.png", "cat", "train")], "there is only one class, 'cat'"),
        ([("a.png", "cat", "test")], "has no image to train on"),
        (
            [*[(f"{c}.png", c, "train") for c in "ab"], ("c.png", "c", "test")],
            "'test' has the class 'c', but there is no",
        ),
        ([("a.png", "cat")], "line 2 has another number of columns than the header"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, lines, message):
    with pytest.raises(ArgumentError, match=message):
        arranged(write(tmp_path, lines))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no column is called path or file; name it by path_column; it has where, label"),
        ({"path_column": "wher"}, "path_column='wher': .* has no such column; did you mean where"),
        ({"path_column": "where", "group": "site"}, "group='site': .* has no such column; it has where, label"),
    ],
)
def test_columns_that_are_not_there_are_named(tmp_path, options, message):
    with pytest.raises(ArgumentError, match=message):
        arranged(write(tmp_path, rows(), ("where", "label")), **options)


def test_groups_on_both_sides_are_refused(tmp_path):
    lines = [("a.png", "cat", "train", "p1"), ("b.png", "dog", "train", "p2"), ("c.png", "dog", "test", "p2")]
    file = write(tmp_path, lines, (*HEADER, "patient"))
    with pytest.raises(ArgumentError, match="'train' and 'test' share 1 groups, e.g. p2"):
        arranged(file, group="patient")
    assert len(arranged(file)[0]["test"]) == 1


@pytest.mark.parametrize("name", ["labels.xlsx", "missing.csv"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"must end in \.csv|cannot be read"):
        arranged(str(tmp_path / name))


def test_images_of_a_table_are_loaded_like_those_of_a_folder(tmp_path):
    for name, _ in rows(12):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(np.full((9, 7, 3), 10 * int(path.stem), np.uint8)).save(path)
    file = write(tmp_path, [(name, {"cat": "10", "dog": "9"}[label]) for name, label in rows(12)], HEADER[:2])
    data = load.load(DataOptions(dataset=f"csv:{file}", data_dir=str(tmp_path / "data")), labels=True)
    assert data.class_names == ("9", "10")  # by number
    assert data.num_examples("train") + data.num_examples("test") == 12
    (tmp_path / "images/3.png").unlink()
    with pytest.raises(ArgumentError, match=r"images/3\.png cannot be read as an image"):
        load.load(DataOptions(dataset=f"csv:{file}", data_dir=str(tmp_path / "data")), labels=True)


def test_whole_numbers_are_sorted_as_numbers():
    assert in_order(["2", "10", "1"]) == ("1", "2", "10") and in_order(["2", "10", "b"]) == ("10", "2", "b")
