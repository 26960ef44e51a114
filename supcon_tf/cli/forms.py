"""Recognises common slips in the form of a command line, before its flags are parsed."""

import re
from typing import Collection, Optional, Sequence

from supcon_tf.cli import synonyms
from supcon_tf.errors import UserError
from supcon_tf.names import did_you_mean

DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"  # hyphens, dashes and minus that word processors put in
PREDICT = "python -m supcon_tf.cli.predict"


def check(arguments: Sequence[str], known: Collection[str]) -> None:
    """Raises UserError for long dashes, blanks around '=', and quotes that join two options.

    Args:
      arguments: those of the command line.
      known: names of the flags.
    """
    for argument, second, third in zip(arguments, [*arguments[1:], ""], [*arguments[2:], "", ""]):
        long_dash = re.match(f"-?[{DASHES}][-{DASHES}]*(?=[A-Za-z])", argument)
        if long_dash:
            raise UserError(f"{argument}: begins with a long dash; type --{argument[long_dash.end() :]}")
        joined = re.match(r"--?(\w+)(?:=\S*)?\s+--?(\w+)", argument)
        if joined and {joined[1], joined[2]} <= set(known):
            raise UserError(f"'{argument}': the quotes join two options; write them without these quotes")
        name, equals, value = argument.partition("=")
        if name.lstrip("-") not in known or not name.startswith("-") or value:
            continue
        apart = second[1:] or third if second.startswith("=") and not equals else second
        if apart and not apart.startswith("-") and (equals or second.startswith("=")):
            raise UserError(f"{argument} {second}: write {name}={apart} without spaces")


def unexpected(argument: str, known: Collection[str]) -> UserError:
    """Returns the error about an argument that is no flag."""
    name = argument.partition("=")[0]
    if "=" in argument and name in known:
        return UserError(f"unexpected argument '{argument}'; write --{argument}")
    if argument in ("predict", "classify", "infer"):
        return UserError(f"unexpected argument '{argument}'; {PREDICT} MODEL IMAGE classifies images")
    if argument == "help":
        return UserError(f"unexpected argument '{argument}'; write --help")
    return UserError(f"unexpected argument '{argument}'; every option starts with --")


def unknown(name: str, arguments: Sequence[str], known: Collection[str], booleans: Collection[str]) -> UserError:
    """Returns the error about a flag that does not exist.

    Args:
      name: its name.
      arguments: those of the command line, in which it may have a value.
      known: names of the flags.
      booleans: names of the flags that take no value.
    """
    typed, value = f"--{name}", _value(name, arguments)
    if f"-{name}" in (argument.partition("=")[0] for argument in arguments):
        typed = f"-{name}"
    negated = [f"no{flag}" for flag in booleans if name.startswith("no")]
    near = did_you_mean(name, (*known, *negated, "help"), "--")
    return UserError(f"{typed}: no such option{synonyms.hint(name, value) or near or '; --help=all lists all options'}")


def _value(name: str, arguments: Sequence[str]) -> Optional[str]:
    """Returns the value that follows a flag after '=' or a blank; None if there is none."""
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        typed, equals, value = argument.partition("=")
        if typed in (f"-{name}", f"--{name}"):
            return value if equals else (None if following.startswith("-") else following or None)
    return None
