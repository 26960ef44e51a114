import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

from supcon_tf.distribute import gather, local_slice_start

ROOT = pathlib.Path(__file__).parents[2]


def on_replicas(count, function):
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])
    return strategy.experimental_local_results(strategy.run(tf.function(function)))


def on_replicas_apart(count, function):
    """Runs replicas that do not meet in Python, as when XLA compiles the function of each of several GPUs."""
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])
    strategy.extended._use_merge_call = lambda: False
    results = tf.function(lambda: strategy.run(function))()
    return [strategy.experimental_local_results(result) for result in results]


def replica():
    return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)


def test_one_replica_gathers_its_own():
    x = tf.constant([[1.0], [2.0]])
    assert gather(x) is x
    assert int(local_slice_start(tf.constant(2))) == 0


def test_every_replica_sees_all_rows_in_order():
    def rows():
        return gather(tf.fill([2, 3], replica()))

    for seen in on_replicas(3, rows):
        np.testing.assert_array_equal(seen, np.repeat([0, 1, 2], 2)[:, np.newaxis] * np.ones([1, 3]))


def test_slice_start_is_right_for_uneven_batches():
    def start_and_rows():
        mine = tf.fill([replica() + 1], replica())
        return local_slice_start(tf.size(mine)), gather(mine)

    for index, (start, rows) in enumerate(on_replicas(3, start_and_rows)):
        assert int(start) == [0, 1, 3][index]
        np.testing.assert_array_equal(rows, [0, 1, 1, 2, 2, 2])


def test_gradient_is_the_sum_over_replicas():
    def gradient():
        x = tf.cast(tf.fill([1], replica() + 1), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            weights = tf.constant([1.0, 10.0]) * tf.cast(replica() + 1, tf.float32)
            value = tf.reduce_sum(weights * gather(x))
        return tape.gradient(value, x)

    np.testing.assert_allclose([g.numpy()[0] for g in on_replicas(2, gradient)], [1 + 2, 10 + 20])


def test_replicas_that_do_not_meet_in_python_gather_the_same():
    def found():
        x = tf.cast(tf.fill([3], replica() + 1), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(tf.range(1.0, 7.0) * tf.cast(replica() + 1, tf.float32) * gather(x))
        wide = tf.cast(tf.fill([2], replica()), tf.int64) + 2**40
        return gather(x), tape.gradient(value, x), gather(wide), local_slice_start(3), gather(x[:2] * np.nan)

    rows, gradients, wide, starts, nans = on_replicas_apart(2, found)
    for index in range(2):
        np.testing.assert_array_equal(rows[index], [1, 1, 1, 2, 2, 2])
        np.testing.assert_array_equal(gradients[index], [[3, 6, 9], [12, 15, 18]][index])
        np.testing.assert_array_equal(wide[index], 2**40 + np.array([0, 0, 1, 1]))
        assert int(starts[index]) == [0, 3][index]
        assert np.isnan(nans[index]).all()


UNEVEN = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from tests.distribute.test_gather import gather, on_replicas_apart, replica
try:
    on_replicas_apart(2, lambda: (gather(tf.ones([replica() + 1])),))
except tf.errors.InvalidArgumentError as error:
    print(error.message)
"""


def test_replicas_that_do_not_meet_in_python_refuse_uneven_batches():
    """In a separate process: after an error in a collective, TensorFlow refuses all later ones of the process."""
    done = subprocess.run([sys.executable, "-c", UNEVEN], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert "Shape mismatch in the collective instance" in done.stdout, done.stderr
