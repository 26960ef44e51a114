"""Catches what libjpeg prints, without the name of a file, about flaws in images that it decodes all the same."""

import contextlib
import os
import sys
import tempfile
from typing import Iterator, List

# How the lines of libjpeg begin, for images that it decodes all the same
WARNINGS = (b"Corrupt JPEG data", b"Warning: unknown JFIF", b"Inconsistent progression", b"Invalid SOS parameters")
STDERR = 2


@contextlib.contextmanager
def libjpeg_warnings() -> Iterator[List[str]]:
    """Catches libjpeg's warnings. The list has them once the block has ended; other output then goes to stderr.

    Catches those of all threads. A warning does not say which image it is about.
    """
    warnings: List[str] = []
    with contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            usual = os.dup(STDERR)
            stack.callback(os.close, usual)
            caught = stack.enter_context(tempfile.TemporaryFile())
        except (AttributeError, OSError, ValueError):  # stderr is closed or full, or no file can be made
            yield warnings
            return
        os.dup2(caught.fileno(), STDERR)
        try:
            yield warnings
        finally:
            os.dup2(usual, STDERR)
            caught.seek(0)
            for line in caught:
                if line.startswith(WARNINGS):
                    warnings.append(line.decode(errors="replace").strip())
                else:
                    with contextlib.suppress(OSError):  # a full stderr only loses notices
                        os.write(usual, line)
