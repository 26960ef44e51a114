"""The layout of a folder of images: which file belongs to which split and class."""

import collections
import hashlib
import os
import sys
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple

import tensorflow as tf

from supcon_tf.errors import ArgumentError

PREFIX = "folder:"  # how the name of a folder as a data set begins
TEST_SHARE = 0.2  # share of each class that is held out where the folder has no images for evaluation
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
HIDDEN = ("thumbs.db", "desktop.ini", "__macosx")


class ImageFile(NamedTuple):
    """A file: its path, its name relative to the user's folder, and its class (empty if it has none)."""

    path: str
    name: str
    label: str


def list_names(folder: str) -> List[str]:
    """Returns the sorted names, relative to the folder, of all files below it that are not hidden.

    Raises:
      ArgumentError: the folder does not exist, is empty, or has a name that is not UTF-8. Names the option `dataset`.
    """
    if not tf.io.gfile.isdir(folder):
        exists = tf.io.gfile.exists(folder)
        raise _unusable(folder, "is a file, not a folder" if exists else "there is no such folder")
    names = []
    try:
        for directory, _, files in tf.io.gfile.walk(folder):
            inside = directory[len(folder) :].strip("/")
            names += [os.path.join(inside, file) for file in files]
    except UnicodeDecodeError as error:
        raise _unusable(folder, f"the name {error.object!r} is not UTF-8") from error
    names = sorted(name for name in names if not any(map(_is_hidden, name.split("/"))))
    if not names:
        raise _unusable(folder, "the folder is empty")
    return names


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in HIDDEN


def arrange(folder: str, names: Sequence[str], *, labels: bool) -> Dict[str, List[ImageFile]]:
    """Recognises the layout of a folder, and from it the split and the class of each file.

    Args:
      folder: path of the folder.
      names: its files, as from `list_names`.
      labels: whether the images must have classes.

    Returns:
      The files of each split that has any.

    Raises:
      ArgumentError: the images cannot be trained on. Names the option `dataset`.
    """
    paths = [name.split("/") for name in names]
    tops = sorted({path[0] for path in paths if len(path) > 1})
    roles = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    train_has_folders = any(len(path) > 2 and roles.get(path[0]) == "train" for path in paths)
    # 'train' may also be a class, beside cars and ships.
    by_split = train_has_folders or ("train" in roles.values() and len(roles) == len(tops))
    depth = 1 if by_split else 0
    if by_split and len(set(roles.values())) < len(roles):
        raise _unusable(folder, f"two of the folders {', '.join(roles)} mean the same split; keep one")

    splits: Dict[str, List[ImageFile]] = {"train": [], "validation": [], "test": []}
    unused = []
    for name, path in zip(names, paths):
        split = roles.get(path[0]) if by_split else "train"
        if split and len(path) > depth + 1:
            splits[split].append(ImageFile(os.path.join(folder, name), name, path[depth].strip()))
        elif name.lower().endswith(IMAGE_SUFFIXES):
            unused.append(name)

    if not labels and len({file.label for file in splits["train"]}) < 2:
        chosen = [name for name, path in zip(names, paths) if not by_split or roles.get(path[0]) == "train"]
        return {"train": [ImageFile(os.path.join(folder, name), name, "") for name in chosen]}
    train_folder = next((top for top in tops if by_split and roles.get(top) == "train"), "")
    nested = any(len(path) > depth + 2 for path in paths)
    _check_classes(folder, splits, train_folder, nested=nested)
    if unused:
        print(f"Images outside the folders of classes, not used: {len(unused)}, e.g. {unused[0]}", file=sys.stderr)
    if not splits["test"] and not splits["validation"]:
        splits["train"], splits["test"] = hold_out(splits["train"])
    return {split: files for split, files in splits.items() if files}


def _check_classes(folder: str, splits: Dict[str, List[ImageFile]], train_folder: str, *, nested: bool) -> None:
    """Raises ArgumentError unless there are two classes or more, and images to train on for each class."""
    classes = {file.label for file in splits["train"]}
    if not classes:
        where = os.path.join(folder, train_folder) if train_folder else folder
        raise _unusable(folder, f"no folders of classes in {where}; without classes, use {{mode}}", mode="simclr")
    if len(classes) == 1:
        (only,) = classes
        hint = f"; did you mean {PREFIX}{os.path.join(folder, only)}?" if nested else ""
        raise _unusable(folder, f"there is only one class, '{only}'{hint}")
    for split, files in splits.items():
        unknown = sorted({file.label for file in files} - classes)
        if unknown:
            raise _unusable(folder, f"'{split}' has the class '{unknown[0]}', but there is no such image to train on")


def hold_out(files: Iterable[ImageFile]) -> Tuple[List[ImageFile], List[ImageFile]]:
    """Splits files into files to train on and files for the test.

    A file goes to the test with a probability of `TEST_SHARE`, decided by a hash of its name and class alone. So it
    stays on its side when other files come and go. Each class of two or more files has at least one on either side.
    """
    train: List[ImageFile] = []
    test: List[ImageFile] = []
    classes = collections.defaultdict(list)
    for file in files:
        classes[file.label].append((_chance(file.name), file))
    for members in classes.values():
        members.sort()
        drawn = sum(chance < TEST_SHARE for chance, _ in members)
        drawn = min(max(drawn, 1), len(members) - 1)
        test += [file for _, file in members[:drawn]]
        train += [file for _, file in members[drawn:]]
    return train, test


def _chance(name: str) -> float:
    """Returns a number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _unusable(folder: str, problem: str, **others: Any) -> ArgumentError:
    """Returns the error about a folder, which is the value of the option `dataset`."""
    return ArgumentError("dataset", PREFIX + folder, problem, **others)
