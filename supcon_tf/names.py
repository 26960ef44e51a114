"""Finds the known names that a mistyped one may stand for."""

import re
from typing import Callable, FrozenSet, Iterable, List


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Returns '; did you mean NAME?' with the known names that are near to `name`, or '' if none is near.

    >>> did_you_mean("epochs", ["pretrain_epochs", "linear_epochs", "linear_warmup_epochs"], "--")
    '; did you mean --pretrain_epochs or --linear_epochs?'

    Args:
      name: the unknown name.
      known: the names that exist.
      prefix: text before each name.
    """
    found = [f"{prefix}{one}" for one in nearest(name, known)]
    if not found:
        return ""
    return f"; did you mean {' or '.join(filter(None, (', '.join(found[:-1]), found[-1])))}?"


def nearest(name: str, known: Iterable[str]) -> List[str]:
    """Returns the known names that `name` may stand for, at most four; case and separators do not count.

    The first of these rules that finds names decides:

    1. The letters are equal: `batchsize` for `batch_size`.
    2. `name` is the beginning: `temp` for `temperature`. Whole words win: `jit` for `jit_compile`.
    3. A typing error: at most one letter in four is added, left out, changed, or exchanged with the next one.
    4. `name` is a word, or several words, of the known name: `epochs` for `pretrain_epochs`.
    5. The known name is in `name`: `pretrain_batch_size` for `batch_size`, `augmentation` for `augment`.

    Rules 2 and 4 prefer names with the fewest words, rule 5 the longest names.
    """
    letters = {one: _letters(one) for one in known}
    words = {one: _words(one) for one in letters}
    typed, own = _letters(name), _words(name)
    if not typed:
        return []
    begun = [one for one in letters if len(typed) > 2 and letters[one].startswith(typed)]
    begun = _least(begun, lambda one: len(words[one]))
    distance = {one: _edits(typed, letters[one]) for one in letters}
    misspelt = [one for one in letters if distance[one] <= max(len(typed), len(letters[one])) // 4]
    within = [
        one
        for one in letters
        if words[one] < own or (len(letters[one]) * 2 > len(typed) > 4 and typed.startswith(letters[one]))
    ]
    found = (
        [one for one in letters if letters[one] == typed],
        [one for one in begun if own <= words[one]] or begun,
        _least(misspelt, lambda one: distance[one]),
        _least([one for one in words if own <= words[one]], lambda one: len(words[one])),
        _least(within, lambda one: -len(letters[one])),
    )
    return next(filter(None, found), [])[:4]


def _least(names: List[str], size: Callable[[str], int]) -> List[str]:
    """Returns those of the names whose size is smallest."""
    smallest = min(map(size, names), default=0)
    return [one for one in names if size(one) == smallest]


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _words(name: str) -> FrozenSet[str]:
    """Returns the words of a name, without the s of a plural."""
    return frozenset(word.rstrip("s") for word in re.split(r"[\W_]+", name.lower()) if word.rstrip("s"))


def _edits(one: str, other: str) -> int:
    """Returns the least number of letters to add, leave out, change, or exchange with the next (optimal alignment)."""
    above: List[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        two_above, above, row = above, row, [i]
        for j, its in enumerate(other, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != its)))
            if i > 1 and j > 1 and letter == other[j - 2] and its == one[i - 2]:
                row[j] = min(row[j], two_above[j - 2] + 1)
    return row[-1]
