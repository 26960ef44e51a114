import tensorflow as tf

from supcon_tf.evaluation import read_curves


def write(directory, values, suffix):
    writer = tf.summary.create_file_writer(str(directory), filename_suffix=suffix)
    with writer.as_default():
        for step, value in values:
            tf.summary.scalar("train/loss", value, step=step)
    writer.close()


def test_points_of_a_continued_run_are_joined_and_repeated_steps_count_once(tmp_path):
    write(tmp_path, [(1, 5.0), (2, 4.0), (3, 3.5)], ".a")
    write(tmp_path, [(3, 3.0), (4, 2.0)], ".b")
    assert read_curves(str(tmp_path), ["train/loss"]) == {"train/loss": [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0)]}


def test_curves_that_are_not_there_are_left_out(tmp_path):
    assert read_curves(str(tmp_path), ["train/loss"]) == {}
