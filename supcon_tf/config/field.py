"""Defines an option: a dataclass field with help and rules, and the record that the command line reads."""

import dataclasses
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Sequence, get_type_hints


class Option(NamedTuple):
    """One option of the command line.

    Attributes:
      group: the field of `Config` that holds it, for example 'pretrain'.
      title: heading of the group in `--help`.
      name: the option's name, for example 'pretrain_epochs'.
      field: its name within the group, for example 'epochs'.
      type: its type.
      default: its value unless the user, a recipe or the data set sets one.
      metadata: the arguments of `option`, by name.
    """

    group: str
    title: str
    name: str
    field: str
    type: Any
    default: Any
    metadata: Mapping[str, Any]


def option(
    default: Any,
    help: str,
    *,
    none: str = "",
    choices: Optional[Sequence[str]] = None,
    check_other: Optional[Callable[[str], None]] = None,
    check_text: Optional[Callable[[str], None]] = None,
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    above: Optional[float] = None,
    identity: bool = True,
) -> Any:
    """Returns a dataclass field with what the command line needs to know about it.

    Args:
      default: value unless a recipe or the user sets one.
      help: one or two sentences for `--help`. `{field}` becomes the flag of another option of the same group.
      none: what the default means if it is None or (), in a word or two: 'none', 'all'. 'automatic' if the program
        decides; the help then says how, after "Default:".
      choices: allowed values; for a list, allowed elements.
      check_other: accepts further values: it raises ArgumentError for a value that is not allowed.
      check_text: raises ArgumentError for a text that is not allowed, of an option that takes numbers and words.
      minimum, maximum: inclusive bounds of a number.
      above: exclusive lower bound.
      identity: whether two runs with different values are different runs. False for options that change where or how
        often something is written, but not what is learned.
    """
    metadata = {
        "help": help,
        "none": none,
        "choices": choices,
        "check_other": check_other,
        "check_text": check_text,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "identity": identity,
    }
    return dataclasses.field(default=default, metadata=metadata)


def group(
    default: Any,
    title: str,
    *,
    name_of: Callable[[str], str] = str,
    help: Optional[Mapping[str, str]] = None,
) -> Any:
    """Returns a field of `Config` that holds one class of options.

    Args:
      default: the options with their default values.
      title: heading of the group in `--help`.
      name_of: returns an option's name for the name of its field.
      help: field name → help text that replaces the one in the class.
    """
    metadata = {"title": title, "name_of": name_of, "help": help or {}}
    return dataclasses.field(default=default, metadata=metadata)


def options_of(
    group: str, default: Any, title: str, name_of: Callable[[str], str] = str, help: Optional[Mapping[str, str]] = None
) -> Iterator[Option]:
    """Yields the options of one group, in the order of their declaration; the arguments are those of `group`."""
    types, fields = get_type_hints(type(default)), dataclasses.fields(default)
    flags = {f"{{{field.name}}}": f"--{name_of(field.name)}" for field in fields}
    for field in fields:
        text = (help or {}).get(field.name, field.metadata["help"])
        for placeholder, flag in flags.items():
            text = text.replace(placeholder, flag)
        yield Option(
            group=group,
            title=title,
            name=name_of(field.name),
            field=field.name,
            type=types[field.name],
            default=getattr(default, field.name),
            metadata={**field.metadata, "help": text},
        )
