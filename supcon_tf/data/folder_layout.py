"""The layout of a folder of images: which file belongs to which split and class."""

import collections
import functools
import hashlib
import itertools
import os
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from supcon_tf.data import folder_levels
from supcon_tf.data.copies import first_copies
from supcon_tf.data.folder_files import PREFIX, ImageFile, empty_folders, unusable
from supcon_tf.data.folder_levels import IMAGE_SUFFIXES, Placed
from supcon_tf.data.groups import FOLDER, grouped_text, groups_of, has_no_group, torn_apart
from supcon_tf.errors import NAME_ONLY, ArgumentError, printable

TEST_SHARE = 0.2  # share of each class that is held out where the folder has no images for evaluation
TABLE_SUFFIXES = (".csv", ".tsv")
# Endings of names of files that are surely no images. Files with other endings, or none, are looked into.
NO_IMAGES = (
    *(".txt", ".pdf", ".md", ".html", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".py", ".ipynb"),
    *(".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".zip", ".tar", ".gz", ".7z", ".rar", ".parquet"),
)


class Layout(NamedTuple):
    """Holds what was recognised in a folder.

    Attributes:
      splits: the files of each split that has any.
      remarks: lines about files that are not used.
    """

    splits: Dict[str, List[ImageFile]]
    remarks: List[str]


def arrange(
    folder: str,
    names: Sequence[str],
    *,
    labels: bool,
    class_level: Optional[int] = None,
    group: Optional[str] = None,
) -> Layout:
    """Recognises the layout of a folder, and from it the split and the class of each file.

    Args:
      folder: path of the folder.
      names: its files, relative to it.
      labels: whether the images must have classes.
      class_level: number of the level of folders below the split that are the classes; 0 if there are none. None takes
        the first level, unless it looks like something else.
      group: see `groups.groups_of`; None for no groups. With 'folder', the first level is the class if `class_level` is
        None.

    Raises:
      ArgumentError: the images cannot be trained on. Names the option `dataset`.
    """
    class_level = 1 if class_level is None and group == FOLDER else class_level
    paths = [tuple(name.split("/")) for name in names]
    roles = folder_levels.find_splits(folder, paths, all_classes=class_level is not None or not labels)
    placed = folder_levels.below_splits(roles, names)
    remarks, left_out = _remove_strays(folder, placed, class_level)
    if class_level == 0:
        return Layout({"train": _without_classes(folder, placed["train"])}, remarks)
    if class_level is None:
        try:
            for files in placed.values():
                folder_levels.check_levels(folder, files)
        except ArgumentError:
            if labels:
                raise
            return Layout({"train": _without_classes(folder, placed["train"])}, remarks)

    depth = (class_level or 1) - 1
    spelling: Dict[str, str] = {}
    splits = {split: _with_classes(folder, files, depth, spelling) for split, files in placed.items()}
    if not labels and len({file.label for file in splits["train"]}) < 2:
        return Layout({"train": _without_classes(folder, placed["train"])}, remarks)
    nested = any(len(file.path) > depth + 2 for files in placed.values() for file in files)
    train_folder = next((top for top, split in roles.items() if split == "train"), "")
    remarks += _check_classes(folder, splits, train_folder, nested=nested, names=names)
    used = {file.name for files in splits.values() for file in files} | left_out
    unused = [name for name in names if name not in used and name.lower().endswith(IMAGE_SUFFIXES)]
    if unused:
        remarks.append(_remark("images outside the splits and their classes", unused))
    groups = None if group is None else _groups(folder, splits, group)
    splits = _held_out(folder, splits, groups, labels=labels)
    remarks += [grouped_text(splits, groups)] if groups else []
    if not splits["test"] and not splits["validation"]:
        return Layout({"train": _without_classes(folder, placed["train"])}, remarks)
    return Layout({split: files for split, files in splits.items() if files}, remarks)


def _remove_strays(
    folder: str, placed: Dict[str, List[Placed]], class_level: Optional[int]
) -> Tuple[List[str], Set[str]]:
    """Removes annotations and copies of folders from each split; returns remarks and the names of what was removed."""
    remarks: List[str] = []
    left_out: Set[str] = set()
    removals = [functools.partial(folder_levels.without_annotations, class_level=class_level or 1)]
    if not class_level:
        removals.append(functools.partial(folder_levels.without_copies, folder))
    for split, remove in itertools.product(placed, removals):
        placed[split], rejected = remove(placed[split])
        remarks += [_remark(reason, [file.name for file in files]) for reason, files in rejected]
        left_out.update(file.name for _, files in rejected for file in files)
    return remarks, left_out


def _groups(folder: str, splits: Dict[str, List[ImageFile]], group: str) -> Dict[str, str]:
    """Returns name of a file → its group.

    Raises:
      ArgumentError: no two files share a group.
    """
    groups = groups_of([file for files in splits.values() for file in files], group)
    if has_no_group(groups):
        raise unusable(folder, "no two files share a group; leave {group} out, or say otherwise", group=group)
    return groups


def _held_out(
    folder: str, splits: Dict[str, List[ImageFile]], groups: Optional[Dict[str, str]], *, labels: bool
) -> Dict[str, List[ImageFile]]:
    """Returns the splits, with a test split held out if no images are for evaluation.

    Raises:
      ArgumentError: labels are needed and no image can be held out, or a group is on both sides.
    """
    torn = torn_apart(splits, groups) if groups else None
    if torn is not None:
        raise unusable(folder, torn)
    if splits["test"] or splits["validation"]:
        return splits
    train, test = hold_out(splits["train"], groups)
    if not test and labels:
        problem = "no class has a second image" if groups is None else "each group is all that one of its classes has"
        raise unusable(
            folder,
            f"{problem}, so none can be held out for evaluation; add images, or train without classes with {{mode}}",
            mode="simclr",
        )
    return {**splits, "train": train, "test": test}


def _look_alikes(classes: Set[str]) -> List[str]:
    """Returns a line for each two classes whose names differ only in capital letters; single letters are left out."""
    first: Dict[str, str] = {}
    alike = ((first.setdefault(name.casefold(), name), name) for name in sorted(classes) if len(name) > 1)
    problem = "are two classes: their names differ only in capital letters"
    return [f"'{one}' and '{other}' {problem}" for one, other in alike if one != other]


def check_images(folder: str, names: Sequence[str]) -> None:
    """Raises ArgumentError if all files are surely no images."""
    if all(name.lower().endswith(NO_IMAGES) for name in names):
        raise unusable(folder, f"holds no images, only files such as {printable(names[0])}")


def _remark(reason: str, names: Sequence[str]) -> str:
    return printable(f"Not used, {reason}: {len(names):,}, e.g. {names[0]}")


def _tables(names: Sequence[str]) -> List[str]:
    return [name for name in names if name.lower().endswith(TABLE_SUFFIXES)]


def _without_classes(folder: str, files: Sequence[Placed]) -> List[ImageFile]:
    return [ImageFile(os.path.join(folder, name), name, "") for name, _ in files]


def _with_classes(folder: str, files: Sequence[Placed], depth: int, spelling: Dict[str, str]) -> List[ImageFile]:
    """Returns the files that lie in a folder of a class.

    Args:
      folder: path of the user's folder.
      files: the files of a split.
      depth: number of folders between the split and the class.
      spelling: key of a class → its name in the first spelling. Gets further classes.

    Raises:
      ArgumentError: a name cannot be that of a class.
    """
    found = []
    for name, path in files:
        if len(path) > depth + 1:
            label = spelling.setdefault(folder_levels.same_name(path[depth]), path[depth].strip())
            if not label or label != printable(label):
                problem = "is blank" if not label else "has a line break or a control character"
                raise unusable(folder, f"the name of the class folder '{path[depth]}' {problem}; rename it")
            subclass = path[depth + 1] if len(path) > depth + 2 else ""
            found.append(ImageFile(os.path.join(folder, name), name, label, subclass))
    return found


def _check_classes(
    folder: str, splits: Dict[str, List[ImageFile]], train_folder: str, *, nested: bool, names: Sequence[str]
) -> List[str]:
    """Returns remarks on the names of the classes.

    Raises:
      ArgumentError: there are fewer than two classes, or there is no image to train on for a class.
    """
    classes = {file.label for file in splits["train"]}
    with_images = {file.label for file in splits["train"] if not file.name.lower().endswith(NO_IMAGES)}
    tables = _tables(names)
    table = f"; each class needs its own folder, and {tables[0]} is not read" if tables else ""
    if not classes:
        where = os.path.join(folder, train_folder) if train_folder else folder
        raise unusable(folder, f"no folders of classes in {where}{table}; without classes, use {{mode}}", mode="simclr")
    if len(classes) > 1 and len(with_images) == 1:
        without = sorted(classes - with_images)[0]
        problem = f"there is only one class with images, '{with_images.pop()}'; the folder '{without}' holds no images"
        raise unusable(folder, problem)
    if len(classes) == 1:
        (only,) = classes
        empty = empty_folders(os.path.join(folder, train_folder), names, train_folder)
        hint = f"; the folder '{empty[0]}' holds no images{table}" if empty else table
        if nested and not train_folder:
            hint = f"; did you mean {PREFIX}{os.path.join(folder, only)}?"
        elif nested:
            hint = "; if the folders below it are the classes, give {class_level}"
        elif only.lower() in folder_levels.IMAGE_FOLDERS and not table:
            hint = "; each class needs its own folder"
        raise unusable(folder, f"there is only one class, '{only}'{hint}", class_level=NAME_ONLY)
    for split, files in splits.items():
        unknown = sorted({file.label for file in files} - classes)
        if unknown:
            similar = _similar(unknown[0], classes)
            but = f"there is no such image to train on; add some to 'train', or move that folder out of '{split}'"
            if similar:
                but = f"'train' has '{similar}'; give both the same name"
            raise unusable(folder, f"'{split}' has the class '{unknown[0]}', but {but}")
    return _look_alikes(classes)


def _similar(name: str, classes: Set[str]) -> Optional[str]:
    """Returns the class whose name differs only in capital letters, or None."""
    return next((one for one in sorted(classes) if one.casefold() == name.casefold()), None)


def hold_out(
    files: Iterable[ImageFile], groups: Optional[Mapping[str, str]] = None
) -> Tuple[List[ImageFile], List[ImageFile]]:
    """Splits files into files to train on and files for the test.

    A file goes to the test with a probability of `TEST_SHARE`, decided by a hash of its name and class alone. So it
    stays on its side when other files come and go. Each class of two or more files has at least one on either side.
    Copies of one content go to one side, unless a class has nothing else.

    Args:
      files: the files.
      groups: name of a file → its group. Groups stay together, and go to the test in the order of their hashes, until a
        share of `TEST_SHARE` of the images is there; each class keeps images to train on. None for no groups.
    """
    if groups:
        return _hold_out_groups(list(files), groups)
    train: List[ImageFile] = []
    test: List[ImageFile] = []
    files = list(files)
    first = first_copies(files)
    classes = collections.defaultdict(list)
    for file in files:
        classes[file.label].append((_chance(first.get(file.name, file.name)), file))
    for members in classes.values():
        if len({chance for chance, _ in members}) == 1:  # all are copies of one, and cannot be kept together
            members[:] = [(_chance(file.name), file) for _, file in members]
        members.sort()
        drawn = sum(chance < TEST_SHARE for chance, _ in members)
        drawn = min(max(drawn, 1), len(members) - 1)
        drawn = _between_copies([chance for chance, _ in members], drawn)
        test += [file for _, file in members[:drawn]]
        train += [file for _, file in members[drawn:]]
    return train, test


def _between_copies(chances: Sequence[float], drawn: int) -> int:
    """Returns the number nearest to `drawn` that does not part equal chances, which are those of copies.

    >>> _between_copies([0.1, 0.2, 0.2, 0.3], 2), _between_copies([0.1, 0.1], 1)
    (1, 0)

    Args:
      chances: ascending.
      drawn: the number without regard to copies.
    """
    ends = [number for number in range(1, len(chances)) if chances[number - 1] != chances[number]]
    return min(ends, key=lambda end: (abs(end - drawn), end), default=0)


def _hold_out_groups(files: Sequence[ImageFile], groups: Mapping[str, str]) -> Tuple[List[ImageFile], List[ImageFile]]:
    members = collections.defaultdict(list)
    for file in files:
        members[groups[file.name]].append(file)
    left = collections.Counter(file.label for file in files)
    held_out: Set[str] = set()
    number = 0
    for group in sorted(members, key=_chance):
        labels = collections.Counter(file.label for file in members[group])
        keeps_all = all(left[label] > count for label, count in labels.items())
        if keeps_all and (not held_out or number + len(members[group]) <= TEST_SHARE * len(files)):
            held_out.add(group)
            number += len(members[group])
            left -= labels
    sides: Tuple[List[ImageFile], List[ImageFile]] = ([], [])
    for file in files:
        sides[groups[file.name] in held_out].append(file)
    return sides


def _chance(name: str) -> float:
    """Returns a number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
