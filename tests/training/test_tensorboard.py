import numpy as np
import tensorflow as tf

from supcon_tf.training import tensorboard
from tests.event_files import read_points


def test_grid_shows_each_view_pixel_by_pixel():
    views = np.arange(3 * 2 * 4 * 4 * 1).reshape(3, 2, 4, 4, 1).astype(np.uint8)
    grid = tensorboard.views_grid(tf.constant(views)).numpy()
    enlarge = tensorboard.LEAST_PIXELS // 4
    cell = 4 * enlarge + 2  # a line of one pixel on each side
    assert grid.shape == (2 * cell, 3 * cell, 1)
    for image in range(3):
        for view in range(2):
            inside = grid[view * cell + 1 : (view + 1) * cell - 1, image * cell + 1 : (image + 1) * cell - 1]
            np.testing.assert_array_equal(inside[::enlarge, ::enlarge], views[image, view])


def test_figures_are_written_where_they_are_read(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    tensorboard.write_figures(writer, {"top1": 0.25})
    writer.close()
    assert read_points(tmp_path) == {"evaluation/top1": [(0, 0.25)]}
