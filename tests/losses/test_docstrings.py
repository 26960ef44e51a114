"""Runs the examples of the docstrings."""

import doctest

import pytest

from supcon_tf import batch, shapes
from supcon_tf.losses import baselines, by_name, contrastive, functional, mixed, reference


@pytest.mark.parametrize(
    "module",
    [baselines, batch, by_name, contrastive, functional, mixed, reference, shapes],
    ids=lambda module: module.__name__,
)
def test_examples_give_what_they_say(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
