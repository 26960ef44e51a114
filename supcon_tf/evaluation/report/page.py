"""Builds the page from figures, curves and options."""

import html
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from supcon_tf.config import option_text
from supcon_tf.errors import ArgumentError, check_whole
from supcon_tf.evaluation.inputs import check_dict, check_names
from supcon_tf.evaluation.report.classes import average_precision_section, confusion_section
from supcon_tf.evaluation.report.curves import Curve, curves_section

# The numbers of --cell are red, green and blue of a cell that holds all images of its class. Text stays readable on it.
STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1c1e21; --quiet: #5b6067; --line: #d8dbe0;
  --cell: 107, 174, 214; --line0: #1f6fb2; --line1: #c2570c }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181c; --text: #eceef0; --quiet: #a7adb5; --line: #3a3f47;
    --cell: 38, 96, 146; --line0: #6cb2ee; --line1: #f0a35e }
}
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 60em;
  margin: 1.5em auto; padding: 0 1em }
h1 { font-size: 1.5em; overflow-wrap: anywhere } h2 { font-size: 1.15em; margin: 2em 0 .5em }
.figures { display: flex; flex-wrap: wrap; gap: .8em 2.5em }
.figure { font-size: 2em; line-height: 1.2 } .figure small { display: block; font-size: .4em; color: var(--quiet) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24em), 1fr)); gap: 1em 2em }
svg { width: 100%; max-width: 30em; height: auto } svg text { font-size: 12px; fill: var(--quiet) }
svg .title { font-size: 14px; fill: var(--text) } svg .legend { fill: var(--text) }
svg .x { text-anchor: middle } svg .y { text-anchor: end } .grid { stroke: var(--line) }
.line0, .line1 { fill: none; stroke-width: 2 } .line0 { stroke: var(--line0) } .line1 { stroke: var(--line1) }
.line1 { stroke-dasharray: 5 3 } circle.line0 { fill: var(--line0) } circle.line1 { fill: var(--line1) }
.wide { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse } th { color: var(--quiet); font-weight: normal }
td, th { padding: .15em .6em; text-align: left; font-variant-numeric: tabular-nums; vertical-align: top }
tr + tr > * { border-top: 1px solid var(--line) } td.number, th.number { text-align: right; white-space: nowrap }
.options td { overflow-wrap: anywhere }
.matrix td { min-width: 1.7em; text-align: right } .matrix td, .matrix th { padding: .15em .25em }
.matrix thead th { text-align: right; vertical-align: bottom }
.long thead th:not(:last-child) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  padding: .6em .15em; white-space: nowrap }
.matrix tbody th { position: sticky; left: 0; background: var(--page); white-space: nowrap }
"""

# Evaluator, figure, words, format
HEADLINES = (
    ("multi_label", "mean_average_precision", "mean average precision", ".2%"),
    ("classifier", "top1", "top-1 accuracy", ".2%"),
    ("classifier", "top5", "top-5 accuracy", ".2%"),
    ("classifier", "cross_entropy", "cross-entropy (nats)", ".3f"),
    ("multi_label", "cross_entropy", "cross-entropy (nats)", ".3f"),
    ("classifier", "images", "held-out images", ","),
    ("multi_label", "images", "held-out images", ","),
)

# An evaluator's figures and the names of the classes → HTML
Section = Callable[[Mapping[str, Any], Sequence[str]], str]

# Sections by evaluator. An evaluator without one gets a table of its figures.
SECTIONS: Dict[str, Section] = {
    "classifier": confusion_section,
    "multi_label": average_precision_section,
}


def report_html(
    title: str,
    results: Mapping[str, Mapping[str, Any]],
    class_names: Sequence[str],
    options: Mapping[str, Any],
    history: Mapping[str, Mapping[str, Curve]],
    log_every: int,
    *,
    chosen: Optional[Mapping[str, Sequence[Any]]] = None,
    seen: Sequence[str] = (),
) -> str:
    """Returns the text of the page.

    >>> results = {"classifier": {"top1": 0.75, "cross_entropy": 0.6, "images": 8, "confusion_matrix": None}}
    >>> page = report_html("digits", results, ["cat", "dog"], options={"seed": 1}, history={}, log_every=50)
    >>> "<h1>digits</h1>" in page, "75.00%<small>top-1 accuracy" in page
    (True, True)

    Args:
      title: heading of the page.
      results: evaluator → figures, as `evaluate` returns them.
      class_names: in the order of the labels.
      options: name → value, of the run.
      history: stage → tag → curve, from history.json. A trained stage without curves there has an empty dict.
      log_every: steps between two points of a curve.
      chosen: option name → value and reason, for what the images have decided; None for nothing.
      seen: lines on what was seen of the images before training.

    Raises:
      ArgumentError: an argument is not allowed.
    """
    if not isinstance(title, str):
        raise ArgumentError("title", title, "must be text")
    for argument, value in (("results", results), ("options", options), ("history", history)):
        check_dict(argument, value)
    check_names("class_names", class_names)
    check_whole("log_every", log_every, 1)
    curves = curves_section(history, log_every)
    parts = [f"<h1>{html.escape(title)}</h1>", headline_section(results, class_names), curves]
    for name, figures in results.items():
        parts.append(SECTIONS[name](figures, class_names) if name in SECTIONS else figures_section(name, figures))
    parts += [seen_section(seen), chosen_section(chosen or {})]
    parts.append(options_section(options))
    body = "\n".join(part for part in parts if part)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width, initial-scale=1'><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style>\n{body}\n</html>\n"
    )


def headline_section(results: Mapping[str, Mapping[str, Any]], class_names: Sequence[str]) -> str:
    """Shows the main figures large. Top-5 accuracy is shown for more than five classes."""
    figures = "".join(
        f"<div class=figure>{results[evaluator][name]:{form}}<small>{words}</small></div>"
        for evaluator, name, words, form in HEADLINES
        if name in results.get(evaluator, {}) and (name != "top5" or len(class_names) > 5)
    )
    return f"<div class=figures>{figures}</div>"


def figures_section(name: str, figures: Mapping[str, Any]) -> str:
    """Lists an evaluator's figures by name; nested figures follow their name in dotted form."""
    rows = "".join(f"<tr><th>{html.escape(label)}<td>{html.escape(text)}</tr>" for label, text in _flattened(figures))
    return f"<h2>{html.escape(name.replace('_', ' ').capitalize())}</h2><div class=wide><table>{rows}</table></div>"


def seen_section(seen: Sequence[str]) -> str:
    """Shows what was seen of the images before training; no text without any."""
    items = "".join(f"<li>{html.escape(line)}" for line in seen)
    return f"<h2>Your images</h2><ul>{items}</ul>" if items else ""


def chosen_section(chosen: Mapping[str, Sequence[Any]]) -> str:
    """Lists the options that the images have decided, with the reasons; no text without any."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}<td>{html.escape(option_text(name, value))}<td>{html.escape(reason)}</tr>"
        for name, (value, reason) in chosen.items()
    )
    return f"<h2>Chosen for these images</h2><div class=wide><table>{rows}</table></div>" if rows else ""


def options_section(options: Mapping[str, Any]) -> str:
    """Lists the options of the run, with values as the command line writes them."""
    rows = "".join(f"<tr><th>{name}<td>{html.escape(option_text(name, value))}</tr>" for name, value in options.items())
    return f"<h2>Options</h2><table class=options>{rows}</table>"


def _flattened(figures: Mapping[str, Any], prefix: str = "") -> List[Tuple[str, str]]:
    rows: List[Tuple[str, str]] = []
    for name, value in figures.items():
        nested = isinstance(value, Mapping)
        rows.extend(_flattened(value, f"{prefix}{name}.") if nested else [(f"{prefix}{name}", _figure_text(value))])
    return rows


def _figure_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_figure_text, value))
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
