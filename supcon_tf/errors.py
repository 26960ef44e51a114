"""Errors that the user can mend, checks of single arguments, and the hint that goes with a wrong name."""

import contextlib
import math
import numbers
import re
import unicodedata
from typing import Any, Callable, FrozenSet, Iterable, Iterator, List, Optional

# Categories of Unicode that move a terminal's cursor or have no glyph: control, line, paragraph, surrogate
NOT_PRINTED = ("Cc", "Zl", "Zp", "Cs")


class _NameOnly:
    """Marks an argument that a message names without a value; see `NAME_ONLY`."""


NAME_ONLY = _NameOnly()  # UserError("needs {tpu}", tpu=NAME_ONLY) reads 'needs tpu', on the command line 'needs --tpu'


def as_keyword(name: str, value: Any) -> str:
    """Names an argument the way Python code gives it: 'batch_size=256', or 'batch_size' alone for `NAME_ONLY`."""
    if value is NAME_ONLY:
        return name
    return f"{name}={value!r}"


class UserError(Exception):
    """Something that the user can mend: an argument, a file, the data or the machine. Everything else is a bug.

    The command line prints the message as one line and exits with status 2.

    >>> str(UserError("the loss is nan; a lower {learning_rate} usually helps", learning_rate=NAME_ONLY))
    'the loss is nan; a lower learning_rate usually helps'

    Args:
      problem: one line that says what is wrong, with which value, and what would be right. `{name}` stands for one of
        `others`; any other brace is an ordinary character.
      others: arguments that the message refers to, with the value to name them with, or `NAME_ONLY`.

    Attributes:
      problem, others: the same.
    """

    ag_pass_through = True  # AutoGraph then passes the error on unchanged; it replaces errors that it cannot construct

    def __init__(self, problem: str, **others: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.others = others

    def text(self, style: Callable[[str, Any], str] = as_keyword) -> str:
        """Returns the message; `style` turns an argument's name and value into text, as `as_keyword` does."""
        return re.sub(
            r"\{(\w+)\}",
            lambda found: style(found[1], self.others[found[1]]) if found[1] in self.others else found[0],
            self.problem,
        )

    def __str__(self) -> str:
        return self.text()


class ArgumentError(UserError, ValueError):
    """An argument has a value that cannot be used.

    >>> str(ArgumentError("batch_size", 300, "exceeds the 100 images; give {batch_size}", batch_size=100))
    'batch_size=300: exceeds the 100 images; give batch_size=100'

    Args:
      argument: its name, in code that the command line reaches the name of the option.
      value: the value that was given.
      problem, others: as for `UserError`.

    Attributes:
      argument, value: the same.
    """

    def __init__(self, argument: str, value: Any, problem: str, **others: Any) -> None:
        super().__init__(problem, **others)
        self.args = (argument, value, problem)  # so that it can be pickled
        self.argument = argument
        self.value = value

    def text(self, style: Callable[[str, Any], str] = as_keyword) -> str:
        return f"{style(self.argument, self.value)}: {super().text(style)}"


@contextlib.contextmanager
def arguments_called(**names: str) -> Iterator[None]:
    """Renames the arguments that a passing `UserError` names, from a function's names to the caller's.

    >>> with arguments_called(name="encoder"):
    ...     raise ArgumentError("name", "resnet5", "no such encoder")
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: encoder='resnet5': no such encoder
    """
    try:
        yield
    except UserError as error:
        others = {names.get(name, name): value for name, value in error.others.items()}
        problem = re.sub(r"\{(\w+)\}", lambda found: f"{{{names.get(found[1], found[1])}}}", error.problem)
        if not isinstance(error, ArgumentError):
            raise UserError(problem, **others) from error
        raise ArgumentError(names.get(error.argument, error.argument), error.value, problem, **others) from error


def check_number(
    argument: str,
    value: Any,
    *,
    above: Optional[float] = None,
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    below: Optional[float] = None,
) -> None:
    """Raises ArgumentError unless a value is a finite number within the bounds.

    >>> check_number("momentum", 2, minimum=0, below=1)
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: momentum=2: must be below 1

    Args:
      argument: name of the argument.
      value: its value.
      above, below: exclusive bounds; None for no bound.
      minimum, maximum: inclusive bounds.
    """
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number):
        raise ArgumentError(argument, value, "must be a finite number")
    if above is not None and number <= above:
        raise ArgumentError(argument, value, f"must be above {above}")
    if minimum is not None and number < minimum:
        raise ArgumentError(argument, value, f"must be at least {minimum}")
    if maximum is not None and number > maximum:
        raise ArgumentError(argument, value, f"must be at most {maximum}")
    if below is not None and number >= below:
        raise ArgumentError(argument, value, f"must be below {below}")


def check_whole(argument: str, value: Any, minimum: Optional[int] = None) -> None:
    """Raises ArgumentError unless a value is a whole number of an integer type, and at least `minimum`.

    >>> check_whole("num_views", 0, 1)
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: num_views=0: must be a whole number, at least 1
    """
    if not is_whole(value) or (minimum is not None and value < minimum):
        least = "" if minimum is None else f", at least {minimum}"
        raise ArgumentError(argument, value, f"must be a whole number{least}")


def is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number of an integer type; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> None:
    """Raises ArgumentError unless a value is one of the choices.

    >>> check_choice("stem", "smal", ("imagenet", "small"))
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: stem='smal': must be one of imagenet, small; did you mean small?
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ArgumentError(argument, value, f"must be one of {', '.join(known)}{hint}")


def check_flags(**flags: Any) -> None:
    """Raises ArgumentError unless each argument is True or False.

    >>> check_flags(normalize="no")
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: normalize='no': must be True or False
    """
    for argument, value in flags.items():
        if value not in (True, False):
            raise ArgumentError(argument, value, "must be True or False")


def check_function(argument: str, value: Any, *, optional: bool = False) -> None:
    """Raises ArgumentError unless a value can be called; `optional` allows None.

    >>> check_function("augmentation", "simclr", optional=True)
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: augmentation='simclr': must be a function or None
    """
    if not callable(value) and not (optional and value is None):
        raise ArgumentError(argument, value, f"must be a function{' or None' if optional else ''}")


def printable(text: str) -> str:
    r"""Returns text that prints on one line of a terminal: line breaks and control characters become escapes.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in NOT_PRINTED else character
        for character in text
    )


def is_utf8(text: str) -> bool:
    """Returns whether a path or name can be written as UTF-8. Python marks other bytes by lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def first_line(error: Exception, length: int) -> str:
    """Returns the first line of an error's message. One longer than `length` is cut and ends with '…'."""
    line = str(error).strip().split("\n")[0]
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


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


class WorkersLost(Exception):
    """The connection to the other workers is lost; the message says why. A new process can join them again."""


class Interrupted(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM) and has saved its progress. Its command resumes it.

    Attributes:
      signal: number of the signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
