"""Parses the command line: options as absl flags, recipes as absl flagfiles, and both to a Config.

Imports no TensorFlow, so that `--help`, `--print_config` and mistakes are answered at once.
"""

import math
import pathlib
import re
import shutil
import sys
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from absl import flags as absl_flags

from supcon_tf import config as config_lib
from supcon_tf.cli import fitting, forms, paths, recipes
from supcon_tf.cli.help import REQUIRED, command, help_text, requested
from supcon_tf.cli.sources import recipe_named
from supcon_tf.cli.versions import versions_text
from supcon_tf.errors import ArgumentError, UserError

# A schedule given by hand makes the recipe's values of these options meaningless.
DEPENDENT = {
    config_lib.name_in_stage(stage, "schedule"): tuple(
        config_lib.name_in_stage(stage, field) for field in ("decay_rate", "decay_epochs")
    )
    for stage in config_lib.TRAINING_STAGES
}

WANTED = {
    bool: "true or false, or left without a value",
    int: "a whole number",
    Optional[int]: "a whole number",
    Union[int, str, None]: "a whole number or auto",
    float: "a number",
    Optional[float]: "a number",
    Tuple[int, ...]: "whole numbers separated by commas, for example 2048,128",
    Optional[Tuple[float, ...]]: "numbers separated by commas, for example 60,75.5,90",
}
BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class Command(NamedTuple):
    """The parsed command line.

    Attributes:
      config: the resolved options.
      sources: option name → 'command line', 'flagfile PATH', 'recipe NAME', 'default', 'the images ...' (for what they
        decide), or 'mode and data set' (for the recipe itself).
      print_config: whether to print the options and stop.
      plan: options of the plan to print instead of a run; None to run.
      undecided: names of the options that neither a flag nor a recipe sets, if the recipe leaves them to the images.
      not_by_hand: names of the options that no flag sets, which give way where they do not fit what is given by hand.
      notes: lines about values that have given way already.
    """

    config: config_lib.Config
    sources: Dict[str, str]
    print_config: bool
    plan: Optional[config_lib.PlanOptions] = None
    undecided: FrozenSet[str] = frozenset()
    not_by_hand: FrozenSet[str] = frozenset()
    notes: Tuple[str, ...] = ()


def parse(argv: Sequence[str]) -> Command:
    """Parses a command line.

    >>> parse(["app.py", "--mode=supcon", "--dataset=digits", "--linear_epochs=5"]).config.linear.epochs
    5

    Args:
      argv: the program's name and the flags.

    Raises:
      UserError: with the flag, its value and what would be right.
      SystemExit: after printing the help, if a flag asks for it.
    """
    subject = requested(argv)
    if subject is not None:
        print(help_text(shutil.get_terminal_size((100, 24)).columns, command(argv), subject), flush=True)
        sys.exit(0)
    if {"-version", "--version"} & set(argv[1:]):
        print(versions_text(), flush=True)
        sys.exit(0)
    known = [option.name for option in (*config_lib.options(), *config_lib.plan_options())]
    forms.check(argv[1:], [*known, "print_config", "flagfile"])
    by_hand = _parse_flags(argv[1:])
    origins = _origins(argv[1:], by_hand)
    with recipe_named(origins, by_hand):
        print_config = bool(by_hand.pop("print_config", False))
        plan_names = [option.name for option in config_lib.plan_options() if option.name in by_hand]
        plan = config_lib.plan_from_values({name: by_hand.pop(name) for name in plan_names})
        if print_config and plan is not None:
            raise UserError("--plan and --print_config: choose one")
        config_lib.check_values(by_hand)
        paths.check_dataset(by_hand.get("dataset", ""))
        recipe = recipes.find(by_hand)
        from_recipe = {} if recipe is None else _read_recipe(recipe, by_hand)
        _check_given(by_hand, from_recipe, command(argv))
    return _resolved(recipe, from_recipe, by_hand, origins)._replace(print_config=print_config, plan=plan)


def _check_given(by_hand: Mapping[str, Any], from_recipe: Mapping[str, Any], program: str) -> None:
    """Raises UserError if a required option is missing, or if two options contradict each other."""
    if "budget" in by_hand and "pretrain_epochs" in by_hand:
        epochs = by_hand["pretrain_epochs"]
        raise ArgumentError(
            "budget", by_hand["budget"], "contradicts {pretrain_epochs}; leave one out", pretrain_epochs=epochs
        )
    for name in REQUIRED:
        if name not in by_hand and name not in from_recipe:
            example = f"; for example: {program} --mode=supcon --dataset=digits"
            raise UserError(f"--{name} is missing{paths.held_text(by_hand.get('run_dir')) or example}")


def _resolved(
    recipe: Optional[pathlib.Path], from_recipe: Dict[str, Any], by_hand: Mapping[str, Any], origins: Mapping[str, str]
) -> Command:
    """Returns the options that a recipe and flags given by hand make together.

    Args:
      recipe: the file of the recipe; None for none.
      from_recipe: option name → value that it sets.
      by_hand: option name → value that a flag sets.
      origins: option name → source of the values in `by_hand`.
    """
    sources = {option.name: "default" for option in config_lib.options()}
    if recipe is not None:
        sources.update({name: f"recipe {recipe.stem}" for name in from_recipe})
        sources["recipe"] = "mode and data set"
        from_recipe = {**from_recipe, "recipe": recipe.stem}
    sources.update(origins)
    undecided = {name for name, source in sources.items() if source == "default"}
    if recipe is None or not recipes.leaves_to_images(recipe):
        undecided = set()
    for name in undecided.intersection(config_lib.DECIDED_BY_IMAGES):
        sources[name] = "the images, when the run begins; otherwise this default"
    if "warmup_epochs" in undecided:
        from_recipe["warmup_epochs"] = 0.0  # so that any number of epochs is allowed; the images decide the number
    changed = fitting.schedules(from_recipe, by_hand)
    given = {**from_recipe, **by_hand, **{name: value for name, (value, _) in changed.items()}}
    note = fitting.changed_text(from_recipe, changed)
    sources.update({name: source for name, (_, source) in changed.items()})
    with recipe_named(sources, given):
        return Command(
            config_lib.from_values(given),
            sources,
            print_config=False,
            undecided=frozenset(undecided),
            not_by_hand=frozenset(sources.keys() - by_hand.keys()),
            notes=(note,) if note else (),
        )


def _origins(arguments: Sequence[str], by_hand: Mapping[str, Any]) -> Dict[str, str]:
    """Returns option name → 'command line' or 'flagfile PATH', for the options that are given by hand."""
    origins = dict.fromkeys(by_hand, "command line")
    for path in _flagfiles(arguments):
        in_file = _parse_flags([f"--flagfile={path}"])
        typed = {argument.lstrip("-").partition("=")[0] for argument in arguments}
        origins.update({name: f"flagfile {path}" for name in in_file if not {name, f"no{name}"} & typed})
    return origins


def _read_recipe(path: pathlib.Path, by_hand: Mapping[str, Any]) -> Dict[str, Any]:
    """Returns the options that a recipe sets, except those that a flag given by hand makes meaningless.

    Raises:
      UserError: the recipe has a mistake; the message names the file.
    """
    values = _parse_flags([f"--flagfile={path}"])
    dropped = {other for name, others in DEPENDENT.items() if name in by_hand for other in others}
    return {name: value for name, value in values.items() if name not in dropped}


def _parse_flags(arguments: Sequence[str]) -> Dict[str, Any]:
    """Returns the options that `arguments` set; other options are absent.

    Raises:
      UserError: there is a mistake; names the flagfile and the line if it is in one.
    """
    try:
        return _parsed(arguments)
    except UserError as error:
        text = error.text(config_lib.as_flag)
        place = _place_in_file(arguments, text)
        if place is None:
            raise
        raise UserError(f"{place}: {text}") from None


def _place_in_file(arguments: Sequence[str], text: str, looked_at: Sequence[str] = ()) -> Optional[str]:
    """Returns 'PATH: line N' for the line of a flagfile that raises the UserError with this text; None for none."""
    for path in _flagfiles(arguments):
        if path in looked_at:
            continue
        try:
            lines = pathlib.Path(path).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for number, line in enumerate(map(str.strip, lines), 1):
            if not line or line.startswith(("#", "//")):  # as absl reads these files
                continue
            inner = _place_in_file([line], text, (*looked_at, path))
            if inner is not None:
                return inner
            try:
                _parsed([line])
            except UserError as error:
                if error.text(config_lib.as_flag) == text:
                    return f"{path}: line {number}"
    return None


def _parsed(arguments: Sequence[str]) -> Dict[str, Any]:
    """Does the work of `_parse_flags`; names no file."""
    flag_values = _define_flags()
    try:
        _check_form(flag_values, arguments)
        arguments = flag_values.read_flags_from_files(arguments, force_gnu=False)
        _check_form(flag_values, arguments)  # now with the flags in the files
        positional = flag_values(["", *arguments])[1:]
    except _BadValue as bad:
        raise bad.error from None
    except absl_flags.UnrecognizedFlagError as error:
        booleans = [name for name in flag_values if flag_values[name].boolean]
        raise forms.unknown(error.flagname, arguments, list(flag_values), booleans) from None
    except absl_flags.CantOpenFlagFileError as error:
        cause = error.__context__
        assert isinstance(cause, OSError)
        raise UserError(f"--flagfile={cause.filename}: cannot be read ({cause.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"--flagfile={' or '.join(_flagfiles(arguments))}: is not UTF-8 text") from None
    except absl_flags.Error as error:
        raise UserError(" ".join(str(error).split())) from None
    if any(re.match("--?undefok(=|$)", argument) for argument in arguments):  # absl hides unknown flags then
        raise UserError("--undefok: no such option; --help=all lists all options")
    if positional:
        raise forms.unexpected(positional[0], list(flag_values))
    return {name: flag_values[name].value for name in flag_values if flag_values[name].present and name != "flagfile"}


def _check_form(flag_values: absl_flags.FlagValues, arguments: Sequence[str]) -> None:
    """Raises UserError for a flag whose value is missing, and for `--noNAME=VALUE`."""
    for argument, following in zip(arguments, [*arguments[1:], None]):
        name, equals, _ = argument.lstrip("-").partition("=")
        if not argument.startswith("-"):
            continue
        if equals and name.startswith("no") and name[2:] in flag_values and flag_values[name[2:]].boolean:
            raise UserError(f"{argument}: takes no value; --{name[2:]}=false says the same")
        if equals or name not in flag_values or flag_values[name].boolean:
            continue
        following_name = (following or "").partition("=")[0]
        if following is None or (following_name.startswith("--") and _is_flag(flag_values, following_name[2:])):
            raise UserError(f"--{name}: the value is missing; write --{name}=VALUE")


def _is_flag(flag_values: absl_flags.FlagValues, name: str) -> bool:
    return name in flag_values or (name.startswith("no") and name[2:] in flag_values)


def _flagfiles(arguments: Sequence[str]) -> List[str]:
    """Returns the paths that `--flagfile=PATH` or `--flagfile PATH` name among the arguments."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        name, equals, path = argument.lstrip("-").partition("=")
        if name == "flagfile":
            found.append(path if equals else following)
    return found


def _define_flags() -> absl_flags.FlagValues:
    """Returns a fresh set of absl flags, one for each option."""
    flag_values = absl_flags.FlagValues()
    for option in (*config_lib.options(), *config_lib.plan_options()):
        _define_flag(flag_values, option.name, option.type)
    _define_flag(flag_values, "print_config", bool)
    absl_flags.DEFINE_string("flagfile", None, "", flag_values=flag_values)
    return flag_values


def _define_flag(flag_values: absl_flags.FlagValues, name: str, kind: Any) -> None:
    flag: absl_flags.Flag = absl_flags.Flag(_ValueParser(name, kind), None, name, None, name, boolean=kind is bool)
    absl_flags.DEFINE_flag(flag, flag_values)


class _BadValue(Exception):
    """Carries an ArgumentError through absl, which would turn a ValueError into text."""

    def __init__(self, error: ArgumentError) -> None:
        super().__init__(str(error))
        self.error = error


class _ValueParser(absl_flags.ArgumentParser):
    """Parses the text of one flag.

    Args:
      name: the option's name.
      kind: the option's type.
    """

    def __init__(self, name: str, kind: Any) -> None:
        super().__init__()
        self._name = name
        self._kind = kind

    def parse(self, argument: Any) -> Any:
        try:
            return _value_from_text(argument, self._kind)
        except (KeyError, ValueError):
            raise _BadValue(ArgumentError(self._name, argument, f"must be {WANTED[self._kind]}")) from None
        except OverflowError as error:
            raise _BadValue(ArgumentError(self._name, argument, str(error))) from None


def _value_from_text(text: Any, kind: Any) -> Any:
    """Returns the value of type `kind` that `text` stands for.

    Raises:
      KeyError, ValueError: the text stands for no such value.
      OverflowError: a number is too large or too small; the message says which.
    """
    if kind is bool:
        return BOOLEANS[str(text).lower()]
    if kind in (int, Optional[int]):
        return int(text)
    if kind == Union[int, str, None]:
        return text if text == "auto" else int(text)
    if kind in (float, Optional[float]):
        return _number(text)
    if kind in (Tuple[str, ...], Tuple[int, ...], Optional[Tuple[float, ...]]):
        elements: List[str] = [part.strip() for part in text.split(",")] if text else []
        convert = {Tuple[str, ...]: str, Tuple[int, ...]: int}.get(kind, _number)
        return tuple(convert(part) for part in elements)
    return text


def _number(text: str) -> float:
    """Returns the number that `text` stands for.

    Raises:
      ValueError: the text is no number.
      OverflowError: the number would become infinite or 0.
    """
    number = float(text)
    if math.isinf(number) and re.search("[0-9]", text):
        raise OverflowError("is too large; numbers go up to 1.8e308")
    if number == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise OverflowError("is too near to 0; numbers go down to 5e-324")
    return number
