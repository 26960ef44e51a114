"""Finds files with the same content: a model that has trained on one knows the other."""

import collections
import hashlib
from typing import Callable, Dict, Hashable, Iterable, List, Sequence

import tensorflow as tf

from supcon_tf.data.folder_files import ImageFile

BEGINNING = 4096  # bytes that are compared before whole files are read


def copies_of(files: Iterable[ImageFile], trained_on: Iterable[ImageFile]) -> Dict[str, str]:
    """Returns name of a file → name of a training file with the same content.

    Args:
      files: held-out files.
      trained_on: files to train on.
    """
    trained_on = list(trained_on)
    known, first = {file.name for file in trained_on}, first_copies([*trained_on, *files])
    return {name: twin for name, twin in first.items() if name not in known and twin in known}


def first_copies(files: Sequence[ImageFile]) -> Dict[str, str]:
    """Returns name of a file → name of the first file with the same content, for each file that is not the first.

    Reads whole files only if their size and their beginning occur twice.
    """
    first: Dict[str, str] = {}
    for same_size in _grouped(files, _size):
        for same_beginning in _grouped(same_size, lambda file: _digest(file, BEGINNING)):
            for group in _grouped(same_beginning, lambda file: _digest(file, -1)):
                first.update((file.name, group[0].name) for file in group[1:])
    return first


def _grouped(files: Iterable[ImageFile], key: Callable[[ImageFile], Hashable]) -> List[List[ImageFile]]:
    """Returns the groups of two or more files with an equal key. Leaves out files that cannot be read."""
    groups = collections.defaultdict(list)
    for file in files:
        try:
            groups[key(file)].append(file)
        except tf.errors.OpError:  # preparation names such a file
            continue
    return [group for group in groups.values() if len(group) > 1]


def _size(file: ImageFile) -> int:
    return tf.io.gfile.stat(file.path).length


def _digest(file: ImageFile, length: int) -> bytes:
    with tf.io.gfile.GFile(file.path, "rb") as stream:
        return hashlib.sha256(stream.read(length)).digest()
