"""Runs a command so that each expected end of it is one line and an exit status."""

import os
import signal
import sys
from typing import Any, Callable, Optional, Sequence

from supcon_tf.cli import surroundings
from supcon_tf.errors import Interrupted, UserError, WorkersLost, printable


def guarded(
    argv: Sequence[str], run: Callable[[Sequence[str]], Optional[int]], style: Callable[[str, Any], str]
) -> int:
    """Runs a command. The one place where a UserError becomes a line of text; any other error keeps its traceback.

    Args:
      argv: the program's name and its arguments.
      run: does the work; returns the exit status, None for 0.
      style: writes an argument and its value the way the user types them.

    Returns:
      The exit status: that of `run`, 2 after a UserError, or 128 plus the number of the signal that stopped it.
    """
    with surroundings.guarded_streams():
        try:
            return _status(argv, run, style)
        except BrokenPipeError:  # the reader of the output, for example `head`, has closed it
            return 128 + signal.SIGPIPE


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
