"""Delays Ctrl-C and SIGTERM to the end of a training step."""

import contextlib
import os
import signal
from typing import Any, Iterator, Optional


class StopRequest:
    """Says whether the process was asked to stop.

    Attributes:
      signal: number of the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.signal: Optional[int] = None


@contextlib.contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Only notes the first SIGINT or SIGTERM in this context; a second one acts at once."""
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        request.signal = number
        restore()
        with contextlib.suppress(OSError):  # stderr may be full or closed
            os.write(2, b"\nStopping when this step is done and saved. Press Ctrl-C again to stop at once.\n")

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in previous:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
