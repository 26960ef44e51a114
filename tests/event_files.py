"""Reads TensorBoard's event files."""

import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader


def read_points(directory):
    """Returns tag → list of (step, value), in the order in which one process wrote them; only single numbers."""
    points = {}
    for path in tf.io.gfile.glob(f"{directory}/events.out.tfevents.*"):
        for event in event_file_loader.EventFileLoader(path).Load():
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                if array.shape == () and array.dtype.kind == "f":
                    points.setdefault(value.tag, []).append((event.step, float(array)))
    return points
