"""Records the options of a run, and compares two runs by their records."""

import hashlib
import json
import os
import re
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from supcon_tf.config.options import Config
from supcon_tf.config.values import options, values

# Kept in each record, and changed when earlier runs cannot be resumed: an option has another meaning, or a seed gives
# another order of images.
RECORD_VERSION = 1
LONGEST_NAME = 200  # bytes of a data set's name in the default path; file systems allow 255 with mode and digest


def identity(config: Config) -> Dict[str, Any]:
    """Returns the options that identify a run: two runs that differ in one of these are different runs."""
    names = {option.name for option in options() if option.metadata["identity"]}
    return {name: value for name, value in values(config).items() if name in names}


def digest(config: Config) -> str:
    """Returns eight hexadecimal digits that identify a run. They stay the same when new options are added."""
    defaults = identity(Config())
    changed = {name: value for name, value in identity(config).items() if value != defaults[name]}
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]


def default_path(config: Config) -> str:
    """Returns a path in runs/ that differs between runs with different options."""
    dataset = config.data.dataset
    if dataset.startswith(("folder:", "csv:")):
        dataset = os.path.basename(os.path.abspath(dataset.partition(":")[2]))
    dataset = re.sub(r"[/:]", "_", dataset)
    dataset = dataset.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")
    return os.path.join("runs", f"{dataset}_{config.run.mode}_{digest(config)}")


def fingerprint(config: Config, *, without: Sequence[str]) -> int:
    """Returns a number below 2²⁴ that almost surely differs between configs that differ.

    Args:
      config: the options.
      without: names of options to ignore.
    """
    compared = {name: value for name, value in values(config).items() if name not in without}
    return int(hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:6], 16)


def first_stage(name: str, mode: str) -> str:
    """Returns the first stage whose result depends on an option: 'pretrain' or 'linear'.

    >>> first_stage("temperature", "supcon"), first_stage("linear_epochs", "supcon")
    ('pretrain', 'linear')

    Args:
      name: the option's name.
      mode: the mode of the run. Only in mode 'ce' has the stage 'pretrain' a classifier.
    """
    linear_only = {option.name for option in options() if option.group == "linear"} | {
        "linear_augment",
        "linear_solver",
    }
    if mode != "ce":
        linear_only |= {"label_smoothing", "zero_classifier"}
    return "linear" if name in linear_only else "pretrain"


def recorded(old: Mapping[str, Any]) -> Dict[str, Any]:
    """Returns a run's record, completed by the defaults of options that are newer than the record.

    Args:
      old: the content of `config.json`.
    """
    return {**_as_json(identity(Config())), **old}


def differences(old: Mapping[str, Any], config: Config, *, stage: Optional[str] = None) -> Dict[str, Tuple[Any, Any]]:
    """Returns name → (value now, value then) for each option in which `config` differs from the record of a run.

    Args:
      old: the content of the run's `config.json`.
      config: the options now.
      stage: only options whose first stage is this one; see `first_stage`. None for all options.
    """
    now, before = _as_json(identity(config)), recorded(old)
    names = [name for name in now if now[name] != before[name]]
    return {name: (now[name], before[name]) for name in names if stage in (None, first_stage(name, config.run.mode))}


def _as_json(options_by_name: Mapping[str, Any]) -> Dict[str, Any]:
    """Returns the options the way JSON gives them back: tuples as lists."""
    return json.loads(json.dumps(options_by_name))
