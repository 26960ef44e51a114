"""The one exception that means 'the user can mend this', and the hint that goes with a wrong name."""

import difflib
from typing import Iterable


class UserError(Exception):
    """A mistake in what the user gave: one line that names the flag or file, its value and what would be right.

    The application prints the message alone and exits with status 2. Everything else that is raised is a bug.
    """


def first_line(error: Exception, length: int) -> str:
    """The first line of what an error says, of at most so many characters."""
    return str(error).strip().split("\n")[0][:length]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean NAME?' with the known name nearest to `name`, or '' where none is near; case does not count.

    What begins with `name` is nearest. Words of a few letters have to be nearer than others, or 'no' would be taken for
    'on'.
    """
    lower = {one.lower(): one for one in known}
    short = [word for word in lower if min(len(word), len(name)) < 4]
    long = [word for word in lower if word not in short]
    nearest = [word for word in lower if len(name) > 2 and word.startswith(name.lower())]
    nearest += difflib.get_close_matches(name.lower(), short, 1, 0.8)
    nearest += difflib.get_close_matches(name.lower(), long, 1, 0.5)
    return f"; did you mean {lower[nearest[0]]}?" if nearest else ""


class WorkersLost(Exception):
    """The connection to the other workers is gone; the message says how. A fresh process can join them again."""


class Interrupted(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM), has saved where it was, and continues with the same command.

    Attributes:
      signal: number of the signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
