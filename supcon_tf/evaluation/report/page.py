"""Builds the page from figures, curves and options."""

import html
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from supcon_tf.evaluation.report.classes import average_precision_section, confusion_section
from supcon_tf.evaluation.report.curves import Curve, curves_section

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60em; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse; display: block; max-width: 100%; overflow-x: auto }
td, th { padding: .15em .6em; text-align: right; font-weight: normal }
th { color: #666 } .figure { font-size: 2em; line-height: 1.2 }
td.figure { display: inline-block; padding-right: 1em; text-align: left }
.figure small { display: block; font-size: .4em; color: #666 }
.matrix td { min-width: 1.6em } .options td, .options th { text-align: left } .options td { overflow-wrap: anywhere }
svg { background: #fafafa; margin: 0 .6em .6em 0 } svg text { font: 11px sans-serif; fill: #666 }
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
) -> str:
    """Returns the text of the page.

    Args:
      title: heading of the page.
      results: evaluator → figures, as `evaluate` returns them.
      class_names: in the order of the labels.
      options: name → value, of the run.
      history: stage → tag → curve, the content of history.json.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", headline_section(results, class_names), curves_section(history)]
    for name, figures in results.items():
        parts.append(SECTIONS[name](figures, class_names) if name in SECTIONS else figures_section(name, figures))
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
        f"<td class=figure>{results[evaluator][name]:{form}}<small>{words}</small></td>"
        for evaluator, name, words, form in HEADLINES
        if name in results.get(evaluator, {}) and (name != "top5" or len(class_names) > 5)
    )
    return f"<table><tr>{figures}</tr></table>"


def figures_section(name: str, figures: Mapping[str, Any]) -> str:
    """Lists an evaluator's figures by name; nested figures follow their name in dotted form."""
    rows = "".join(
        f"<tr><th>{html.escape(label)}<td>{html.escape(_text(value))}</tr>" for label, value in _flattened(figures)
    )
    return f"<h2>{html.escape(name.replace('_', ' ').capitalize())}</h2><table>{rows}</table>"


def options_section(options: Mapping[str, Any]) -> str:
    """Lists the options of the run."""
    rows = "".join(f"<tr><th>{name}<td>{html.escape(_text(value))}</tr>" for name, value in options.items())
    return f"<h2>Options</h2><table class=options>{rows}</table>"


def _flattened(figures: Mapping[str, Any], prefix: str = "") -> List[Tuple[str, Any]]:
    rows: List[Tuple[str, Any]] = []
    for name, value in figures.items():
        nested = isinstance(value, Mapping)
        rows.extend(_flattened(value, f"{prefix}{name}.") if nested else [(f"{prefix}{name}", value)])
    return rows


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
