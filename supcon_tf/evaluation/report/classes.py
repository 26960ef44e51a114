"""Sections with a figure for each class: mistakes, confusion matrix, average precision."""

import html
from typing import Any, Mapping, Sequence

import numpy as np

LARGEST_MATRIX_SHOWN = 100
MISTAKES_SHOWN = 10


def confusion_section(figures: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Shows the most frequent mistakes and, up to a hundred classes, the confusion matrix with accuracies."""
    if figures["confusion_matrix"] is None:
        return ""
    matrix = np.array(figures["confusion_matrix"])
    names = [html.escape(name) for name in class_names]
    section = _mistakes(matrix, names)
    return section + _matrix(matrix, names) if len(names) <= LARGEST_MATRIX_SHOWN else section


def average_precision_section(figures: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Lists the average precision of each class."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}<td>{'–' if value is None else f'{value:.1%}'}</tr>"
        for name, value in zip(class_names, figures["average_precision"])
    )
    return f"<h2>Average precision of each class</h2><table>{rows}</table>"


def _mistakes(matrix: np.ndarray, names: Sequence[str]) -> str:
    totals = matrix.sum(axis=1)
    mistakes = matrix - np.diag(np.diag(matrix))
    worst = np.argsort(mistakes, axis=None)[::-1][:MISTAKES_SHOWN]
    rows = "".join(
        f"<tr><td>{names[true]}<td>{names[predicted]}<td>{mistakes[true, predicted]:,} of {totals[true]:,}</tr>"
        for true, predicted in zip(*np.unravel_index(worst, mistakes.shape))
        if mistakes[true, predicted]
    )
    head = "<tr><th>class<th>taken for<th>images</tr>"
    return f"<h2>Most frequent mistakes</h2><table>{head}{rows}</table>" if rows else ""


def _matrix(matrix: np.ndarray, names: Sequence[str]) -> str:
    head = "".join(f"<th>{name}" for name in names)
    rows = "".join(
        f"<tr><th>{name}{''.join(_cell(count, total) for count in counts)}<td>{_share(counts[i], total)}</tr>"
        for i, (name, counts, total) in enumerate(zip(names, matrix, matrix.sum(axis=1)))
    )
    return (
        f"<h2>True class (row) and predicted class (column)</h2>"
        f"<table class=matrix><tr><th>{head}<th>accuracy</tr>{rows}</table>"
    )


def _cell(count: int, total: int) -> str:
    shade = 0 if total == 0 else count / total
    return f'<td style="background:rgba(31,119,180,{shade:.2f})">{count or ""}'


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "–"
