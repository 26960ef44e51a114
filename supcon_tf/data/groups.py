"""Groups of images that show nearly the same, such as those of a patient, a camera or a burst of photographs."""

from typing import Dict, List, Mapping, Optional, Sequence

from supcon_tf.data.folder_files import ImageFile
from supcon_tf.errors import printable

NAMED = 3  # number of groups in a message
FOLDER, PREFIX = "folder", "prefix:"  # what the option `group` may say about files of a folder


def groups_of(files: Sequence[ImageFile], group: str) -> Dict[str, str]:
    """Returns name of a file → its group.

    >>> files = [ImageFile("/x/a/p1_2.png", "a/p1_2.png", "a"), ImageFile("/x/a/p3/1.png", "a/p3/1.png", "a", "p3")]
    >>> groups_of(files, "folder"), groups_of(files, "prefix:_")
    ({'a/p1_2.png': 'a/p1_2.png', 'a/p3/1.png': 'p3'}, {'a/p1_2.png': 'p1', 'a/p3/1.png': 'a/p3/1.png'})

    Args:
      files: the files.
      group: 'folder' for the folder below that of the class; or 'prefix:TEXT' for what the file's name has before TEXT.
        A file without one is a group by itself.
    """
    if group == FOLDER:
        return {file.name: file.subclass or file.name for file in files}
    text = group[len(PREFIX) :]
    prefixes = ((file.name, file.name.rsplit("/", 1)[-1].partition(text)) for file in files)
    return {name: prefix if found else name for name, (prefix, found, _) in prefixes}


def torn_apart(splits: Mapping[str, Sequence[ImageFile]], groups: Mapping[str, str]) -> Optional[str]:
    """Returns what is wrong if images of a group are both in 'train' and in another split, otherwise None."""
    train = {groups[file.name] for file in splits["train"]}
    for split, files in splits.items():
        torn: List[str] = sorted(train & {groups[file.name] for file in files}) if split != "train" else []
        if torn:
            some = printable(", ".join(torn[:NAMED]))
            return f"'train' and '{split}' share {len(torn):,} groups, e.g. {some}; put each on one side"
    return None


def grouped_text(splits: Mapping[str, Sequence[ImageFile]], groups: Mapping[str, str]) -> str:
    """Returns a line with the numbers of groups in 'train' and held out."""
    train = {groups[file.name] for file in splits["train"]}
    held_out = {groups[file.name] for split, files in splits.items() if split != "train" for file in files}
    return f"Groups that stay together: {len(train):,} for training, {len(held_out):,} held out"


def has_no_group(groups: Mapping[str, str]) -> bool:
    """Returns whether every file is a group by itself, so that nothing is kept together."""
    return len(set(groups.values())) == len(groups)
