import os
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supcon_tf.data import folder_files, folder_layout, folder_levels
from supcon_tf.errors import ArgumentError, printable


def arrange(names, folder="/x", **options):
    """Returns split → set of (name, class), and the remarks."""
    layout = folder_layout.arrange(folder, sorted(names), **{"labels": True, **options})
    found = {split: {(file.name, file.label) for file in files} for split, files in layout.splits.items()}
    return found, layout.remarks


def class_files(prefix, classes=("cats", "dogs"), count=3):
    return [f"{prefix}{name}/{i}.jpg" for name in classes for i in range(count)]


def classes_of(found):
    return {split: {label for _, label in files} for split, files in found.items()}


PAIRS_OF_NAMES = [
    *[("train", "test"), ("training_set", "test_set"), ("seg_train", "seg_test"), ("Training", "Testing")],
    *[("train-images", "test-images"), ("trainset", "testset"), ("train_data", "test_data"), ("train", "eval")],
]


@pytest.mark.parametrize(("train", "test"), PAIRS_OF_NAMES)
@pytest.mark.parametrize("repeated", [False, True])
def test_split_folders_are_not_classes_even_if_they_repeat(train, test, repeated):
    above = {name: f"{name}/{name}/" if repeated else f"{name}/" for name in (train, test)}
    found, remarks = arrange([*class_files(above[train]), *class_files(above[test], count=2)])
    assert classes_of(found) == {"train": {"cats", "dogs"}, "test": {"cats", "dogs"}}
    assert {split: len(files) for split, files in found.items()} == {"train": 6, "test": 4}
    assert remarks == []


def write_contents(folder, contents):
    """Writes files: name → content."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def test_a_copy_of_the_classes_one_level_deeper_is_not_used_and_mentioned(tmp_path):
    names = [*class_files("", ("no", "yes")), *class_files("yesno/", ("no", "yes"))]
    write_contents(tmp_path, {name: name.split("/")[-1] for name in names})
    found, remarks = arrange(names, folder=str(tmp_path))
    assert classes_of(found) == {"train": {"no", "yes"}, "test": {"no", "yes"}}
    assert sum(map(len, found.values())) == 6
    (remark,) = remarks
    assert "a copy of the folders beside 'yesno': 6" in remark


def test_other_images_with_the_same_names_are_no_copy(tmp_path):
    names = [*class_files(""), *class_files("site2/")]
    write_contents(tmp_path, {name: name for name in names})
    with pytest.raises(ArgumentError, match="'site2' repeats the folders 'cats', 'dogs' beside it"):
        arrange(names, folder=str(tmp_path))
    found, remarks = arrange(names, folder=str(tmp_path), labels=False)
    assert found == {"train": {(name, "") for name in names}} and remarks == []


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (
            ("site1/cats", "site1/dogs", "site2/cats", "site2/dogs", "extra/misc"),
            "'site1', 'site2' hold folders of the",
        ),
        (("data/train/cats", "data/test/cats", "other/train/cats"), "'data' holds 'test', 'train', which look like"),
        (("train/train/cats", "train/test/cats"), "the folder 'train' holds 'test', 'train', which look like splits"),
        (("yes", "no", "brain/yes", "brain/no", "brain/brain/yes"), "'brain' repeats the folders 'brain', 'no', 'yes'"),
    ],
)
def test_one_odd_folder_hides_no_level_that_is_no_class(folders, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        arrange([f"{folder}/{i}.jpg" for folder in folders for i in range(3)])


def test_masks_inside_the_classes_are_not_trained_on():
    folders = ("cats/images", "cats/masks", "dogs/images")
    found, (remark,) = arrange([f"{folder}/{i}.jpg" for folder in folders for i in range(3)])
    assert classes_of(found)["train"] == {"cats", "dogs"} and "annotations beside 'images' in a class: 3" in remark


def test_images_beside_annotations_are_no_classes():
    names = ["images/1.jpg", "images/2.jpg", "annotations/trimaps/1.png", "labels.csv"]
    with pytest.raises(ArgumentError, match=r"only one class, 'images'; .*labels\.csv is not read"):
        arrange(names)
    found, (remark,) = arrange(names[:3], labels=False)
    assert found == {"train": {("images/1.jpg", ""), ("images/2.jpg", "")}}
    assert "annotations/trimaps/1.png" in remark


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (
            [*class_files("2020/"), *class_files("2021/")],
            "'2020', '2021' hold folders of the same names, 'cats', 'dogs'",
        ),
        (
            [*class_files("pets_a/"), *class_files("pets_b/"), *class_files("", ("more",))],
            "hold folders of the same names",
        ),
        ([*class_files(""), *class_files("again/"), "again/cats/9.jpg"], "'again' repeats the folders 'cats', 'dogs'"),
        ([*class_files("train/a/"), *class_files("train/b/"), *class_files("test/", "ab")], "of the same names"),
        (["train/Cat/1.jpg", "train/Dog/1.jpg", "test/cat/1.jpg"], "class 'cat', but 'train' has 'Cat'"),
        (["a/1.jpg", "b/1.jpg", "c/1.jpg"], "no class has a second image"),
        ([*class_files("train/images/"), *class_files("test/images/")], "only one class, 'images'; .*class_level"),
        (class_files("", ("a\nb", "c")), "a line break"),
        (class_files("", ("a\u2028b", "c")), "a line break"),
        (class_files("", (" ", "c")), "is blank"),
    ],
)
def test_ambiguous_levels_are_refused_by_name(names, complaint):
    with pytest.raises(ArgumentError, match=complaint) as error:
        arrange(names)
    assert error.value.argument == "dataset"


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (("p1/cat", "p1/dog", "p2/cat"), "'p1', 'p2' hold folders of the same names, 'cat'"),
        (("p1/cat", "p1/dog", "p2/cat", "p3/dog"), "'p1', 'p2', 'p3' hold folders of the same names, 'cat', 'dog'"),
        (("cat", "dog", "again", "again/cat", "again/dog"), "'again' repeats the folders 'cat', 'dog'"),
        (("cars", "ships", "train/freight", "train/passenger"), "'train' may be a split, or a class beside 'cars', 's"),
        (("cars", "train/freight", "train/passenger"), "'train' may be a split, or a class beside 'cars'"),
    ],
)
def test_a_level_that_may_not_be_the_class_is_refused_and_class_level_decides(folders, complaint):
    names = [f"{folder}/{i}.jpg" for folder in folders for i in range(3)]
    with pytest.raises(ArgumentError, match=complaint):
        arrange(names)
    assert classes_of(arrange(names, class_level=1)[0])["train"] == {folder.split("/")[0] for folder in folders}


def test_a_folder_with_the_classes_of_train_is_refused_by_name():
    folders = ("train/cat", "train/dog", "unseen/cat", "unseen/dog")
    with pytest.raises(
        ArgumentError, match="'unseen' holds folders of the same names as 'train'; if it is a split, call"
    ):
        arrange([f"{folder}/{i}.jpg" for folder in folders for i in range(3)])


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("train/cat", "train/dog", "extra/cat", "extra/dog"), {"cat", "dog"}),
        (("ford/sedan", "ford/suv", "bmw/sedan", "bmw/coupe"), {"ford", "bmw"}),
        (("cat/images", "cat/more", "dog/images"), {"cat", "dog"}),
        (("cat/indoor", "dog/indoor"), {"cat", "dog"}),
        (("cat", "cat/indoor", "dog/indoor", "dog/outdoor"), {"cat", "dog"}),
        (("train/cat", "train/dog", "test1"), {"cat", "dog"}),
        (("train/cat", "train/dog", "unlabelled", "samples", "masks"), {"cat", "dog"}),
        (("train/cat", "train/dog", "backup/cat"), {"cat", "dog"}),
    ],
)
def test_folders_that_cannot_be_mistaken_are_not_refused(folders, classes):
    assert classes_of(arrange([f"{folder}/{i}.jpg" for folder in folders for i in range(3)])[0])["train"] == classes


@pytest.mark.parametrize("level, above", [(1, ""), (2, "site/"), (3, "a/b/")])
def test_annotations_are_left_out_whatever_the_level_of_the_class(level, above):
    folders = [f"{above}{name}" for name in ("cats/images", "cats/masks", "dogs/images")]
    found, (remark,) = arrange([f"{folder}/{i}.jpg" for folder in folders for i in range(3)], class_level=level)
    assert classes_of(found)["train"] == {"cats", "dogs"} and "annotations beside 'images' in a class: 3" in remark
    tops = [f"images/{above}cats", f"images/{above}dogs", f"annotations/{above}cats"]
    found, (remark,) = arrange([f"{folder}/{i}.jpg" for folder in tops for i in range(3)], class_level=level + 1)
    assert classes_of(found)["train"] == {"cats", "dogs"} and "annotations beside 'images': 3" in remark


GROUPED = [f"{name}/p{p}/{i}.jpg" for name in ("cat", "dog") for p in range(10) for i in range(3)]
PREFIXED = [f"{name}/p{p}_{i}.jpg" for name in ("cat", "dog") for p in range(10) for i in range(3)]


@pytest.mark.parametrize("names, group", [(GROUPED, "folder"), (PREFIXED, "prefix:_")])
def test_a_group_of_files_stays_on_one_side(names, group):
    found, _ = arrange(names, group=group)
    assert classes_of(found) == {"train": {"cat", "dog"}, "test": {"cat", "dog"}}
    groups = {split: {re.search(r"p\d", name)[0] for name, _ in files} for split, files in found.items()}
    assert groups["train"] and groups["test"] and not groups["train"] & groups["test"]
    other = arrange(names, class_level=1)[0]
    assert {re.search(r"p\d", name)[0] for name, _ in other["train"]} & {
        re.search(r"p\d", name)[0] for name, _ in other["test"]
    }


def test_a_group_on_both_sides_of_the_users_splits_is_refused():
    names = [f"{split}/{name}/p{p}_1.jpg" for split, p in (("train", 1), ("train", 2), ("test", 2)) for name in "ab"]
    with pytest.raises(ArgumentError, match="'train' and 'test' share 1 groups, e.g. p2; put each on one side"):
        arrange(names, group="prefix:_")
    assert arrange(names)[0]["test"]


@pytest.mark.parametrize("group", ["folder", "prefix:-"])
def test_groups_of_nothing_are_refused(group):
    with pytest.raises(ArgumentError, match="no two files share a group"):
        arrange(class_files("", ("cat", "dog")), group=group)


def test_groups_are_counted():
    assert any(remark.startswith("Groups that stay together: ") for remark in arrange(GROUPED, group="folder")[1])


def test_groups_that_are_all_of_their_class_are_not_held_out():
    with pytest.raises(ArgumentError, match="each group is all that one of its classes has"):
        arrange([f"{name}/{name}_{i}.jpg" for name in "ab" for i in range(9)], group="prefix:_")


def test_class_level_says_which_level_is_the_class():
    names = [*class_files("2020/"), *class_files("2021/")]
    assert classes_of(arrange(names, class_level=1)[0])["train"] == {"2020", "2021"}
    assert classes_of(arrange(names, class_level=2)[0])["train"] == {"cats", "dogs"}
    assert arrange(names, class_level=0, labels=False)[0] == {"train": {(name, "") for name in names}}


def test_a_deeper_folder_is_the_subclass():
    names = ["cat/old/1.jpg", "cat/young/2.jpg", "dog/1.jpg", "dog/2.jpg"]
    splits = folder_layout.arrange("/x", names, labels=True).splits
    kept = {(file.label, file.subclass) for files in splits.values() for file in files}
    assert kept == {("cat", "old"), ("cat", "young"), ("dog", "")}


def test_classes_that_differ_only_in_capital_letters_are_mentioned():
    found, (remark,) = arrange(class_files("", ("Cat", "cat", "dog", "a", "A")))  # single letters are meant so
    assert classes_of(found)["train"] == {"Cat", "cat", "dog", "a", "A"}
    assert remark == "'Cat' and 'cat' are two classes: their names differ only in capital letters"


def test_names_in_two_unicode_forms_are_one_class():
    cafe = {form: unicodedata.normalize(form, "café") for form in ("NFC", "NFD")}
    assert cafe["NFC"] != cafe["NFD"]
    found, _ = arrange([*class_files("train/", (cafe["NFC"], "bar")), *class_files("test/", (cafe["NFD"], "bar"))])
    assert classes_of(found) == {"train": {cafe["NFC"], "bar"}, "test": {cafe["NFC"], "bar"}}


SEGMENT = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=6)
NAMES = st.lists(st.sampled_from(["train", "test", "a", "b", "images"]) | SEGMENT, min_size=1, max_size=4).map("/".join)


@settings(deadline=None, max_examples=200)
@example({"train", "train/test/train/train", "train/train/train"}, True, None)
@example({"train/a/1.png", "train/b/1.png", "test"}, True, None)  # a file that is called like a split
@given(st.sets(NAMES, min_size=1, max_size=12), st.booleans(), st.sampled_from([None, 0, 1, 2]))
def test_any_folder_is_arranged_or_refused_in_one_line(names, labels, class_level):
    if class_level == 0:
        labels = False
    try:
        layout = folder_layout.arrange("/x", sorted(names), labels=labels, class_level=class_level)
    except ArgumentError as error:
        assert len(printable(str(error)).splitlines()) == 1
        return
    used = [file.name for files in layout.splits.values() for file in files]
    assert len(used) == len(set(used)) and set(used) <= names  # no image is on two sides
    classes = {split: {file.label for file in files} for split, files in layout.splits.items()}
    if labels:
        assert "" not in classes["train"] and len(classes["train"]) > 1
    for found in classes.values():
        assert found <= classes["train"]  # no held-out class lacks training images
    assert all(len(remark.splitlines()) == 1 for remark in layout.remarks)
    for files in layout.splits.values():
        for file in files:
            assert not file.label or file.label in map(str.strip, parts_of(file.name))


def parts_of(name):
    """Returns the parts of a name, in all Unicode forms that count as equal."""
    return [unicodedata.normalize(form, part) for part in name.split("/") for form in ("NFC", "NFD")] + name.split("/")


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"-")


def test_what_a_system_keeps_for_itself_is_passed_over(tmp_path):
    write(tmp_path, "cat/1.jpg", "dog/1.jpg")
    write(tmp_path, "@eaDir/1.jpg", "cat/@eaDir/1.jpg/THUMB.jpg", "#recycle/2.jpg", "$RECYCLE.BIN/3.jpg", "cat/Icon\r")
    write(tmp_path, "__MACOSX/cat/1.jpg", ".ipynb_checkpoints/1.jpg", "lost+found/x", "System Volume Information/x")
    write(tmp_path, "dog/.@__thumb/1.jpg", "@__thumb/1.jpg", "RECYCLER/1.jpg", "cat/thumbnails/1.jpg")
    os.mkfifo(tmp_path / "dog/pipe.png")
    listing = folder_files.list_files(str(tmp_path))
    assert listing.names == ["cat/1.jpg", "dog/1.jpg"]
    assert len(listing.passed_over) == 14


def test_a_link_that_leads_back_is_named_and_other_links_are_followed(tmp_path):
    write(tmp_path, "a/1.jpg", "b/1.jpg")
    write(tmp_path.parent / "elsewhere", "2.jpg")
    (tmp_path / "c").symlink_to(tmp_path.parent / "elsewhere")
    assert folder_files.list_files(str(tmp_path)).names == ["a/1.jpg", "b/1.jpg", "c/2.jpg"]
    (tmp_path / "b/itself.jpg").symlink_to("itself.jpg")  # is reported as a file that cannot be read
    assert folder_files.list_files(str(tmp_path)).names == ["a/1.jpg", "b/1.jpg", "b/itself.jpg", "c/2.jpg"]
    (tmp_path / "a/all").symlink_to("..")
    with pytest.raises(ArgumentError, match="the link 'a/all' leads back"):
        folder_files.list_files(str(tmp_path))


def test_names_that_are_not_utf8_are_named_safely(tmp_path):
    write(tmp_path, "a/1.jpg")
    with open(os.fsencode(tmp_path) + b"/a/\xff.jpg", "wb"):
        pass
    with pytest.raises(ArgumentError, match=re.escape(r"b'a/\xff.jpg' is not UTF-8")):
        folder_files.list_files(str(tmp_path))
    with pytest.raises(ArgumentError, match="the path is not UTF-8") as error:
        folder_files.list_files(os.fsdecode(os.fsencode(tmp_path) + b"/\xfe"))
    printable(str(error.value)).encode()


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path, "a/1.jpg", "b/1.jpg")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ArgumentError, match=r"its folder 'b' cannot be read \(Permission denied\)"):
        folder_files.list_files(str(tmp_path))


@pytest.mark.parametrize("name", ["toys", "a b", "mytest", "trainer", "images", "2020"])
def test_other_names_are_no_splits(name):
    assert folder_levels.split_of(name) is None
