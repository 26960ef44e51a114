import math

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.optimizers import WarmupCosine


@pytest.mark.parametrize(
    "step, rate",
    [(0, 0.0), (5, 1.0), (10, 2.0), (10 + 45, 1.0), (10 + 30, 1 + math.cos(math.pi / 3)), (100, 0.0), (150, 0.0)],
)
def test_rises_linearly_then_falls_by_half_a_cosine(step, rate):
    np.testing.assert_allclose(WarmupCosine(2.0, 10, 100)(step), rate, atol=1e-6)


def test_starts_at_the_peak_without_warm_up():
    assert float(WarmupCosine(0.5, 0, 10)(0)) == 0.5


def test_takes_a_step_variable_and_survives_its_config():
    schedule = WarmupCosine.from_config(WarmupCosine(2.0, 10, 100).get_config())
    assert float(schedule(tf.Variable(5, dtype=tf.int64))) == 1.0


def test_warm_up_must_leave_steps_to_decay():
    with pytest.raises(ValueError, match="warmup_steps=10"):
        WarmupCosine(1.0, 10, 10)
