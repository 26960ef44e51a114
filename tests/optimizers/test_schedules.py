import math

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.errors import ArgumentError
from supcon_tf.optimizers import WarmupThenDecay


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    "step, rate",
    [(0, 0.0), (5, 1.0), (10, 2.0), (10 + 45, 1.0), (10 + 30, 1 + math.cos(math.pi / 3)), (100, 0.0), (150, 0.0)],
)
def test_rises_linearly_then_falls_by_half_a_cosine(step, rate):
    np.testing.assert_allclose(WarmupThenDecay(2.0, 10, 100)(step), rate, atol=1e-6)


def test_starts_at_the_peak_without_warm_up():
    assert float(WarmupThenDecay(0.5, 0, 10)(0)) == 0.5


def test_exponential_decay_is_a_staircase_counted_from_the_end_of_the_warm_up():
    schedule = WarmupThenDecay(1.0, 10, 100, "exponential", 0.97, [2.5])
    steps = [0, 5, 10, 12, 13, 14, 15, 20, 99]
    expected = [0, 0.5, 1, 1, 0.97, 0.97, 0.97**2, 0.97**4, 0.97**35]
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-5)


def test_piecewise_decay_keeps_the_rate_at_a_boundary():
    schedule = WarmupThenDecay(5.0, 0, 100, "piecewise", 0.2, [60, 75.5, 90])
    expected = [5, 5, 1, 1, 0.2, 0.2, 0.04, 0.04]
    np.testing.assert_allclose(rates(schedule, [0, 60, 61, 75, 76, 90, 91, 99]), expected, rtol=1e-6)


def test_constant_stays_at_the_peak():
    assert rates(WarmupThenDecay(0.5, 2, 10, "constant"), [0, 1, 2, 5, 9]) == [0, 0.25, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("decay", [("cosine",), ("exponential", 0.5, [3]), ("piecewise", 0.5, [3, 6])])
def test_takes_a_step_variable_and_survives_its_config(decay):
    schedule = WarmupThenDecay(2.0, 10, 100, *decay)
    again = WarmupThenDecay.from_config(schedule.get_config())
    for step in (5, 40):
        assert float(again(tf.Variable(step, dtype=tf.int64))) == float(schedule(step))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1.0, 10, 10), "warmup_steps=10"),
        ((1.0, 0, 10, "linear"), "decay='linear': must be one of cosine"),
        ((1.0, 0, 10, "exponential", 0.5, [1, 2]), "decay_steps"),
    ],
)
def test_impossible_schedules_are_rejected(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        WarmupThenDecay(*arguments)
