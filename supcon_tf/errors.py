"""Errors that the user can mend, and checks of single arguments."""

import contextlib
import math
import numbers
import re
import unicodedata
from typing import Any, Callable, Iterable, Iterator, Optional

from supcon_tf.names import did_you_mean

# Categories of Unicode that move a terminal's cursor or have no glyph: control, line, paragraph, surrogate
NOT_PRINTED = ("Cc", "Zl", "Zp", "Cs")
# Characters that turn the direction of a line, or that nobody sees
HIDDEN = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0x2060, 0xFEFF)}


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
    r"""Returns text that prints on one line of a terminal: line breaks, control and hidden characters become escapes.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in NOT_PRINTED or character in HIDDEN
        else character
        for character in text
    )


def is_utf8(text: str) -> bool:
    """Returns whether a path or name can be written as UTF-8. Python marks other bytes by lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def first_line(error: Exception, length: int) -> str:
    """Returns the first line of an error's message. One longer than `length` is cut and ends with '…'."""
    line = str(error).strip().split("\n")[0]
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


class WorkersLost(Exception):
    """The connection to the other workers is lost; the message says why. A new process can join them again."""


class Interrupted(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM) and has saved its progress. Its command resumes it.

    Args:
      step: the last step that is saved.
      signal: number of the signal.
    """

    def __init__(self, step: int, signal: int) -> None:
        super().__init__(f"stopped and saved at step {step:,}; run the same command to resume")
        self.signal = signal
