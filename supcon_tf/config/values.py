"""Option values to and from dicts and text."""

import dataclasses
import functools
import math
from typing import Any, Dict, Iterator, List, Mapping, Optional

from supcon_tf.config import constraints
from supcon_tf.config.field import Option, options_of
from supcon_tf.config.options import Config, PlanOptions
from supcon_tf.errors import NAME_ONLY, ArgumentError, UserError, check_number
from supcon_tf.names import did_you_mean


def options() -> Iterator[Option]:
    """Yields every option of `Config`, in the order of declaration."""
    for field in dataclasses.fields(Config):
        yield from options_of(field.name, field.default, **field.metadata)


def plan_options() -> Iterator[Option]:
    """Returns the options of `--plan`, which are not part of a `Config`."""
    return options_of("plan", PlanOptions(), "Plan")


def values(config: Config) -> Dict[str, Any]:
    """Returns option name → value.

    >>> values(Config())["linear_epochs"]
    50
    """
    return {option.name: getattr(getattr(config, option.group), option.field) for option in options()}


def from_values(given: Mapping[str, Any]) -> Config:
    """Returns the checked Config with these values and defaults for all other options.

    >>> from_values({"mode": "ce", "linear_epochs": 5}).linear.epochs
    5

    Args:
      given: option name → value. A single value is accepted for an option that takes several.

    Raises:
      UserError: an option is unknown.
      ArgumentError: a value is not allowed, or two values contradict each other.
    """
    check_values(given)
    known = {option.name: option for option in options()}
    changes: Dict[str, Dict[str, Any]] = {}
    for name, value in given.items():
        option = known[name]
        changes.setdefault(option.group, {})[option.field] = _as_tuple(option, value)
    default = Config()
    groups = {name: dataclasses.replace(getattr(default, name), **fields) for name, fields in changes.items()}
    config = dataclasses.replace(default, **groups)
    constraints.check(config)
    return config


def check_values(given: Mapping[str, Any]) -> None:
    """Checks each value by itself, regardless of the other options.

    >>> check_values({"mode": "supcn"})
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: mode='supcn': unknown; did you mean supcon?

    Args:
      given: option name → value.

    Raises:
      UserError: an option is unknown.
      ArgumentError: a value is not allowed.
    """
    known = {option.name: option for option in options()}
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"{{{name}}}: no such option{hint}", **{name: NAME_ONLY})
        _check_value(known[name], value)


def plan_from_values(given: Mapping[str, Any]) -> Optional[PlanOptions]:
    """Returns the checked PlanOptions with these values; None without `plan`.

    Raises:
      ArgumentError: a value is not allowed, or has no effect.
    """
    for option in plan_options():
        if option.name in given:
            _check_value(option, given[option.name])
    asked = PlanOptions(**given)
    constraints.check_plan(asked)
    return asked if asked.plan else None


def as_flag(name: str, value: Any) -> str:
    """Returns the flag that sets option `name` to `value`; only its name for `NAME_ONLY`.

    >>> as_flag("stages", ("linear", "evaluate")), as_flag("jit_compile", False)
    ('--stages=linear,evaluate', '--nojit_compile')
    """
    if value is NAME_ONLY:
        return f"--{name}"
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={option_text(name, value)}"


def option_text(name: str, value: Any) -> str:
    """Returns the value of option `name` the way the command line writes it.

    None and (), which nobody can type, are what the option says that they mean.

    >>> option_text("stages", ("linear", "evaluate")), option_text("max_examples", None)
    ('linear,evaluate', '(all)')
    """
    meaning = _meanings_of_none().get(name, "none")
    return f"({meaning})" if meaning and value in (None, ()) else value_text(value)


@functools.cache
def _meanings_of_none() -> Dict[str, str]:
    """Returns option name → what None or () mean; see `field.option`."""
    return {option.name: option.metadata["none"] for option in (*options(), *plan_options())}


def value_text(value: Any) -> str:
    """Returns a value other than None the way the command line writes it; see `option_text`."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if math.isclose(float(short), value, rel_tol=1e-15) else repr(value)
    return ",".join(map(value_text, value)) if isinstance(value, (list, tuple)) else str(value)


def _as_tuple(option: Option, value: Any) -> Any:
    """Returns a list or a single value as a tuple, for an option whose default is a tuple."""
    if not isinstance(option.default, tuple):
        return value
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _check_value(option: Option, value: Any) -> None:
    """Raises ArgumentError unless `value` is allowed for `option`, regardless of other options."""
    if value is None:
        return
    elements: List[Any] = list(value) if isinstance(value, (tuple, list)) else [value]
    if not elements and option.default != ():
        raise ArgumentError(option.name, value, "is empty; give at least one value")
    for element in elements:
        if element == "" and option.default is None:
            raise ArgumentError(option.name, value, "is empty; give a value, or leave it out")
        if option.metadata["choices"] and element not in option.metadata["choices"]:
            _check_other_choice(option, value, element)
        if option.metadata["check_text"] and isinstance(element, str):
            option.metadata["check_text"](element)
        if isinstance(element, (int, float)) and not isinstance(element, bool):
            bounds = {name: option.metadata[name] for name in ("above", "minimum", "maximum")}
            check_number(option.name, element, **bounds)


def _check_other_choice(option: Option, value: Any, element: Any) -> None:
    """Raises ArgumentError for an element that is none of the choices, unless the option allows it."""
    one_of = f"; one of {', '.join(option.metadata['choices'])}"
    if element == "":
        problem = "has an empty element" if isinstance(value, (tuple, list)) and len(value) > 1 else "is empty"
        raise ArgumentError(option.name, value, f"{problem}{one_of}")
    if option.metadata["check_other"]:
        option.metadata["check_other"](element)
        return
    hint = did_you_mean(str(element), option.metadata["choices"]) or one_of
    raise ArgumentError(option.name, element, f"unknown{hint}")
