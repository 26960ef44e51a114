"""Says in a few lines what was seen of the images before training, and what was chosen because of it."""

from typing import Dict, List, Mapping, Optional

from supcon_tf import config as config_lib
from supcon_tf.data.look import Look
from supcon_tf.errors import NAME_ONLY
from supcon_tf.run.decide import Decision


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


def _with_flags(reason: str) -> str:
    return reason.format(warm_start=config_lib.as_flag("warm_start", NAME_ONLY))
