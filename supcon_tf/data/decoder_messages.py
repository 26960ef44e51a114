"""Catches what libjpeg prints, without the name of a file, about flaws in images that it decodes all the same."""

from typing import ContextManager, List

from supcon_tf.native_stderr import lines_taken

# How the lines of libjpeg begin, for images that it decodes all the same
WARNINGS = (
    rb"Corrupt JPEG data|Warning: unknown JFIF|Inconsistent progression|Invalid SOS parameters|Improper call to JPEG"
)


def libjpeg_warnings() -> ContextManager[List[str]]:
    """Catches libjpeg's warnings. The list has them once the block has ended; other output then goes to stderr.

    Catches those of all threads. A warning does not say which image it is about.
    """
    return lines_taken(WARNINGS)
