"""Training curves as charts, one for each kind of figure, with the training and the validation images in one chart."""

import html
from typing import Dict, List, Mapping, Sequence

from supcon_tf.evaluation.report.ticks import ticks

Curve = Sequence[Sequence[float]]  # rows of (step, value), by rising step

# Metric → title of its chart and format of its values
CHARTS = {
    "loss": ("Loss", ".3g"),
    "online_accuracy": ("Accuracy of the online classifier", ".1%"),
    "top1": ("Accuracy", ".1%"),
    "hit_at_1": ("Images whose top class is one of theirs", ".1%"),
}
PARTS = {"train": "training", "validation": "validation"}

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 368, 56, 196  # edges of the plotted area


def curves_section(history: Mapping[str, Mapping[str, Curve]], log_every: int) -> str:
    """Returns a heading and charts for each stage that has curves of loss or accuracy.

    A sentence says so where a stage has no curves, or where they begin late, because history.json was removed.

    Args:
      history: stage → tag → curve, for each stage that was trained. A stage without recorded curves has an empty dict.
      log_every: steps between two points of a curve.
    """
    parts = []
    for stage, by_tag in history.items():
        charts = [_chart(metric, by_tag) for metric in CHARTS if _lines(metric, by_tag)]
        if charts or not by_tag:
            parts.append(f"<h2>Stage {html.escape(stage)}</h2>{_remark(by_tag, log_every)}")
            parts.append(f"<div class=charts>{''.join(charts)}</div>" if charts else "")
    return "\n".join(parts)


def chart(title: str, lines: Mapping[str, Curve], form: str) -> str:
    """Draws curves over the step, with ticks on both axes, as SVG.

    Args:
      title: what the values are.
      lines: name → curve. The legend shows the names, each with the last value.
      form: format of the last values.
    """
    steps = [step for curve in lines.values() for step, _ in curve]
    values = [value for curve in lines.values() for _, value in curve]
    step_ticks, value_ticks = ticks(min(steps), max(steps), whole=True), ticks(min(values), max(values))

    def x(step: float) -> float:
        return LEFT + (RIGHT - LEFT) * (step - step_ticks[0]) / (step_ticks[-1] - step_ticks[0])

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - value_ticks[0]) / (value_ticks[-1] - value_ticks[0])

    parts = [f'<text class=title x="{LEFT}" y="18">{html.escape(title)}</text>']
    for value, text in zip(value_ticks, _tick_texts(value_ticks, form)):
        parts.append(f'<path class=grid d="M{LEFT} {y(value):.1f}H{RIGHT}"/>')
        parts.append(f'<text class=y x="{LEFT - 6}" y="{y(value) + 4:.1f}">{text}</text>')
    for step in step_ticks:
        parts.append(f'<path class=grid d="M{x(step):.1f} {BOTTOM}v4"/>')
        parts.append(f'<text class=x x="{x(step):.1f}" y="{BOTTOM + 17}">{step:,.0f}</text>')
    parts.append(f'<text class=x x="{(LEFT + RIGHT) / 2:.0f}" y="{HEIGHT - 8}">step</text>')
    for number, (name, curve) in enumerate(lines.items()):
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve)
        parts.append(f'<polyline class=line{number} points="{points}"/>')
        if len(curve) == 1:
            parts.append(f'<circle class=line{number} cx="{x(curve[0][0]):.1f}" cy="{y(curve[0][1]):.1f}" r="3"/>')
        parts += _legend(number, f"{name}: {curve[-1][1]:{form}}")
    name = html.escape(f"{title}: {', '.join(lines)}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="{name}">{"".join(parts)}</svg>'


def _legend(number: int, text: str) -> List[str]:
    at = LEFT + 150 * number
    return [
        f'<path class=line{number} d="M{at} 34h16"/>',
        f'<text class=legend x="{at + 22}" y="38">{html.escape(text)}</text>',
    ]


def _chart(metric: str, by_tag: Mapping[str, Curve]) -> str:
    title, form = CHARTS[metric]
    return chart(title, _lines(metric, by_tag), form)


def _lines(metric: str, by_tag: Mapping[str, Curve]) -> Dict[str, Curve]:
    """Returns the curves of a metric by the images that they were measured on."""
    return {words: by_tag[f"{part}/{metric}"] for part, words in PARTS.items() if by_tag.get(f"{part}/{metric}")}


def _remark(by_tag: Mapping[str, Curve], log_every: int) -> str:
    """Returns a sentence about curves that are missing, or ''."""
    if not by_tag:
        return "<p>history.json has no curves of this stage.</p>"
    first = _first_step(by_tag, log_every)
    if not first:
        return ""
    return f"<p>The curves begin at step {first:,}: history.json has no earlier points.</p>"


def _first_step(by_tag: Mapping[str, Curve], log_every: int) -> int:
    """Returns the first step of the training curves if it is too late for the first point of a new stage, else 0."""
    steps = sorted({int(step) for tag, curve in by_tag.items() if tag.startswith("train/") for step, _ in curve})
    gaps = [after - before for before, after in zip(steps, steps[1:])]
    return steps[0] if steps and steps[0] > max([log_every, *gaps]) else 0


def _tick_texts(values: Sequence[float], form: str) -> List[str]:
    """Returns the numbers with as many decimals as the longest needs, in percent if `form` is."""
    factor, unit = (100, "%") if form.endswith("%") else (1, "")
    decimals = max(len(f"{factor * value:.6g}".partition(".")[2]) for value in values)
    return [f"{factor * value:.{decimals}f}{unit}" for value in values]
