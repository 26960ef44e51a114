"""The command line: options of `supcon_tf.config` as absl flags, recipes as absl flagfiles, and both back to a Config.

Imports no TensorFlow, so that `--help`, `--print_config` and mistakes are answered at once.
"""

import pathlib
import shutil
import sys
import textwrap
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from absl import flags as absl_flags

from supcon_tf import config as config_lib
from supcon_tf.errors import UserError, did_you_mean

RECIPES = pathlib.Path(__file__).parent / "recipes"

REQUIRED = ("mode", "dataset")

# What a recipe says of these goes where the one they belong to is given by hand.
BELONGING = {
    "schedule": ("decay_rate", "decay_epochs"),
    "linear_schedule": ("linear_decay_rate", "linear_decay_epochs"),
}

USAGE = """\
Supervised contrastive learning (Khosla et al., 2020): pretrain, train a linear classifier, evaluate, export.

  python app.py --mode=supcon --dataset=digits
  python app.py --mode=ce --dataset=folder:/path/to/images
  python app.py --mode=supcon --dataset=cifar10 --print_config
  python app.py --mode=supcon --dataset=cifar10 --plan

With no more than --mode and --dataset, the recipe of that pair (and of --encoder, if there is one) sets the rest; a
flag given by hand wins over it.
"""


WANTED = {
    bool: "left without a value, or true or false",
    int: "a whole number",
    Optional[int]: "a whole number",
    float: "a number",
    Optional[float]: "a number",
    Tuple[int, ...]: "whole numbers with commas between them, like 2048,128",
    Optional[Tuple[float, ...]]: "numbers with commas between them, like 60,75.5,90",
}


class Command(NamedTuple):
    """What the user asked for.

    Attributes:
      config: the resolved options.
      sources: option name → 'command line', 'recipe NAME', 'default', or 'mode and data set' (of the recipe).
      print_config: whether to print the options and stop.
      plan: what to print of what the run would take, to stop then; None to run.
    """

    config: config_lib.Config
    sources: Dict[str, str]
    print_config: bool
    plan: Optional[config_lib.PlanOptions] = None


def parse(argv: Sequence[str]) -> Command:
    """Command line, program name first, to a Command.

    Raises:
      UserError: with the flag, its value and what would be right.
      SystemExit: after printing the help, where the user asked for it.
    """
    if {"-h", "--h", "-help", "--help", "--helpshort", "--helpfull"} & set(argv[1:]):
        print(help_text(shutil.get_terminal_size((100, 24)).columns), flush=True)
        sys.exit(0)
    by_hand = _parse(argv[1:], source="command line")
    print_config = bool(by_hand.pop("print_config", False))
    plan_names = [option.name for option in config_lib.plan_options() if option.name in by_hand]
    plan = config_lib.plan_from_values({name: by_hand.pop(name) for name in plan_names})
    recipe_path = _find_recipe(by_hand)
    from_recipe: Dict[str, Any] = {}
    if recipe_path is not None:
        from_recipe = _parse([f"--flagfile={recipe_path}"], source=str(recipe_path))
        for name, belonging in BELONGING.items():
            if name in by_hand:
                from_recipe = {other: value for other, value in from_recipe.items() if other not in belonging}
    for name in REQUIRED:
        if name not in by_hand and name not in from_recipe:
            raise UserError(f"--{name} is missing; for example: python app.py --mode=supcon --dataset=digits")
    sources = {option.name: "default" for option in config_lib.options()}
    if recipe_path is not None:
        sources.update({name: f"recipe {recipe_path.stem}" for name in from_recipe})
        from_recipe["recipe"] = recipe_path.stem
        sources["recipe"] = "mode and data set"
    sources.update({name: "command line" for name in by_hand})
    try:
        config = config_lib.from_values({**from_recipe, **by_hand})
    except UserError as error:
        raise UserError(_with_source(error.text(config_lib.as_flag), {**from_recipe, **by_hand}, sources)) from None
    return Command(config, sources, print_config, plan)


def _with_source(complaint: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """'--flag=value: ...' with the recipe after the flag, if that is where the value is from."""
    for name, value in values.items():
        flag = config_lib.as_flag(name, value)
        if complaint.startswith(f"{flag}: ") and sources.get(name, "").startswith("recipe "):
            return complaint.replace(flag, f"{flag} ({sources[name]})", 1)
    return complaint


def config_text(config: config_lib.Config, sources: Mapping[str, str]) -> str:
    """The resolved options by group, one a line: flag, value, where the value came from."""
    values = config_lib.values(config)
    lines, title = [], ""
    for option in config_lib.options():
        if option.title != title:
            title = option.title
            lines.append(f"\n# {title}")
        value = values[option.name]
        flag = config_lib.as_flag(option.name, value)
        lines.append(f"{flag:<44} {sources[option.name]}")
    return "\n".join(lines).lstrip()


def help_text(width: int) -> str:
    """All options by group, wrapped to `width` characters."""
    lines, title = [USAGE], ""
    for option in config_lib.options():
        if option.title != title:
            title = option.title
            lines.append(f"{title}:")
        form = f"--[no]{option.name}" if option.type is bool else f"--{option.name}"
        lines.append(f"  {form}")
        description = option.metadata["help"]
        if option.metadata["choices"] and option.name in ("encoder", "optimizer", "linear_optimizer", "linear_augment"):
            ours = "Ours are" if option.metadata["check_other"] else "One of"
            description += f" {ours} {', '.join(option.metadata['choices'])}."
        if option.name in REQUIRED:
            description += " (required)"
        elif option.default is not None:
            description += f" (default: {config_lib.value_text(option.default)})"
        lines.append(_wrapped(description, width))
    lines.append("Answers:")
    lines.append("  --print_config\n      Print every option, its value and where that came from; run nothing.")
    for option in config_lib.plan_options():
        lines += [f"  --{option.name}", _wrapped(option.metadata["help"], width)]
    lines.append("  --help\n      This text.")
    return "\n".join(lines)


def _wrapped(description: str, width: int) -> str:
    return textwrap.fill(description, min(width, 100), initial_indent=" " * 6, subsequent_indent=" " * 6)


class _NumbersParser(absl_flags.ArgumentParser):
    """'2048,128' → (2048, 128)."""

    syntactic_help = "comma-separated numbers"

    def __init__(self, kind: Callable[[str], Any]) -> None:
        super().__init__()
        self._kind = kind

    def parse(self, argument: Any) -> Tuple[Any, ...]:
        if isinstance(argument, str):
            return tuple(self._kind(part) for part in argument.split(","))
        return tuple(argument)


def _define() -> absl_flags.FlagValues:
    """A fresh set of absl flags, one for each option."""
    flag_values = absl_flags.FlagValues()
    for option in (*config_lib.options(), *config_lib.plan_options()):
        arguments = (option.name, None, option.metadata["help"])
        if option.type is bool:
            absl_flags.DEFINE_boolean(*arguments, flag_values=flag_values)
        elif option.type in (int, Optional[int]):
            absl_flags.DEFINE_integer(*arguments, flag_values=flag_values)
        elif option.type in (float, Optional[float]):
            absl_flags.DEFINE_float(*arguments, flag_values=flag_values)
        elif option.type == Tuple[str, ...]:
            absl_flags.DEFINE_list(*arguments, flag_values=flag_values)
        elif option.type == Tuple[int, ...]:
            absl_flags.DEFINE(_NumbersParser(int), *arguments, flag_values=flag_values)
        elif option.type == Optional[Tuple[float, ...]]:
            absl_flags.DEFINE(_NumbersParser(float), *arguments, flag_values=flag_values)
        else:
            absl_flags.DEFINE_string(*arguments, flag_values=flag_values)
    absl_flags.DEFINE_boolean("print_config", None, "", flag_values=flag_values)
    absl_flags.DEFINE_string("flagfile", None, "", flag_values=flag_values)
    return flag_values


def _parse(arguments: Sequence[str], source: str) -> Dict[str, Any]:
    """The options that `arguments` set, and nothing of those that they don't."""
    flag_values = _define()
    where = "" if source == "command line" else f"{source}: "
    try:
        positional = flag_values([source, *arguments])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        hint = did_you_mean(error.flagname, (*flag_values, "help")).replace("mean ", "mean --")
        raise UserError(f"{where}--{error.flagname}: no such option{hint or '; --help lists them'}") from None
    except absl_flags.IllegalFlagValueError as error:
        given = str(error).replace("flag ", "", 1).split(": ")[0]
        types = {option.name: option.type for option in (*config_lib.options(), *config_lib.plan_options())}
        wanted = WANTED.get(types.get(given.lstrip("-").split("=")[0]), "another value")
        raise UserError(f"{where}{given}: must be {wanted}") from None
    except absl_flags.Error as error:
        raise UserError(where + str(error).replace("flag --", "--").replace("\n", " ")) from None
    if positional:
        raise UserError(f"{where}unexpected argument '{positional[0]}'; every option starts with --")
    found = {name: flag_values[name] for name in flag_values if flag_values[name].present and name != "flagfile"}
    return {name: tuple(flag.value) if isinstance(flag.value, list) else flag.value for name, flag in found.items()}


def _find_recipe(by_hand: Mapping[str, Any]) -> Optional[pathlib.Path]:
    """The recipe that the command line asks for or implies; None for `--recipe=none`."""
    names = sorted(path.stem for path in RECIPES.glob("*.cfg"))
    recipe = by_hand.get("recipe")
    if recipe == "none":
        return None
    if recipe is not None:
        for path in (RECIPES / f"{recipe}.cfg", pathlib.Path(recipe)):
            if path.is_file():
                return path
        hint = did_you_mean(recipe, names) or f"; one of {', '.join(names)}, or a file"
        raise UserError(f"--recipe={recipe}: no such recipe{hint}")
    mode, dataset = by_hand.get("mode"), by_hand.get("dataset")
    if mode not in config_lib.MODES or dataset is None:
        return None  # the checks that follow say what is missing or wrong
    of_pair = f"{dataset.split(':')[0].replace('/', '_')}_{mode}"
    for name in (f"{of_pair}_{by_hand.get('encoder')}", of_pair, f"default_{mode}"):
        if name in names:
            return RECIPES / f"{name}.cfg"
    return None
