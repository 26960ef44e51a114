from html.parser import HTMLParser

from supcon_tf.evaluation import report_html
from supcon_tf.evaluation.report import page
from supcon_tf.evaluation.report.curves import svg


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
    }
    return Checker(report_html(**{**arguments, **changes}))


def test_figures_mistakes_and_options_are_on_the_page():
    text = " ".join(make_page().text)
    for words in ("60.00%", "supcon on <mine>", "3 of 5", "1 of 5", "80.0%", "40.0%", "a<b", "128,64", "train/loss"):
        assert words in text, words


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


def test_drawing_goes_from_corner_to_corner():
    drawing = Checker(svg("loss", [(0, 2.0), (50, 1.0), (100, 0.0)]))
    points = next(attributes["points"] for tag, attributes in drawing.tags if tag == "polyline").split()
    xs, ys = zip(*(map(float, point.split(",")) for point in points))
    assert xs[0] < xs[1] < xs[2] and ys[0] < ys[1] < ys[2]
    assert xs[1] - xs[0] == xs[2] - xs[1]


def test_a_curve_of_one_point_can_be_drawn():
    assert "polyline" in svg("loss", [(3, 1.5)])
