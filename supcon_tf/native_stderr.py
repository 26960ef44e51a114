"""Takes lines from what native code writes to the file descriptor of stderr, whatever `sys.stderr` is."""

import contextlib
import os
import re
import signal
import sys
import tempfile
from typing import Iterator, List

STDERR = 2


@contextlib.contextmanager
def lines_taken(pattern: bytes, *, shown_if_killed: bool = False) -> Iterator[List[str]]:
    r"""Takes lines off stderr. The list has them once the block has ended; other lines then go to stderr.

    Takes those of all threads. `sys.stderr` stays the same object. Without a place for a file, nothing is taken.

    >>> with lines_taken(rb"Corrupt JPEG data") as taken:
    ...     _ = os.write(2, b"Corrupt JPEG data: premature end\n")
    >>> taken
    ['Corrupt JPEG data: premature end']

    Args:
      pattern: regular expression that matches the beginning of a line to take.
      shown_if_killed: whether all lines go to stderr if a signal ends this process in the block. A second process
        waits for that, so the block must be entered before the process has threads.
    """
    taken: List[str] = []
    with contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            usual = os.dup(STDERR)
            stack.callback(os.close, usual)
            caught = stack.enter_context(tempfile.TemporaryFile())
        except (AttributeError, OSError, ValueError):  # stderr is closed or full, or no file can be made
            yield taken
            return
        if shown_if_killed and hasattr(os, "fork"):
            stack.enter_context(_shown_if_killed(caught.fileno(), usual))
        os.dup2(caught.fileno(), STDERR)
        try:
            yield taken
        finally:
            os.dup2(usual, STDERR)
            caught.seek(0)
            for line in caught:
                if re.match(pattern, line):
                    taken.append(line.decode(errors="replace").strip())
                else:
                    with contextlib.suppress(OSError):  # a full stderr only loses notices
                        os.write(usual, line)


@contextlib.contextmanager
def _shown_if_killed(caught: int, usual: int) -> Iterator[None]:
    """Copies a file to stderr if this process ends within the block.

    Args:
      caught: descriptor of the file.
      usual: descriptor of stderr.
    """
    waiting, living = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a terminal sends these to both processes
            os.close(living)
            if not os.read(waiting, 1):  # the other end is closed, and nothing was written to it
                os.write(usual, os.pread(caught, os.fstat(caught).st_size, 0))
        finally:
            os._exit(0)
    os.close(waiting)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the other process was killed
            os.write(living, b".")
        os.close(living)
        os.waitpid(process, 0)
