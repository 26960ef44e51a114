import re
from html.parser import HTMLParser

import pytest

from supcon_tf.evaluation import report_html
from supcon_tf.evaluation.report import page
from supcon_tf.evaluation.report.curves import BOTTOM, LEFT, RIGHT, TOP, chart
from supcon_tf.evaluation.report.ticks import ticks


class Checker(HTMLParser):
    """Collects the text of a page, and the tags that are opened."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags = [], []
        self.feed(page)

    def handle_data(self, data):
        self.text.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


FIGURES = {
    "top1": 0.6,
    "top5": 1.0,
    "cross_entropy": 0.7,
    "images": 10,
    "confusion_matrix": [[4, 1, 0], [0, 2, 3], [0, 0, 0]],
}


def make_page(**changes):
    arguments = {
        "title": "supcon on <mine>",
        "results": {"classifier": FIGURES},
        "class_names": ["cat", "a<b", "dog"],
        "options": {"mode": "supcon", "projection_layers": (128, 64)},
        "history": {"pretrain": {"train/loss": [[1, 3.0], [2, 1.0]]}},
        "log_every": 50,
    }
    return Checker(report_html(**{**arguments, **changes}))


def test_figures_mistakes_and_options_are_on_the_page():
    text = " ".join(make_page().text)
    for words in ("60.00%", "supcon on <mine>", "3 of 5", "1 of 5", "80.0%", "40.0%", "a<b", "128,64", "training: 1"):
        assert words in text, words


def test_what_the_images_have_decided_is_shown_with_its_reason():
    page = report_html(
        "x", {}, [], {}, {}, 50, chosen={"image_size": [32, "28 <pixels>"], "augment": [["a", "b"], "c"]}
    )
    assert "<th>image_size<td>32<td>28 &lt;pixels&gt;</tr><tr><th>augment<td>a,b<td>c" in page
    assert "Chosen" not in report_html("x", {}, [], {}, {}, 50, chosen=None)


def test_the_ten_most_frequent_mistakes_are_listed_by_falling_number():
    matrix = [[100 - row if row == column else row * (column == 0) for column in range(13)] for row in range(13)]
    figures = {**FIGURES, "confusion_matrix": matrix}
    names = [str(number) for number in range(13)]
    text = " ".join(make_page(results={"classifier": figures}, class_names=names).text)
    assert re.findall(r"(\d+) of 100", text) == [str(number) for number in range(12, 2, -1)]


def test_the_page_needs_nothing_else():
    for tag, attributes in make_page().tags:
        assert tag not in ("script", "link", "img") and not {"src", "href"} & set(attributes)


def test_without_a_confusion_matrix_the_rest_stands():
    text = " ".join(make_page(results={"classifier": {**FIGURES, "confusion_matrix": None}}).text)
    assert "60.00%" in text and "Most frequent mistakes" not in text


def test_average_precision_of_each_class_is_shown():
    figures = {"mean_average_precision": 0.4, "average_precision": [0.25, None, 0.55], "cross_entropy": 2, "images": 9}
    text = " ".join(make_page(results={"multi_label": figures}).text)
    for words in ("40.00%", "mean average precision", "25.0%", "a<b –", "55.0%"):
        assert words in text, words
    assert "top-1" not in text and "Most frequent mistakes" not in text


def test_top5_is_shown_for_more_than_five_classes():
    names = list("abcdef")
    figures = {**FIGURES, "confusion_matrix": None}
    assert "top-5 accuracy" in make_page(class_names=names, results={"classifier": figures}).text
    assert "top-5 accuracy" not in make_page(class_names=names[:5], results={"classifier": figures}).text


def test_an_evaluator_without_a_section_gets_a_table_of_its_figures():
    text = " ".join(
        make_page(results={"classifier": FIGURES, "few_shot": {"top1": 0.25, "per<class": {"5": 0.1}}}).text
    )
    for words in ("Few shot", "top1 0.25", "per<class.5 0.1"):
        assert words in text, words


def test_an_evaluator_adds_a_section(monkeypatch):
    monkeypatch.setitem(
        page.SECTIONS, "toy", lambda figures, class_names: f"<p>{class_names[0]}: {figures['score']}</p>"
    )
    text = " ".join(make_page(results={"classifier": FIGURES, "toy": {"score": 7}}).text)
    assert "cat: 7" in text and "score" not in text


def test_a_stage_without_curves_has_no_heading():
    history = {"pretrain": {"train/learning_rate": [[1, 3.0]]}, "linear": {"train/top1": [[1, 0.5]]}}
    text = " ".join(make_page(history=history).text)
    assert "Stage linear" in text and "Stage pretrain" not in text


def test_curve_goes_from_corner_to_corner():
    drawing = Checker(chart("Loss", {"training": [(0, 2.0), (50, 1.0), (100, 0.0)]}, ".3g"))
    points = next(attributes["points"] for tag, attributes in drawing.tags if tag == "polyline").split()
    xs, ys = zip(*(map(float, point.split(",")) for point in points))
    assert xs[0] < xs[1] < xs[2] and ys[0] < ys[1] < ys[2]
    assert xs[1] - xs[0] == xs[2] - xs[1]


def test_points_are_where_the_ticks_of_their_step_and_value_are():
    checker = Checker(chart("Loss", {"training": [(1200, 3.0), (1400, 4.0)]}, ".3g"))
    texts = iter(text for text in checker.text if text.strip())
    places = {}
    for tag, attributes in checker.tags:
        if tag == "text":
            places[next(texts)] = (float(attributes["x"]), float(attributes["y"]))
    points = next(attributes["points"] for tag, attributes in checker.tags if tag == "polyline").split()
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points)
    assert LEFT <= x1 < x2 <= RIGHT and TOP <= y2 < y1 <= BOTTOM
    assert (x1, x2) == (places["1,200"][0], places["1,400"][0])
    assert y1 - y2 == pytest.approx(places["3.0"][1] - places["4.0"][1])


def test_a_curve_of_one_point_can_be_drawn():
    tags = [tag for tag, _ in Checker(chart("Loss", {"training": [(3, 1.5)]}, ".3g")).tags]
    assert "polyline" in tags and "circle" in tags


def test_charts_have_titles_in_words_and_ticks_on_both_axes():
    curves = {"train/online_accuracy": [[50, 0.1], [180, 0.96]], "validation/online_accuracy": [[100, 0.99]]}
    text = make_page(history={"pretrain": curves}).text
    assert "Accuracy of the online classifier" in text and "step" in text
    assert {"training: 96.0%", "validation: 99.0%"} <= set(text)  # one chart has both
    assert {"0%", "20%", "100%"} <= set(text) and {"50", "100", "200"} <= set(text)
    assert not [words for words in text if "_accuracy" in words or "train/" in words]


@pytest.mark.parametrize("low, high", [(0.1, 0.96), (4.07, 6.31), (-3.0, 2.0), (1.0, 1.0), (0.0, 0.0), (1e-5, 3e-5)])
def test_ticks_are_few_round_and_span_the_values(low, high):
    found = ticks(low, high)
    gaps = {round((after - before) / (found[-1] - found[0]), 9) for before, after in zip(found, found[1:])}
    assert 2 <= len(found) <= 6 and len(gaps) == 1
    assert found[0] <= low and found[-1] >= high
    assert all(len(f"{tick:.9g}".strip("-0.")) <= 7 for tick in found)


@pytest.mark.parametrize("low, high", [(4, 187), (1, 2), (3, 3), (1200, 1_000_000)])
def test_ticks_of_steps_are_whole_numbers(low, high):
    assert all(tick == int(tick) for tick in ticks(low, high, whole=True))


def test_curves_that_begin_late_are_explained():
    """A version that wrote no history.json may have trained the steps before."""
    late = {"pretrain": {"train/loss": [[1250, 3.0], [1300, 1.0]]}}
    assert "begin at step 1,250" in " ".join(make_page(history=late).text)
    assert "begin at step 1,250" in " ".join(make_page(history={"pretrain": {"train/loss": [[1250, 3.0]]}}).text)


@pytest.mark.parametrize(
    "steps",
    [[50, 100, 150], [4, 9, 14], [37], [200, 400, 600]],
    ids=["usual", "short epochs", "one epoch", "executions"],
)
def test_curves_from_the_first_step_need_no_explanation(steps):
    history = {"pretrain": {"train/loss": [[step, 1.0] for step in steps]}}
    assert "begin at step" not in " ".join(make_page(history=history).text)


def test_a_stage_that_an_earlier_version_trained_is_said_to_have_no_curves():
    text = " ".join(make_page(history={"pretrain": {}, "linear": {"train/top1": [[1, 0.5]]}}).text)
    assert "Stage pretrain history.json has no curves of this stage" in text and "Stage linear" in text
    assert text.count("history.json") == 1


def test_options_are_written_as_on_the_command_line():
    options = {"warm_start": None, "jit_compile": True, "learn_temperature": False, "weight_decay": 0.0005}
    text = " ".join(make_page(options=options).text)
    for words in ("warm_start (none)", "jit_compile on", "learn_temperature off", "weight_decay 0.0005"):
        assert words in text, words


def test_long_names_are_cut_at_the_edges_of_the_matrix():
    checker = make_page(class_names=["a", "b" * 40, "c"])
    assert "b" * 19 + "…" in checker.text
    assert ("th", {"title": "b" * 40}) in checker.tags


def luminance(colour):
    """Relative luminance of red, green and blue from 0 to 255, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_the_page_and_on_cells_of_any_shade(scheme):
    """WCAG 2 asks for a contrast of 4.5 between text and what is behind it."""
    style = page.STYLE.split("@media (prefers-color-scheme: dark)")[scheme == "dark"]

    def colour(name):
        value = re.search(rf"--{name}: ([#\w, ]+)", style)[1]
        if value.startswith("#"):
            return [int(value[at : at + 2], 16) for at in (1, 3, 5)]
        return list(map(int, value.split(",")))

    def contrast(one, other):
        darker, lighter = sorted((luminance(one), luminance(other)))
        return (lighter + 0.05) / (darker + 0.05)

    behind = colour("page")
    assert contrast(colour("quiet"), behind) >= 4.5
    for share in (0, 0.25, 0.5, 0.75, 1):
        cell = [share * full + (1 - share) * empty for full, empty in zip(colour("cell"), behind)]
        assert contrast(colour("text"), cell) >= 4.5, share


def test_cells_are_shaded_by_their_share_of_the_row():
    shades = [attributes.get("style") for tag, attributes in make_page().tags if tag == "td"]
    assert "background:rgba(var(--cell),0.80)" in shades and "background:rgba(var(--cell),0.60)" in shades
