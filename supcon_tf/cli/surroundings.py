"""Copes with the surroundings of the process: closed or full output, and the signal that ends it."""

import contextlib
import os
import signal
import sys
import threading
from typing import Any, Callable, Iterator, List, TextIO

from supcon_tf.errors import Interrupted, UserError
from supcon_tf.native_stderr import lines_taken

# How lines begin that TensorFlow logs below the level of a fatal error, and the lines around them
NOTICES = (
    rb"[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWE] |To enable the following instructions"
    rb"|WARNING: All log messages before absl::InitializeLog"
)
SECONDS_TO_STOP = 5.0  # for removing what is not finished


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM has come. Passes through code that catches every `Exception`.

    Attributes:
      signal: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


@contextlib.contextmanager
def stop_signals_raised() -> Iterator[None]:
    """Raises `Stopped` on Ctrl-C and SIGTERM, so that folders that are not finished are removed.

    Libraries can lose the exception, for example while they import other libraries. It is then raised once more after
    a few seconds, and instead of the error or the result in which it was lost.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows no handlers there
        yield
        return
    first: List[int] = []

    def stop(number: int, frame: Any) -> None:
        if number != signal.SIGALRM:
            first.append(number)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_STOP)
        raise Stopped(first[0])

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in previous.items():
                signal.signal(number, handler)
    except (Stopped, Interrupted):
        raise
    except Exception as error:
        if first:
            raise Stopped(first[0]) from error
        raise
    if first:
        raise Stopped(first[0])


@contextlib.contextmanager
def native_notices_hidden() -> Iterator[None]:
    """Hides TensorFlow's notices while it is imported; other lines, such as a fatal error, still get to stderr.

    TensorFlow 2.19 and later print notices about the CPU when they are imported, whatever TF_CPP_MIN_LOG_LEVEL says.
    They are shown if it is below 3, or if the import ends the process.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    with lines_taken(NOTICES, shown_if_killed=True):
        yield


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Makes a full or closed stdout a UserError, and lets a run continue without notices if stderr cannot be written.

    A reader that has closed its end of a pipe still raises BrokenPipeError.
    """
    _open_closed_descriptors()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Stream(streams[0], 1, _raise), _Stream(streams[1], 2, _ignore)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for number, stream in ((1, streams[0]), (2, streams[1])):
            _let_go(stream, number)


class _Stream:
    """Writes to a stream of text, and calls `failed` where that fails. Has the stream's other attributes.

    Args:
      stream: where to write; None for a stream that was closed when Python started.
      number: its file descriptor.
      failed: is called with the error.
    """

    def __init__(self, stream: Any, number: int, failed: Callable[[OSError], None]) -> None:
        self._stream = stream if stream is not None else _Closed(number)
        self._failed = failed

    def write(self, text: str) -> int:
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _do(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._failed(error)


class _Closed:
    """Stands for a stream that was closed when Python started."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, text: str) -> None:
        raise OSError(9, os.strerror(9))

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._number


def _raise(error: OSError) -> None:
    raise UserError(f"stdout: cannot be written ({error.strerror}); what was to be printed is lost") from error


def _ignore(error: OSError) -> None:
    pass


def _open_closed_descriptors() -> None:
    """Opens the null device for stdin, stdout and stderr where they are closed.

    The next file would otherwise get the number of a closed one, and messages for stderr would end up in a checkpoint.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)


def _let_go(stream: TextIO, number: int) -> None:
    """Drops what a stream cannot write, so that Python does not try and fail again when it ends."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
