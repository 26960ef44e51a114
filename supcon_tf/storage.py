"""Tells failures of storage, such as a full disk, from bugs, and says in one line what to do about them."""

import contextlib
import errno
import os
import re
from typing import Callable, Iterator, NamedTuple, Optional

import tensorflow as tf

from supcon_tf.errors import UserError

# Only storage fails with these, wherever the file is.
STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE)
# A bug could also lead to these, so they count only for files in the folders of a run.
FILE_ERRORS = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EFBIG,
    errno.ENAMETOOLONG,
    errno.ENOTEMPTY,
    errno.EMFILE,
    errno.ENFILE,
)
FULL = (errno.ENOSPC, errno.EDQUOT)

# TensorFlow's errors about files end a line with 'PATH; REASON'. Its error for too little memory, which has the same
# class as the one for a full disk, does not.
_TENSORFLOW_MESSAGE = re.compile(
    r"(?:\}\} )?(?P<path>\S[^\n]*?); (?P<reason>{})(?: \[Op:.*)?$".replace(
        "{}", "|".join(re.escape(os.strerror(number)) for number in (*STORAGE_ERRORS, *FILE_ERRORS))
    ),
    re.MULTILINE,
)


class Saved(NamedTuple):
    """Names the last checkpoint of a run."""

    stage: str
    step: int


class Failure(NamedTuple):
    """A failure of storage.

    Attributes:
      number: the system's number of the error, such as `errno.ENOSPC`.
      path: the file or folder; None if the error does not say.
    """

    number: int
    path: Optional[str]

    @property
    def reason(self) -> str:
        """The system's words for the error."""
        return os.strerror(self.number)


def failure(error: BaseException, *folders: str) -> Optional[Failure]:
    """Returns the failure of storage that an error reports, or None for any other error.

    >>> failure(OSError(errno.ENOSPC, "No space left on device", "runs/mine/config.json"))
    Failure(number=28, path='runs/mine/config.json')

    Args:
      error: of Python or TensorFlow.
      folders: the folders of a run. A file that does not exist, or may not be read, is a failure of storage only there.
    """
    found = None
    if isinstance(error, OSError) and error.errno is not None:
        path = error.filename if isinstance(error.filename, str) else None
        found = Failure(error.errno, path)
    elif isinstance(error, tf.errors.OpError):
        match = _TENSORFLOW_MESSAGE.search(error.message)
        numbers = {os.strerror(number): number for number in (*STORAGE_ERRORS, *FILE_ERRORS)}
        found = Failure(numbers[match["reason"]], match["path"].rpartition("}} ")[2]) if match else None
    if found is None or found.number in STORAGE_ERRORS:
        return found
    in_folder = found.path is not None and any(_contains(folder, found.path) for folder in folders)
    return found if in_folder and found.number in FILE_ERRORS else None


def failure_behind(error: BaseException, *folders: str) -> Optional[Failure]:
    """Returns the failure of storage that has led to `error`, which a library has raised instead; None if none has.

    Args:
      error, folders: as for `failure`.
    """
    found, cause = failure(error, *folders), error.__cause__ or error.__context__
    while found is None and cause is not None:
        found, cause = failure(cause, *folders), cause.__cause__ or cause.__context__
    return found


@contextlib.contextmanager
def failures_named(run_dir: str, data_dir: str, saved: Callable[[], Optional[Saved]]) -> Iterator[None]:
    """Turns failures of storage, and no other error, into a line that says what failed and what is kept.

    Args:
      run_dir: the folder of the run.
      data_dir: the folder with all prepared data sets.
      saved: returns the last checkpoint of the run; None if there is none.

    Raises:
      UserError: storage failed.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        found = failure(error, run_dir, data_dir)
        if found is None:
            raise
        raise UserError(_in_words(found, run_dir, data_dir, saved())) from error


def _in_words(found: Failure, run_dir: str, data_dir: str, saved: Optional[Saved]) -> str:
    """Returns the line for a failure."""
    kept = "no checkpoint had been saved before"
    if saved is not None:
        kept = f"the checkpoint of step {saved.step:,} of stage '{saved.stage}' is kept"
    path = run_dir if found.path is None else found.path
    if found.number in FULL:
        folder = next((one for one in (run_dir, data_dir) if _contains(one, path)), os.path.dirname(path))
        return f"{folder}: {found.reason}; {kept}. Run the same command again when there is space"
    if _contains(data_dir, path) and not _contains(run_dir, path):
        folder = os.path.dirname(path)
        again = f"delete {folder} and run the same command again" if os.path.isdir(folder) else "run it again"
        return f"{path}: {found.reason}; {kept}. To have the data prepared again, {again}"
    return f"{path}: {found.reason}; {kept}. Run the same command again when this is mended"


def _contains(folder: str, path: str) -> bool:
    """Returns whether a path is a folder or lies in it. Neither needs to exist."""
    folder, path = (name if "://" in name else os.path.abspath(os.path.expanduser(name)) for name in (folder, path))
    return path == folder or path.startswith(folder.rstrip("/") + "/")
