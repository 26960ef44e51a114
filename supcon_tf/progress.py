"""Shows on stderr how far a loop is: a bar on a terminal, otherwise a line every ten seconds."""

import sys
import time
from typing import Iterable, Iterator, TypeVar

import tqdm

SECONDS_BETWEEN_LINES = 10.0

Item = TypeVar("Item")


def say(name: str, text: str) -> None:
    """Prints a line about what the stage or step `name` does now."""
    print(f"{name:9} {text}", file=sys.stderr, flush=True)


def counted(items: Iterable[Item], total: int, name: str, *, bar: bool = True, show: bool = True) -> Iterator[Item]:
    """Yields items and shows how far they are.

    Args:
      items: such as batches.
      total: their number.
      name: what the lines begin with.
      bar: whether to show a bar on a terminal; False where something else shows one.
      show: False to show nothing.
    """
    if sys.stderr.isatty() or not show:
        form = "{desc} {percentage:3.0f}% |{bar}| {remaining} left"
        yield from tqdm.tqdm(
            items, f"{name:9}", total, leave=False, dynamic_ncols=True, bar_format=form, disable=not (bar and show)
        )
        return
    started = last_line = time.monotonic()
    for number, item in enumerate(items):
        now = time.monotonic()
        if number and now - last_line > SECONDS_BETWEEN_LINES:
            left = tqdm.tqdm.format_interval((now - started) * (total - number) / number)
            say(name, f"{100 * number / total:3.0f}%  {left} left")
            last_line = now
        yield item
