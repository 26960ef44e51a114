"""Runs a command so that each expected end of it is one line and an exit status."""

import errno
import os
import re
import signal
import sys
from typing import Any, Callable, Optional, Sequence

from supcon_tf.cli import surroundings
from supcon_tf.errors import NAME_ONLY, Interrupted, UserError, WorkersLost, first_line, printable

TO_SAVE_MEMORY = UserError(
    "a smaller {batch_size}, {image_size} or {microbatch_size} takes less",
    **dict.fromkeys(("batch_size", "image_size", "microbatch_size"), NAME_ONLY),
)
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)  # TensorFlow's error for them has the class of that for too little memory


def guarded(
    argv: Sequence[str],
    run: Callable[[Sequence[str]], Optional[int]],
    style: Callable[[str, Any], str],
    *,
    to_save_memory: UserError = TO_SAVE_MEMORY,
) -> int:
    """Runs a command. The one place where a UserError becomes a line of text, and so does too little memory.

    Any other error keeps its traceback.

    Args:
      argv: the program's name and its arguments.
      run: does the work; returns the exit status, None for 0.
      style: writes an argument and its value the way the user types them.
      to_save_memory: what to do where the memory does not suffice.

    Returns:
      The exit status: that of `run`, 2 after such a line, or 128 plus the number of the signal that stopped it.
    """
    with surroundings.guarded_streams():
        try:
            return _status(argv, run, style)
        except BrokenPipeError:  # the reader of the output, for example `head`, has closed it
            return 128 + signal.SIGPIPE
        except Exception as error:
            if not _is_about_memory(error):
                raise
            line = f"does not fit in memory{_what(error)}; {to_save_memory.text(style)}"
            print(f"{os.path.basename(argv[0])}: {printable(line)}", file=sys.stderr)
            return 2


def _is_about_memory(error: Exception) -> bool:
    """Returns whether an error reports too little memory of the machine or of a device. Imports no TensorFlow."""
    if isinstance(error, MemoryError):
        return True
    of_tensorflow = any(kind.__name__ == "ResourceExhaustedError" for kind in type(error).__mro__)
    return of_tensorflow and not any(os.strerror(number) in str(error) for number in FULL_DISK)


def _what(error: Exception) -> str:
    """Returns ' (...)' with what there was no room for; '' where the error does not say."""
    found = re.search(r"tensor with shape ?(\[[\d,]+\])", str(error))
    if found:
        return f" (no room for a tensor of shape {found[1]})"
    return f" ({first_line(error, 120)})" if isinstance(error, MemoryError) and str(error).strip() else ""


def _status(
    argv: Sequence[str], run: Callable[[Sequence[str]], Optional[int]], style: Callable[[str, Any], str]
) -> int:
    program = os.path.basename(argv[0])
    try:
        try:
            with surroundings.stop_signals_raised():
                status = run(argv)
        except WorkersLost as lost:
            from supcon_tf import distribute

            distribute.start_again(lost, argv)
        sys.stdout.flush()
        return status or 0
    except UserError as error:
        print(f"{program}: {printable(error.text(style))}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"{program}: {stop}", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt as stop:
        number = stop.signal if isinstance(stop, surroundings.Stopped) else signal.SIGINT
        after_the_key = "\n" if number == signal.SIGINT else ""  # the terminal has shown ^C
        print(f"{after_the_key}{program}: interrupted; run the same command again", file=sys.stderr)
        return 128 + number
