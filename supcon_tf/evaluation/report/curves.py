"""Training curves as line drawings."""

import html
from typing import Mapping, Sequence, Tuple

Curve = Sequence[Tuple[int, float]]  # (step, value), by rising step

WIDTH, HEIGHT, MARGIN = 290, 150, 22
ACCURACIES = ("online_accuracy", "top1", "hit_at_1")
SHOWN = ("train/loss", *(f"{part}/{name}" for part in ("train", "validation") for name in ACCURACIES))


def curves_section(history: Mapping[str, Mapping[str, Curve]]) -> str:
    """Returns a heading and drawings for each stage that has curves of loss or accuracy.

    Args:
      history: stage → tag → curve, the content of history.json.
    """
    parts = []
    for stage, by_tag in history.items():
        drawings = "".join(svg(tag, by_tag[tag]) for tag in SHOWN if by_tag.get(tag))
        if drawings:
            parts.append(f"<h2>Stage {html.escape(stage)}</h2>{drawings}")
    return "\n".join(parts)


def svg(name: str, curve: Curve) -> str:
    """Draws a curve, with its first, last, smallest and largest value in words."""
    steps = [step for step, _ in curve]
    values = [value for _, value in curve]
    low, high = min(values), max(values)
    across = (WIDTH - 2 * MARGIN) / max(steps[-1] - steps[0], 1)
    up = (HEIGHT - 2 * MARGIN) / max(high - low, 1e-12)
    line = " ".join(
        f"{MARGIN + across * (step - steps[0]):.1f},{HEIGHT - MARGIN - up * (value - low):.1f}" for step, value in curve
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<text x="{MARGIN}" y="14">{html.escape(name)}: {values[0]:.3g} → {values[-1]:.3g}</text>'
        f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>'
        f'<text x="{MARGIN}" y="{HEIGHT - 6}">step {steps[0]:,} to {steps[-1]:,}, '
        f"{low:.3g} to {high:.3g}</text></svg>"
    )
