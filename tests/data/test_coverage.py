import dataclasses

import pytest

from supcon_tf.data import coverage
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import ArgumentError
from tests.data import numbered


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sixty images of five classes, in the order of `numbered.stored_numbers`."""
    return numbered.prepare(tmp_path_factory.mktemp("data"), size=60, files=1)


def first_of_class(data, count):
    """Returns for the first `count` images of the split their classes."""
    return {number % 5 for number in numbered.stored_numbers(data)[:count]}


def check(data, train, held_out, **options):
    data = dataclasses.replace(data, train_split=train, eval_split=held_out)
    return coverage.check_classes(TrainingImages(data, **options))


def test_classes_that_lack_training_or_held_out_images_are_mentioned(data):
    assert check(data, "train[:40]", "train[40:]") == []
    (warning,) = check(data, "train[2:]", "train[:2]")
    held_out = len(first_of_class(data, 2))
    assert f"classes without a held-out image, which are not evaluated: {5 - held_out} of 5" in warning
    (warning,) = check(data, "train[:40]", "train[40:]", max_examples=2)
    assert "held-out classes without a training image, which are always wrong: 3 of 5" in warning


def test_an_evaluation_in_which_nothing_can_be_right_is_refused(data):
    numbers = numbered.stored_numbers(data)
    other = next(i for i, number in enumerate(numbers) if number % 5 != numbers[0] % 5)
    with pytest.raises(
        ArgumentError, match=r"^eval_split='train\[:1\]': none of its classes has an image in train_split"
    ):
        check(data, f"train[{other}:{other + 1}]", "train[:1]")
