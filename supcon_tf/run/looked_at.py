"""Says in a few lines what was seen of the images before training, and what was chosen or changed because of it."""

from typing import Dict, List, Mapping, Optional

from supcon_tf import config as config_lib
from supcon_tf.data.look import Look
from supcon_tf.errors import NAME_ONLY
from supcon_tf.run.decide import Decision
from supcon_tf.run.give_way import Change


def looked_at_text(look: Optional[Look], decisions: Mapping[str, Decision]) -> str:
    """Returns lines about the images and the choices; no text where the images decided nothing.

    Args:
      look: what was seen of the images; None for nothing.
      decisions: option name → value and reason.
    """
    if look is None or not decisions:
        return ""
    by_reason: Dict[str, List[str]] = {}
    for name, (value, reason) in decisions.items():
        by_reason.setdefault(reason, []).append(config_lib.as_flag(name, value))
    lines = ["Chosen for these images; a flag by hand wins:"]
    lines += [f"  {' '.join(flags)}  ({_with_flags(reason)})" for reason, flags in by_reason.items()]
    return "".join(f"{line}\n" for line in lines)


def gave_way_text(changes: Mapping[str, Change]) -> str:
    r"""Returns a line about values that gave way; no text if there are none.

    >>> gave_way_text({"batch_size": Change(128, 256, "there are 200 training images")})
    'Changed, because there are 200 training images: --batch_size=128 (was 256)\n'
    """
    if not changes:
        return ""
    values = [f"{config_lib.as_flag(name, now)} (was {then})" for name, (now, then, _) in changes.items()]
    reasons = dict.fromkeys(change.reason for change in changes.values())
    return f"Changed, because {' and '.join(reasons)}: {', '.join(values)}\n"


def _with_flags(reason: str) -> str:
    return reason.format(warm_start=config_lib.as_flag("warm_start", NAME_ONLY))
