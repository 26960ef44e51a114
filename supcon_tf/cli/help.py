"""Texts of `--help`, `--print_config` and warnings."""

import os
import textwrap
from typing import Iterator, Mapping, Sequence, Tuple

from supcon_tf import config as config_lib

REQUIRED = ("mode", "dataset")

USAGE = """\
Supervised contrastive learning (Khosla et al., 2020): pretrain, train a linear classifier, evaluate, export.

  {command} --mode=supcon --dataset=digits
  {command} --mode=ce --dataset=folder:/path/to/images
  {command} --mode=supcon --dataset=cifar10 --print_config
  {command} --mode=supcon --dataset=cifar10 --plan

--mode and --dataset are enough: the recipe of that pair sets the other options. If a recipe for --encoder exists, it is
preferred. A flag given by hand wins over the recipe.
"""


def command(argv: Sequence[str]) -> str:
    """Returns how to call the program in an example: `python app.py`, or the name of the installed command.

    >>> command(["/home/me/app.py"]), command(["/usr/bin/supcon", "--help"])
    ('python app.py', 'supcon')
    """
    return f"python {program(argv)}" if argv[0].endswith(".py") else program(argv)


def program(argv: Sequence[str]) -> str:
    """Returns the name by which the program was called, for the beginning of its messages."""
    return os.path.basename(argv[0])


def help_text(width: int, command: str) -> str:
    """Returns the help on all options, by group.

    Args:
      width: number of characters in a line of the terminal.
      command: how the program is called in the examples; see `command`.
    """
    lines, title = [USAGE.format(command=command).rstrip()], ""
    for option in config_lib.options():
        if option.title != title:
            title = option.title
            lines.append(f"\n{title}:")
        lines += _entry(
            f"--[no]{option.name}" if option.type is bool else f"--{option.name}", _description(option), width
        )
    lines.append("\nWithout a run:")
    lines += _entry("--print_config", "Print every option with its value and its source, and run nothing.", width)
    for option in config_lib.plan_options():
        lines += _entry(f"--{option.name}", _description(option), width)
    lines += _entry("--flagfile", "Read flags from a file, one per line.", width)
    lines += _entry("--version", "Print the versions of everything that matters for a report of a bug.", width)
    lines += _entry("--help", "Print this text.", width)
    return "\n".join(lines)


def config_text(config: config_lib.Config, sources: Mapping[str, str]) -> str:
    """Returns one line for each option, by group: the flag that sets it, and the source of its value."""
    values = config_lib.values(config)
    lines, title = [], ""
    for option in config_lib.options():
        if option.title != title:
            title = option.title
            lines.append(f"\n# {title}")
        flag = config_lib.as_flag(option.name, values[option.name])
        lines.append(f"{flag:<44} {sources[option.name]}")
    return "\n".join(lines).lstrip()


def warnings(config: config_lib.Config, sources: Mapping[str, str]) -> Iterator[str]:
    """Yields a line for each flag given by hand that has no effect; the arguments are those of `config_text`."""
    values = config_lib.values(config)
    for name, reason in config_lib.without_effect(config).items():
        if sources[name] == "command line":
            yield f"Warning: {config_lib.as_flag(name, values[name])} has no effect {reason}"


def _description(option: config_lib.Option) -> str:
    """Returns an option's help with its choices, unless the help names them, and its default."""
    text, choices = option.metadata["help"], option.metadata["choices"] or ()
    if any(f"'{choice}'" not in text for choice in choices):
        text += f" {'Built in' if option.metadata['check_other'] else 'Choices'}: {', '.join(choices)}."
    if option.name in REQUIRED:
        return f"{text} (required)"
    if option.metadata["none"] == "automatic":  # the text says what decides
        return text
    return f"{text} (default: {config_lib.option_text(option.name, option.default).strip('()')})"


def _entry(flag: str, description: str, width: int) -> Tuple[str, str]:
    indent = " " * 6
    return f"  {flag}", textwrap.fill(
        description, min(width, 100), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
