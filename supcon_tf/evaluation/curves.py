"""Training curves, read from TensorBoard's event files and drawn as SVG."""

import html
from typing import Dict, List, Sequence, Tuple

import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

Curve = List[Tuple[int, float]]  # (step, value)

WIDTH, HEIGHT, MARGIN = 290, 150, 22


def read_curves(directory: str, tags: Sequence[str]) -> Dict[str, Curve]:
    """Tag → points in the order of steps, of those of `tags` that the event files in `directory` hold.

    A step that was logged again after an interruption counts as it was logged last.
    """
    points: Dict[str, List[Tuple[float, int, float]]] = {tag: [] for tag in tags}
    for path in tf.io.gfile.glob(f"{directory}/events.out.tfevents.*"):
        for event in event_file_loader.EventFileLoader(path).Load():
            for value in event.summary.value:
                if value.tag in points:
                    points[value.tag].append((event.wall_time, event.step, float(tf.make_ndarray(value.tensor))))
    # By the time of each point, for names of files don't tell: in one second, the tenth comes before the ninth.
    by_step = {tag: {step: value for _, step, value in sorted(found)} for tag, found in points.items()}
    return {tag: sorted(curve.items()) for tag, curve in by_step.items() if curve}


def svg(name: str, curve: Curve) -> str:
    """A small line drawing of a curve, with its first, last, smallest and largest figures in words."""
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
