from html.parser import HTMLParser

from supcon_tf.evaluation import report_html
from supcon_tf.evaluation.curves import svg


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


METRICS = {
    "top1": 0.6,
    "top5": 1.0,
    "cross_entropy": 0.7,
    "images": 10,
    "confusion_matrix": [[4, 1, 0], [0, 2, 3], [0, 0, 0]],
}


def make_page(**changes):
    arguments = {
        "title": "supcon on <mine>",
        "metrics": METRICS,
        "class_names": ["cat", "a<b", "dog"],
        "options": {"mode": "supcon", "projection_layers": (128, 64)},
        "stages": {"pretrain": {"train/loss": [(1, 3.0), (2, 1.0)]}},
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
    text = " ".join(make_page(metrics={**METRICS, "confusion_matrix": None}).text)
    assert "60.00%" in text and "Most frequent mistakes" not in text


def test_of_images_with_several_classes_the_average_precision_of_each_is_shown():
    metrics = {"mean_average_precision": 0.4, "average_precision": [0.25, None, 0.55], "cross_entropy": 2, "images": 9}
    text = " ".join(make_page(metrics=metrics).text)
    for words in ("40.00%", "mean average precision", "25.0%", "a<b –", "55.0%"):
        assert words in text, words
    assert "top-1" not in text and "Most frequent mistakes" not in text


def test_drawing_goes_from_corner_to_corner():
    drawing = Checker(svg("loss", [(0, 2.0), (50, 1.0), (100, 0.0)]))
    points = next(attributes["points"] for tag, attributes in drawing.tags if tag == "polyline").split()
    xs, ys = zip(*(map(float, point.split(",")) for point in points))
    assert xs[0] < xs[1] < xs[2] and ys[0] < ys[1] < ys[2]
    assert xs[1] - xs[0] == xs[2] - xs[1]


def test_a_curve_of_one_point_can_be_drawn():
    assert "polyline" in svg("loss", [(3, 1.5)])
