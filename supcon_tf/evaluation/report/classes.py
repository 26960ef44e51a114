"""Sections with a figure for each class: mistakes, confusion matrix, average precision."""

import html
from typing import Any, Mapping, Sequence

import numpy as np

LARGEST_MATRIX_SHOWN = 100
MISTAKES_SHOWN = 10
LONGEST_HORIZONTAL_NAME = 4  # longer names of columns are turned by a quarter
LONGEST_NAME = 20  # longer names are cut at the edges of the matrix


def confusion_section(figures: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Shows the most frequent mistakes and, up to a hundred classes, the confusion matrix with accuracies."""
    if figures["confusion_matrix"] is None:
        return ""
    matrix = np.array(figures["confusion_matrix"])
    names = [html.escape(name) for name in class_names]
    section = _mistakes(matrix, names)
    return section + _matrix(matrix, class_names) if len(names) <= LARGEST_MATRIX_SHOWN else section


def average_precision_section(figures: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Lists the average precision of each class."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td class=number>{'–' if value is None else f'{value:.1%}'}</tr>"
        for name, value in zip(class_names, figures["average_precision"])
    )
    head = "<tr><th>class<th class=number>average precision</tr>"
    return f"<h2>Average precision of each class</h2><div class=wide><table>{head}{rows}</table></div>"


def _mistakes(matrix: np.ndarray, names: Sequence[str]) -> str:
    totals = matrix.sum(axis=1)
    mistakes = matrix - np.diag(np.diag(matrix))
    worst = np.argsort(mistakes, axis=None)[::-1][:MISTAKES_SHOWN]
    rows = "".join(
        f"<tr><td>{names[true]}<td>{names[predicted]}"
        f"<td class=number>{mistakes[true, predicted]:,} of {totals[true]:,}</tr>"
        for true, predicted in zip(*np.unravel_index(worst, mistakes.shape))
        if mistakes[true, predicted]
    )
    head = "<tr><th>class<th>taken for<th class=number>images</tr>"
    return f"<h2>Most frequent mistakes</h2><div class=wide><table>{head}{rows}</table></div>" if rows else ""


def _matrix(matrix: np.ndarray, names: Sequence[str]) -> str:
    heads = [_head(name) for name in names]
    rows = "".join(
        f"<tr>{head}{''.join(_cell(count, total) for count in counts)}<td>{_share(counts[i], total)}</tr>"
        for i, (head, counts, total) in enumerate(zip(heads, matrix, matrix.sum(axis=1)))
    )
    long = " long" if max(map(len, names)) > LONGEST_HORIZONTAL_NAME else ""
    return (
        "<h2>Confusion matrix</h2><p>Rows are the true classes, columns the predicted ones. "
        "Each cell counts images, and its colour shows their share of the row.</p>"
        f"<div class=wide><table class='matrix{long}'>"
        f"<thead><tr><th>{''.join(heads)}<th>accuracy</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _head(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return f"<th>{html.escape(name)}"
    return f'<th title="{html.escape(name)}">{html.escape(name[: LONGEST_NAME - 1])}…'


def _cell(count: int, total: int) -> str:
    shade = f' style="background:rgba(var(--cell),{count / total:.2f})"' if count else ""
    return f"<td{shade}>{count or ''}"


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "–"
