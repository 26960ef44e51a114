"""Files with the same content on both sides of a split."""

import numpy as np
import PIL.Image

from supcon_tf.config import DataOptions
from supcon_tf.data import load
from supcon_tf.data.copies import copies_of, first_copies
from supcon_tf.data.folder_files import ImageFile


def files(tmp_path, **contents):
    found = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        found.append(ImageFile(str(tmp_path / name), name, "cat"))
    return found


def test_a_copy_is_told_by_its_content(tmp_path):
    train = files(tmp_path, a=b"one", b=b"two", c=b"three")
    held_out = files(tmp_path, d=b"two", e=b"twu", f=b"three!", g=b"")
    assert copies_of(held_out, train) == {"d": "b"}
    assert copies_of([*held_out, ImageFile(str(tmp_path / "none"), "none", "cat")], train) == {"d": "b"}


def test_the_first_of_several_copies_stands_for_all(tmp_path):
    found = files(tmp_path, a=b"one", b=b"two", c=b"one", d=b"x" * 5000 + b"1", e=b"x" * 5000 + b"2", f=b"one")
    assert first_copies(found) == {"c": "a", "f": "a"}


def paint(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(path)


def loaded(path, tmp_path):
    return load.load(DataOptions(dataset=f"folder:{path}", data_dir=str(tmp_path / "prepared")), labels=True)


def test_no_copy_is_held_out_by_us_and_those_of_the_user_are_counted(tmp_path):
    for number in range(40):  # each image twice
        for name in ("cat", "dog"):
            paint(tmp_path / "own" / name / f"{number}.png", number // 2 + 100 * (name == "dog"))
    splits = loaded(tmp_path / "own", tmp_path).builder.builder_config.splits
    assert 8 <= len(splits["test"]) <= 24 and not copies_of(splits["test"], splits["train"])
    for split, first in (("train", 0), ("test", 9)):
        for number in range(first, first + 10):
            for name in ("cat", "dog"):
                paint(tmp_path / "given" / split / name / f"{number}.png", number + 100 * (name == "dog"))
    said = "\n".join(load.findings(loaded(tmp_path / "given", tmp_path)))
    assert "Held-out files that are copies of training files: 2, e.g. test/cat/9.png of train/cat/9.png" in said
