"""Texts of `--help`, `--print_config` and warnings."""

import os
import textwrap
from typing import Iterator, Mapping, NamedTuple, Optional, Sequence

from supcon_tf import config as config_lib
from supcon_tf.cli import synonyms
from supcon_tf.errors import UserError
from supcon_tf.names import did_you_mean

REQUIRED = ("mode", "dataset")
BY_HAND = ("command line", "flagfile ")  # how the source begins of a value that a person has given

USAGE = """\
Supervised contrastive learning: pretrain, train a linear classifier, evaluate, export.

  {command} --mode=supcon --dataset=digits
  {command} --mode=ce --dataset=folder:/path/to/images
"""
RECIPES = """\
--mode and --dataset are enough: the recipe of that pair sets the other options. A flag given by hand wins over it.
"""
# Flags of the first screen: name → its values and what it does, in a line.
COMMON = {
    "mode": ("supcon|simclr|ce", "Train with labels, without labels, or with cross-entropy."),
    "dataset": ("NAME|folder:PATH", "Take 'digits', a name of TensorFlow Datasets, or a folder."),
    "run_dir": ("FOLDER", "Write to this folder. The same command resumes what is there."),
    "stages": ("LIST", "Run only some of pretrain,linear,evaluate,export."),
    "redo": ("LIST", "Repeat finished stages, with other options if given."),
    "recipe": ("NAME|FILE", "Take the options from another recipe, or from 'none'."),
    "encoder": ("NAME|FILE", "Take 'small', 'resnet50', keras:NAME, or a Keras file."),
    "encoder_weights": ("imagenet|FILE", "Begin with trained weights of a keras:NAME encoder."),
    "image_size": ("PIXELS", "Resize images to squares with this side."),
    "batch_size": ("N", "Put N images in a batch."),
    "pretrain_epochs": ("N", "Train the encoder for N passes over the images."),
    "linear_epochs": ("N", "Train the linear classifier for N passes."),
    "seed": ("N", "Repeat a run with other random numbers."),
    "strategy": ("NAME", "Train on several devices: 'mirrored', 'multi_worker', 'tpu'."),
    "print_config": ("", "Print every option with its source, and run nothing."),
    "plan": ("", "Print what the run would cost, and run nothing."),
}


def command(argv: Sequence[str]) -> str:
    """Returns how to call the program in an example: `python app.py`, or the name of the installed command.

    >>> command(["/home/me/app.py"]), command(["/usr/bin/supcon", "--help"])
    ('python app.py', 'supcon')
    """
    return f"python {program(argv)}" if argv[0].endswith(".py") else program(argv)


def program(argv: Sequence[str]) -> str:
    """Returns the name by which the program was called, for the beginning of its messages."""
    return os.path.basename(argv[0])


def requested(argv: Sequence[str]) -> Optional[str]:
    """Returns what the command line wants help on, '' for the first screen; None if it asks for no help.

    >>> requested(["app.py", "--help=loss"]), requested(["app.py", "--help", "loss"])
    ('loss', 'loss')
    """
    for argument, following in zip(argv[1:], [*argv[2:], ""]):
        name, equals, subject = argument.partition("=")
        if not equals and not following.startswith("-"):
            subject = following
        if name in ("-h", "--h", "-help", "--help", "--helpshort", "--helpfull"):
            return "all" if name == "--helpfull" else subject
    return None


def help_text(width: int, command: str, subject: str = "") -> str:
    """Returns the help on all options, by group.

    Args:
      width: number of characters in a line of the terminal.
      command: how the program is called in the examples; see `command`.
      subject: 'all', the name of a group of options, or that of an option; '' for a screen with the most used ones.

    Raises:
      UserError: there is no such subject.
    """
    subject = subject.lstrip("-")
    if not subject:
        return _first_screen(width, command)
    entries = list(_entries())
    chosen = [entry for entry in entries if subject in ("all", entry.group, entry.name)]
    if not chosen:
        names = dict.fromkeys(name for entry in entries for name in (entry.group, entry.name))
        hint = synonyms.hint(subject) or did_you_mean(subject, names) or "; --help=all lists all"
        raise UserError(f"--help={subject}: no such flag or group of flags{hint}")
    lines = [USAGE.format(command=command), RECIPES.rstrip()] if subject == "all" else []
    title = ""
    for entry in chosen:
        if entry.title != title:
            title = entry.title
            lines.append(f"\n{title}:" if lines else f"{title}:")
        lines += [f"  {entry.flag}", _filled(entry.description, width, " " * 6)]
    return "\n".join(lines)


def _first_screen(width: int, command: str) -> str:
    """Returns the flags that most users need, each in a line where the terminal is wide enough."""
    flags = {name: f"--{name}={values}" if values else f"--{name}" for name, (values, _) in COMMON.items()}
    column = max(map(len, flags.values())) + 4
    lines = [USAGE.format(command=command)]
    for name, (_, text) in COMMON.items():
        if width < column + 40:
            lines += [f"  {flags[name]}", _filled(text, width, " " * 6)]
        else:
            lines.append(f"  {flags[name]:{column - 2}}{_filled(text, width, ' ' * column).lstrip()}")
    groups = ", ".join(dict.fromkeys(entry.group for entry in _entries()))
    more = f"{RECIPES}More: --help=all, --help=FLAG, or --help=GROUP with a GROUP of {groups}."
    return "\n".join([*lines, "", _filled(more, width, "")])


class _Entry(NamedTuple):
    """Holds the help on a flag; `title` is the heading of its group."""

    group: str
    title: str
    name: str
    flag: str
    description: str


def _entries() -> Iterator[_Entry]:
    """Yields the help on every flag, by group."""
    for option in config_lib.options():
        flag = f"--[no]{option.name}" if option.type is bool else f"--{option.name}"
        yield _Entry(option.group, option.title, option.name, flag, _description(option))
    for option in config_lib.plan_options():
        yield _Entry("plan", "Without a run", option.name, f"--{option.name}", _description(option))
    for name, text in (
        ("print_config", "Print every option with its value and its source, and run nothing."),
        ("flagfile", "Read flags from a file, one per line."),
        ("version", "Print the versions of everything that matters for a report of a bug."),
        ("help", "Print the most used flags; --help=all, --help=FLAG and --help=GROUP say more."),
    ):
        yield _Entry("plan", "Without a run", name, f"--{name}", text)


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
        if sources[name].startswith(BY_HAND):
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


def _filled(text: str, width: int, indent: str) -> str:
    return textwrap.fill(text, min(width, 100), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
