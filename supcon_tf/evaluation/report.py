"""A run's figures as one HTML page that needs nothing else."""

import html
from typing import Any, Mapping, Sequence

import numpy as np

from supcon_tf.evaluation import curves

LARGEST_MATRIX_SHOWN = 100
MISTAKES_SHOWN = 10

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60em; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse } td, th { padding: .15em .6em; text-align: right; font-weight: normal }
th { color: #666 } .figure { font-size: 2em; line-height: 1.2; padding-right: 1em; text-align: left }
.figure small { display: block; font-size: .4em; color: #666 }
.matrix td { min-width: 1.6em } .options td, .options th { text-align: left }
svg { background: #fafafa; margin: 0 .6em .6em 0 } svg text { font: 11px sans-serif; fill: #666 }
"""


def report_html(
    title: str,
    metrics: Mapping[str, Any],
    class_names: Sequence[str],
    options: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, curves.Curve]],
) -> str:
    """The page's text.

    Args:
      title: its heading.
      metrics: as `evaluate_classifier` or `evaluate_multi_label` returns them.
      class_names: in the order of the labels.
      options: name → value, of the run.
      stages: stage → name of a curve → its points.
    """
    figures = "".join(
        f"<td class=figure>{metrics[name]:{form}}<small>{words}</small></td>"
        for name, words, form in (
            ("mean_average_precision", "mean average precision", ".2%"),
            ("top1", "top-1 accuracy", ".2%"),
            ("top5", "top-5 accuracy", ".2%"),
            ("cross_entropy", "cross-entropy (nats)", ".3f"),
            ("images", "held-out images", ","),
        )
        if name in metrics and (name != "top5" or len(class_names) > 5)
    )
    parts = [f"<h1>{html.escape(title)}</h1><table><tr>{figures}</tr></table>"]
    for stage, by_name in stages.items():
        drawings = "".join(curves.svg(name, points) for name, points in by_name.items())
        parts.append(f"<h2>Stage {html.escape(stage)}</h2>{drawings}")
    if metrics.get("confusion_matrix") is not None:
        parts.append(_classes_html(np.array(metrics["confusion_matrix"]), class_names))
    if "average_precision" in metrics:
        rows = "".join(
            f"<tr><th>{html.escape(name)}<td>{'–' if value is None else f'{value:.1%}'}</tr>"
            for name, value in zip(class_names, metrics["average_precision"])
        )
        parts.append(f"<h2>Average precision of each class</h2><table>{rows}</table>")
    rows = "".join(f"<tr><th>{name}<td>{html.escape(_text(value))}</tr>" for name, value in options.items())
    parts.append(f"<h2>Options</h2><table class=options>{rows}</table>")
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style>\n{body}\n</html>\n"
    )


def _classes_html(matrix: np.ndarray, class_names: Sequence[str]) -> str:
    """Accuracy by class, the most frequent mistakes and, for few classes, the whole confusion matrix."""
    names = [html.escape(name) for name in class_names]
    totals = matrix.sum(axis=1)
    mistakes = matrix - np.diag(np.diag(matrix))
    worst = np.argsort(mistakes, axis=None)[::-1][:MISTAKES_SHOWN]
    rows = "".join(
        f"<tr><td>{names[true]}<td>{names[predicted]}<td>{mistakes[true, predicted]:,} of {totals[true]:,}</tr>"
        for true, predicted in zip(*np.unravel_index(worst, mistakes.shape))
        if mistakes[true, predicted]
    )
    parts = []
    if rows:
        head = "<tr><th>class<th>taken for<th>images</tr>"
        parts.append(f"<h2>Most frequent mistakes</h2><table>{head}{rows}</table>")
    if len(names) <= LARGEST_MATRIX_SHOWN:
        head = "".join(f"<th>{name}" for name in names)
        rows = "".join(
            f"<tr><th>{name}{''.join(_cell(count, total) for count in counts)}<td>{_share(counts[i], total)}</tr>"
            for i, (name, counts, total) in enumerate(zip(names, matrix, totals))
        )
        parts.append(
            f"<h2>True class (row) and predicted class (column)</h2>"
            f"<table class=matrix><tr><th>{head}<th>accuracy</tr>{rows}</table>"
        )
    return "".join(parts)


def _cell(count: int, total: int) -> str:
    shade = 0 if total == 0 else count / total
    return f'<td style="background:rgba(31,119,180,{shade:.2f})">{count or ""}'


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "–"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
