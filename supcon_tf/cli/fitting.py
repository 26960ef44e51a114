"""Makes warm-ups and times of decay that nobody has given by hand fit the number of epochs."""

from typing import Any, Dict, Mapping, Tuple

from supcon_tf import config as config_lib


def schedules(from_recipe: Mapping[str, Any], by_hand: Mapping[str, Any]) -> Dict[str, Tuple[Any, str]]:
    """Returns option name → (value, its source), for those that must change.

    >>> schedules({"pretrain_epochs": 40, "warmup_epochs": 4.0}, {"pretrain_epochs": 1})
    {'warmup_epochs': (0.1, 'a tenth of --pretrain_epochs')}

    A warm-up that is not below the number of epochs becomes a tenth of that number. Times of decay shrink with the
    epochs.

    Args:
      from_recipe: option name → value that a recipe sets.
      by_hand: option name → value, as given on the command line.
    """
    usual = {**config_lib.values(config_lib.Config()), **from_recipe}
    now = {**usual, **by_hand}
    changed: Dict[str, Tuple[Any, str]] = {}
    for stage in config_lib.TRAINING_STAGES:
        epochs_name, warmup, decay = (
            config_lib.name_in_stage(stage, field) for field in ("epochs", "warmup_epochs", "decay_epochs")
        )
        epochs = now[epochs_name]
        if warmup not in by_hand and now[warmup] >= epochs:
            now[warmup] = round(epochs / 10, 3)
            changed[warmup] = now[warmup], f"a tenth of --{epochs_name}"
        times = now[decay]
        if times and decay not in by_hand and now[warmup] + times[-1] >= epochs and epochs < usual[epochs_name]:
            shorter = tuple(round(time * epochs / usual[epochs_name], 3) for time in times)
            changed[decay] = shorter, f"in proportion to --{epochs_name}"
    return changed


def changed_text(given: Mapping[str, Any], changed: Mapping[str, Tuple[Any, str]]) -> str:
    """Returns a line about values that have changed, '' for none.

    >>> changed_text({"warmup_epochs": 4.0}, {"warmup_epochs": (0.1, "a tenth of --pretrain_epochs")})
    'Changed, to fit the epochs: --warmup_epochs=0.1 (was 4)'

    Args:
      given: option name → value before; options that are missing have their default.
      changed: what `schedules` returns.
    """
    if not changed:
        return ""
    before = {**config_lib.values(config_lib.Config()), **given}
    parts = [
        f"{config_lib.as_flag(name, value)} (was {config_lib.option_text(name, before[name])})"
        for name, (value, _) in changed.items()
    ]
    return f"Changed, to fit the epochs: {', '.join(parts)}"
