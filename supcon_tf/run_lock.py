"""Locks a run's folder against a second process, for as long as the first one lives."""

import contextlib
import json
import os
import socket
from typing import IO, Iterator, Optional

from supcon_tf.errors import NAME_ONLY, ArgumentError

try:
    import fcntl
except ImportError:  # Windows: runs are not locked there
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Holds the lock of the run in the folder `path`. Creates the folder; removes it again if the run leaves nothing.

    The system frees the lock when the process ends in any way. There is no lock in folders that are addresses, such as
    gs://bucket/run, and on file systems that have none.

    Raises:
      ArgumentError: another process holds it; names the process. Or the folder cannot be written.
    """
    if fcntl is None or "://" in path:
        yield
        return
    existed = os.path.isdir(path)
    try:
        file = _acquire(path)
    except BlockingIOError:
        raise ArgumentError(
            "run_dir",
            path,
            f"{_holder(path)} is running in it; wait for it to end, or give another {{run_dir}}",
            run_dir=NAME_ONLY,
        ) from None
    except OSError as error:
        raise ArgumentError("run_dir", path, f"cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(path, NAME))  # while the lock is held, so that no other process loses its own
        file.close()
        if not existed:
            with contextlib.suppress(OSError):
                os.rmdir(path)  # fails if the run has left something


def _acquire(folder: str) -> IO[str]:
    """Returns the open and locked file in a folder, which is created.

    Raises:
      BlockingIOError: another process holds the lock.
      OSError: the file cannot be written.
    """
    path = os.path.join(folder, NAME)
    while True:
        os.makedirs(folder, exist_ok=True)
        try:
            file = open(path, "a+")  # noqa: SIM115 (open for as long as the lock is held)
        except FileNotFoundError:  # the one that held the lock has removed the folder between the two calls
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError:  # a file system without locks
            return file
        if _is_at(path, file):
            break
        file.close()  # the one that held the lock has removed the file
    file.truncate(0)
    json.dump({"process": os.getpid(), "machine": socket.gethostname()}, file)
    file.flush()
    return file


def _is_at(path: str, file: IO[str]) -> bool:
    """Returns whether the open file is still the one at `path`."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(file.fileno()))


def _holder(path: str) -> str:
    """Names the process that holds the lock."""
    found: Optional[dict] = None
    with contextlib.suppress(OSError, ValueError), open(os.path.join(path, NAME)) as file:
        found = json.load(file)
    return f"process {found['process']} on {found['machine']}" if found else "another process"
