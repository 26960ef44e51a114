"""Lists the files of a user's folder, without those that a system or a program keeps there for itself."""

import contextlib
import os
from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple

import tensorflow as tf

from supcon_tf.errors import ArgumentError, is_utf8

PREFIX = "folder:"  # how the name of a folder as a data set begins

# Names, in small letters, that systems and programs give to files and folders of their own. So are all names that
# begin with a dot, such as .DS_Store and .ipynb_checkpoints.
SYSTEM_NAMES = (
    "__macosx",  # macOS, in ZIP files
    "icon\r",  # macOS, the icon of a folder
    "network trash folder",
    "temporary items",
    "thumbs.db",  # Windows
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "@eadir",  # Synology, thumbnails
    "#recycle",
    "#snapshot",
    "@tmp",
    "@recycle",  # QNAP
    "@__thumb",
    "@recently-snapshot",
    "~snapshot",  # NetApp
    "lost+found",  # Linux
    "__pycache__",
    "thumbnails",
)


class Listing(NamedTuple):
    """Holds what was found in a folder.

    Attributes:
      names: sorted names of the files, relative to the folder.
      passed_over: sorted names of hidden files and folders, of those of a system, and of pipes and devices.
    """

    names: List[str]
    passed_over: List[str]


class ImageFile(NamedTuple):
    """A file: its path, its name relative to the user's folder, its class and subclass; each is empty without one."""

    path: str
    name: str
    label: str
    subclass: str = ""


def list_files(folder: str) -> Listing:
    """Lists all files below a folder. Follows links, except those that lead back to a folder above.

    Args:
      folder: path; may be a gs:// address.

    Raises:
      ArgumentError: the folder does not exist or is empty; or a folder below it cannot be read, leads back to one above
        it, or has a name that is not UTF-8. Names the option `dataset`.
    """
    if not is_utf8(folder):
        raise unusable(folder, "the path is not UTF-8")
    if not tf.io.gfile.isdir(folder):
        exists = tf.io.gfile.exists(folder)
        raise unusable(folder, "is a file, not a folder" if exists else "there is no such folder")
    listing = Listing([], [])
    _walk(folder, "", (), listing)
    if not listing.names:
        raise unusable(folder, "the folder is empty")
    return Listing(sorted(listing.names), sorted(listing.passed_over))


def _walk(folder: str, inside: str, above: Tuple[Tuple[int, int], ...], listing: Listing) -> None:
    """Adds to `listing` what the folder `inside` holds; `above` identifies the folders it lies in."""
    path = os.path.join(folder, inside)
    try:
        if "://" not in folder:
            status = os.stat(path)
            own = (status.st_dev, status.st_ino)
            if own in above:
                raise unusable(folder, f"the link '{inside}' leads back to a folder above it; remove the link")
            above = (*above, own)
        entries = list(_entries(path))
    except (OSError, tf.errors.OpError) as error:
        where = f"its folder '{inside}'" if inside else "the folder"
        raise unusable(folder, f"{where} cannot be read ({why(error)})") from error
    for name, kind in entries:
        relative = os.path.join(inside, name)
        if not is_utf8(name):
            raise unusable(folder, f"the name {os.fsencode(relative)!r} is not UTF-8")
        if kind == "other" or name.startswith(".") or name.lower() in SYSTEM_NAMES:
            listing.passed_over.append(relative)
        elif kind == "folder":
            _walk(folder, relative, above, listing)
        else:
            listing.names.append(relative)


def _entries(path: str) -> Iterator[Tuple[str, str]]:
    """Yields name and kind, 'file', 'folder' or 'other', of what a folder holds.

    A broken link, or one to itself, counts as a file.
    """
    if "://" in path:
        for name in tf.io.gfile.listdir(path):
            is_folder = name.endswith("/") or tf.io.gfile.isdir(os.path.join(path, name))
            yield name.rstrip("/"), "folder" if is_folder else "file"
        return
    with os.scandir(path) as entries:
        for entry in entries:
            is_broken_link = entry.is_symlink() and not os.path.exists(entry.path)
            if not is_broken_link and entry.is_dir():
                yield entry.name, "folder"
            else:
                yield entry.name, "file" if is_broken_link or entry.is_file() else "other"


def empty_folders(folder: str, names: Sequence[str], below: str) -> List[str]:
    """Returns the sorted names of folders that hold no file and are neither hidden nor a system's own.

    Args:
      folder: path of the folder in which they lie.
      names: all files, relative to the user's folder.
      below: name of `folder` relative to the user's folder; empty for that folder itself.
    """
    prefix = f"{below}/" if below else ""
    filled = {name[len(prefix) :].split("/")[0] for name in names if name.startswith(prefix)}
    found: List[str] = []
    with contextlib.suppress(OSError, tf.errors.OpError):  # then none is named
        found = [name for name, kind in _entries(folder) if kind == "folder" and name not in filled]
    return sorted(name for name in found if not name.startswith(".") and name.lower() not in SYSTEM_NAMES)


def why(error: Exception) -> str:
    """Returns why a file or folder cannot be used, in the system's words: 'Permission denied'."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(getattr(error, "message", error)).strip().split("\n")[0]
    return text.rsplit("; ", 1)[-1] or type(error).__name__


def unusable(folder: str, problem: str, **others: Any) -> ArgumentError:
    """Returns the error about a folder, which is the value of the option `dataset`."""
    return ArgumentError("dataset", PREFIX + folder, problem, **others)
