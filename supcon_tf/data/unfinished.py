"""Marks the folders in which this program prepares data, so that those of a killed process can be removed.

TFDS prepares a data set in a folder beside its final one and renames it at the end.
"""

import contextlib
import os
import shutil
import uuid
from typing import Any, Iterator, Optional

from tensorflow_datasets.core import utils

try:
    import fcntl
except ImportError:  # Windows: leftovers stay there
    fcntl = None  # type: ignore[assignment]

PREFIX = "incomplete.supcon_tf-"


@contextlib.contextmanager
def marked() -> Iterator[None]:
    """Makes TFDS prepare data in folders that `remove_leftovers` knows."""
    original = utils.incomplete_dir

    def incomplete_dir(dirname: Any, *args: Any, **options: Any) -> Any:
        if fcntl is None or "://" in os.fspath(dirname):
            return original(dirname, *args, **options)
        return _incomplete_dir(os.path.abspath(dirname))

    utils.incomplete_dir = incomplete_dir
    try:
        yield
    finally:
        utils.incomplete_dir = original


def remove_leftovers(folder: str) -> None:
    """Removes what killed processes of this program have left in the folder of a data set."""
    names = os.listdir(folder) if fcntl is not None and os.path.isdir(folder) else []
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith(PREFIX):
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


@contextlib.contextmanager
def _incomplete_dir(path: str) -> Iterator[str]:
    """Yields a new folder that becomes `path` at the end, and is removed after an error. Holds its lock meanwhile."""
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    incomplete = os.path.join(parent, f"{PREFIX}{uuid.uuid4().hex[:8]}_{name}")
    os.mkdir(incomplete)
    lock = _lock(incomplete)
    try:
        yield incomplete + "/"
        os.rename(incomplete, path)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(path: str) -> Optional[int]:
    """Locks a folder; the system frees the lock when the process ends. Returns None where another process holds it."""
    lock = None
    try:
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # also a file system without locks
        if lock is not None:
            os.close(lock)
        return None
    return lock
