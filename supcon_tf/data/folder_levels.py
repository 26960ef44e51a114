"""Recognises what the levels of folders stand for: splits, classes, or neither."""

import collections
import filecmp
import itertools
import os
import re
import unicodedata
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from supcon_tf.data.folder_files import unusable
from supcon_tf.errors import NAME_ONLY

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "valset", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "holdout", "eval", "evaluation"), "test"),
}
# Words that a split's name may have besides, as in 'training_set' and 'seg_train'
FILLING = ("set", "split", "data", "dataset", "images", "image", "imgs", "img", "seg", "folder")
# Beginnings of names of folders beside 'train' that are no classes either: 'test1', 'extra', 'unlabelled'
NO_CLASSES = ("train", "test", "val", "extra", "sample", "unlabel")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
ANNOTATION_FOLDERS = (
    *("annotations", "annotation", "labels", "masks", "trimaps", "xmls", "bboxes", "bounding_boxes", "ground_truth"),
    *("imagesets", "segmentations", "segmentationclass", "segmentationobject"),
)
MOST_COMPARED = 50  # number of subfolders of a folder that are looked at
SHOWN = 3  # number of names in a message

Path = Tuple[str, ...]  # the parts of a file's name below the folder, or below its split


class Placed(NamedTuple):
    """A file of a split: its name relative to the user's folder, and the parts of this name below the split."""

    name: str
    path: Path


class Rejected(NamedTuple):
    """Files of a split that are no images of a class, and why."""

    reason: str
    files: List[Placed]


def split_of(name: str) -> Optional[str]:
    """Returns the split that a folder's name stands for, or None.

    >>> split_of("training_set"), split_of("seg_test"), split_of("Val"), split_of("trains")
    ('train', 'test', 'validation', None)
    """
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word and word not in FILLING]
    return SPLIT_NAMES.get(words[0]) if len(words) == 1 else None


def find_splits(folder: str, paths: Sequence[Path], *, all_classes: bool = False) -> Dict[str, str]:
    """Returns top folder → the split it holds; nothing if the folder is not divided into splits.

    Args:
      folder: path of the folder.
      paths: its files.
      all_classes: whether 'train' is a class where it is the only split and folders that may be classes lie beside it.

    Raises:
      ArgumentError: two folders mean the same split, or 'train' may be a class. Names the option `dataset`.
    """
    tops = sorted({path[0] for path in paths if len(path) > 1})
    roles = {top: split for top, split in ((top, split_of(top)) for top in tops) if split}
    train_has_folders = any(len(path) > 2 and roles.get(path[0]) == "train" for path in paths)
    # 'train' may also be a class, beside cars and ships.
    if not train_has_folders and not ("train" in roles.values() and len(roles) == len(tops)):
        return {}
    if len(set(roles.values())) < len(roles):
        raise unusable(folder, f"two of the folders {_listed(roles)} mean the same split; keep one")
    beside = _classes_beside_train(roles, paths)
    if beside and all_classes:
        return {}
    if beside:
        raise unusable(
            folder,
            f"the folder {_listed(roles)} may be a split, or a class beside {_listed(beside)}; move the latter away, "
            "or give {class_level} (1: all of them are classes)",
            class_level=NAME_ONLY,
        )
    like_train = _with_the_classes_of_train(roles, paths)
    if like_train:
        problem = f"{_listed(like_train)} holds folders of the same names as {_listed(roles)}"
        raise unusable(folder, f"{problem}; if it is a split, call it test or validation, otherwise move it away")
    return roles


def _with_the_classes_of_train(roles: Dict[str, str], paths: Sequence[Path]) -> List[str]:
    """Returns the folders beside the splits that hold just the classes of 'train', two or more."""
    below: Dict[str, Set[str]] = collections.defaultdict(set)
    for path in paths:
        if len(path) > 2 and path[-1].lower().endswith(IMAGE_SUFFIXES):
            below[path[0]].add(path[1])
    classes = set().union(*(below[top] for top, split in roles.items() if split == "train"))
    others = (top for top in below if top not in roles and not top.lower().startswith(NO_CLASSES))
    return sorted(top for top in others if len(below[top]) > 1 and below[top] <= classes)


def _classes_beside_train(roles: Dict[str, str], paths: Sequence[Path]) -> List[str]:
    """Returns the folders of images beside 'train', the only split, that may be classes as it may be one itself."""
    if set(roles.values()) != {"train"}:
        return []
    others: Dict[str, Set[str]] = collections.defaultdict(set)
    for path in paths:
        if len(path) > 1 and path[-1].lower().endswith(IMAGE_SUFFIXES):
            others[path[0]].update(path[1:-1][:1])
    classes = set().union(*(others.pop(top, set()) for top in roles))
    return sorted(
        top
        for top, below in others.items()
        if not below & classes
        and not top.lower().startswith(NO_CLASSES)
        and top.lower() not in (*IMAGE_FOLDERS, *ANNOTATION_FOLDERS)
    )


def below_splits(roles: Dict[str, str], names: Sequence[str]) -> Dict[str, List[Placed]]:
    """Returns the files of each split. All files are to train on if the folder is not divided into splits.

    A split that holds nothing but a folder for the same split, as in training_set/training_set/CLASS, counts once.
    """
    splits: Dict[str, List[Placed]] = {"train": [], "validation": [], "test": []}
    for name in names:
        path = tuple(name.split("/"))
        if not roles:
            splits["train"].append(Placed(name, path))
        elif path[0] in roles and len(path) > 1:
            splits[roles[path[0]]].append(Placed(name, path[1:]))
    for split in splits if roles else ():
        while _repeats(split, splits[split]):
            splits[split] = [Placed(name, path[1:]) for name, path in splits[split] if len(path) > 1]
    return splits


def _repeats(split: str, files: Sequence[Placed]) -> bool:
    tops = {path[0] for _, path in files if len(path) > 1}
    return len(tops) == 1 and split_of(*tops) == split


def without_annotations(files: Sequence[Placed], class_level: int = 1) -> Tuple[List[Placed], List[Rejected]]:
    """Removes folders of annotations that lie beside a folder 'images', down to the first level inside a class."""
    rest, rejected = list(files), []
    for depth in range(1, class_level + 2):
        where = " in a class" if depth > class_level else ""
        folders = sorted({file.path[:depth] for file in rest if len(file.path) > depth})
        images = [path for path in folders if path[-1].lower() in IMAGE_FOLDERS]
        parents = {path[:-1] for path in images}
        annotations = {path for path in folders if path[:-1] in parents and path[-1].lower() in ANNOTATION_FOLDERS}
        if annotations:
            left_out = [file for file in rest if file.path[:depth] in annotations]
            rest = [file for file in rest if file.path[:depth] not in annotations]
            rejected.append(Rejected(f"annotations beside '{images[0][-1]}'{where}", left_out))
    return rest, rejected


def without_copies(folder: str, files: Sequence[Placed]) -> Tuple[List[Placed], List[Rejected]]:
    """Removes a folder whose files have the names and the content of files beside it: CLASS/* and again/CLASS/*."""
    here = {path: name for name, path in files}
    rest, rejected = list(files), []
    for top in _repeating(files):
        copies = [file for file in files if file.path[0] == top]
        if all(file.path[1:] in here and _equal(folder, file.name, here[file.path[1:]]) for file in copies):
            rest = [file for file in rest if file.path[0] != top]
            rejected.append(Rejected(f"a copy of the folders beside '{top}'", copies))
    return rest, rejected


def _equal(folder: str, name: str, other: str) -> bool:
    """Returns whether two files have the same content."""
    try:
        return filecmp.cmp(os.path.join(folder, name), os.path.join(folder, other), shallow=False)
    except OSError:
        return False


def check_levels(folder: str, files: Sequence[Placed]) -> None:
    """Checks that the first level of folders can be classes.

    Raises:
      ArgumentError: the level repeats, or its folders have the same subfolders, as splits have. Names `dataset`.
    """
    for top in _repeating(files):
        names = _listed(sorted(_subfolders(files)[top]))
        raise unusable(
            folder,
            f"'{top}' repeats the folders {names} beside it; remove one of the two, or give {{class_level}} (1: "
            f"'{top}' is a class too)",
            class_level=NAME_ONLY,
        )
    subfolders = _subfolders(files)
    splits = sorted(name for name in subfolders if split_of(name))
    if len(splits) == len(subfolders) and len({split_of(name) for name in splits}) > 1:
        above = os.path.dirname(files[0].name[: -len("/".join(files[0].path))])
        where = f"the folder '{above}' holds" if above else "the folder holds"
        raise unusable(
            folder,
            f"{where} {_listed(splits)}, which look like splits; give the path of that folder, or {{class_level}} (1: "
            "they are classes)",
            class_level=NAME_ONLY,
        )
    nested = {top: below for top, below in subfolders.items() if below}
    for top, below in sorted(nested.items()):
        splits = sorted(name for name in below if split_of(name))
        if len({split_of(name) for name in splits}) > 1:
            raise unusable(
                folder,
                f"'{top}' holds {_listed(splits)}, which look like splits; give the path of that folder, or "
                f"{{class_level}} (1: '{top}' is a class)",
                class_level=NAME_ONLY,
            )
    nested, common = _sharing(nested, files)
    if common:
        raise unusable(
            folder,
            f"the folders {_listed(sorted(nested))} hold folders of the same names, {_listed(sorted(common))}; if they "
            "are splits, call them train and test; otherwise give {class_level} (1: the former are the classes, 2: the "
            "latter)",
            class_level=NAME_ONLY,
        )


def _sharing(nested: Dict[str, Set[str]], files: Sequence[Placed]) -> Tuple[Dict[str, Set[str]], Set[str]]:
    """Returns the folders that hold folders of the same names, and these names.

    Two names must be shared. One name is enough if it is all that a folder holds, and no name like 'images'.

    Args:
      nested: top folder → names of its subfolders.
      files: the files.
    """
    pairs = (itertools.combinations(sorted(below)[:MOST_COMPARED], 2) for below in nested.values())
    counts = collections.Counter(itertools.chain.from_iterable(pairs))
    common = {name for pair, count in counts.items() if count > 1 for name in pair}
    if common:
        return {top: below for top, below in nested.items() if len(below & common) > 1}, common
    with_images = {path[0] for _, path in files if len(path) == 2 and path[1].lower().endswith(IMAGE_SUFFIXES)}
    bare = {top: below for top, below in nested.items() if top not in with_images}
    several = set().union(*(below for below in bare.values() if len(below) > 1))
    common = set().union(*(below for below in bare.values() if len(below) == 1)) & several
    common = {name for name in common if name.lower() not in IMAGE_FOLDERS}
    return {top: below for top, below in bare.items() if below & common}, common


def _subfolders(files: Sequence[Placed]) -> Dict[str, Set[str]]:
    """Returns top folder → names of its subfolders."""
    found: Dict[str, Set[str]] = collections.defaultdict(set)
    for _, path in files:
        if len(path) > 1:
            found[path[0]].update(path[1:-1][:1])
    return found


def _repeating(files: Sequence[Placed]) -> List[str]:
    """Returns the top folders whose subfolders all have names of folders beside them."""
    below = _subfolders(files)
    repeated = {top: names - {top} for top, names in below.items()}
    return [top for top, names in sorted(repeated.items()) if names and names <= below.keys() - {top}]


def same_name(name: str) -> str:
    """Returns a key that is equal for class names that look alike: of one Unicode form, without outer blanks."""
    return unicodedata.normalize("NFC", name).strip()


def _listed(names: Any) -> str:
    """Lists a few names, and counts the others."""
    shown = [f"'{name}'" for name in list(names)[:SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
