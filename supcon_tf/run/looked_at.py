"""Says in a few lines what was seen of the images before training, and what was chosen or changed because of it."""

from typing import Dict, Iterator, List, Mapping, Optional

from supcon_tf import config as config_lib
from supcon_tf.data.look import Look
from supcon_tf.errors import NAME_ONLY
from supcon_tf.run.decide import Decision
from supcon_tf.run.give_way import Change

KINDS = {"tiny": "tiny", "drawn": "drawn", "photograph": "photographs"}
FEW_IMAGES = 20  # of a class, below which a warning is given
IMBALANCE = 10  # ratio of the largest to the smallest class from which a warning is given


def looked_at_text(look: Optional[Look], decisions: Mapping[str, Decision]) -> str:
    """Returns lines about the images and the choices; no text where the images decided nothing.

    Args:
      look: what was seen of the images; None for nothing.
      decisions: option name → value and reason.
    """
    if look is None or not decisions:
        return ""
    lines = [*seen_lines(look), "Chosen for these images; a flag by hand wins:"]
    return "".join(f"{line}\n" for line in lines) + decisions_text(decisions)


def seen_lines(look: Optional[Look]) -> List[str]:
    """Returns lines about the images alone; none for None."""
    return [] if look is None else [_images(look), *_warnings(look)]


def decisions_text(decisions: Mapping[str, Decision]) -> str:
    """Returns a line for each reason, with the flags that it explains."""
    by_reason: Dict[str, List[str]] = {}
    for name, (value, reason) in decisions.items():
        by_reason.setdefault(reason, []).append(config_lib.as_flag(name, value))
    return "".join(f"  {' '.join(flags)}  ({_with_flags(reason)})\n" for reason, flags in by_reason.items())


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


def _images(look: Look) -> str:
    """Returns a line on the number and the size of the images."""
    text = f"{look.images:,} training images"
    if look.class_sizes:
        few, many = min(look.class_sizes), max(look.class_sizes)
        each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        text += f" in {len(look.class_sizes):,} classes of {each}"
    if look.side is not None:
        sides = f"{look.side:,}" if look.smallest == look.largest else f"{look.smallest:,} to {look.largest:,}"
        text += f", longer sides of {sides} pixels"
    if look.formats:
        text += f", {' and '.join(look.formats)}"
    return f"{text}; they count as {KINDS[look.kind]}"


def _warnings(look: Look) -> Iterator[str]:
    """Yields a line for each property of the classes that makes training or its figures worse."""
    if not look.class_sizes:
        return
    few, many = min(look.class_sizes), max(look.class_sizes)
    if few < FEW_IMAGES:
        small = sum(size < FEW_IMAGES for size in look.class_sizes)
        advice = config_lib.as_flag("preset", "finetune")
        count = f"Classes with fewer than {FEW_IMAGES} training images: {small:,}"
        yield f"{count}; an encoder trained before helps ({advice})"
    if many >= IMBALANCE * few:
        balanced = config_lib.as_flag("classes_per_batch", NAME_ONLY)
        yield f"The largest class has {many / few:.0f} times the images of the smallest; {balanced} balances batches"


def _with_flags(reason: str) -> str:
    return reason.format(warm_start=config_lib.as_flag("warm_start", NAME_ONLY))
