"""Crops, resizing and the evaluation view, against NumPy and Pillow."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image

from supcon_tf.augment import evaluation_view, geometry

JUST_UNDER_ONE = 1 - 2**-23  # the largest number that TensorFlow draws


def random_image(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def random_boxes(height, width, number=20_000, min_area=0.08, max_area=1.0, max_aspect=4 / 3):
    uniforms = np.random.default_rng(1).random((number, 4), dtype=np.float32) * np.float32(JUST_UNDER_ONE)
    return geometry.crop_boxes(height, width, uniforms, min_area, max_area, max_aspect).numpy()


def pillow_resize(image, size):
    """Resizes like Pillow, bilinear and antialiased, but in floating point throughout."""
    channels = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(image.shape[-1])]
    return np.stack([np.asarray(c.resize((size, size), Image.Resampling.BILINEAR)) for c in channels], axis=-1)


def test_crop_area_is_uniform_in_its_range():
    boxes = random_boxes(1200, 1400, min_area=0.08, max_area=1.0)
    area = boxes[:, 2] * boxes[:, 3] / (1200 * 1400)
    assert scipy.stats.kstest(area, scipy.stats.uniform(0.08, 0.92).cdf).pvalue > 1e-3


def test_crop_aspect_is_log_uniform_where_every_box_fits():
    boxes = random_boxes(6000, 6000, min_area=0.2, max_area=0.7)
    log_aspect = np.log(boxes[:, 3] / boxes[:, 2])
    bound = np.log(4 / 3)
    assert scipy.stats.kstest(log_aspect, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


@pytest.mark.parametrize("height, width", [(375, 500), (500, 333), (224, 224), (1000, 100)])
def test_crop_aspect_stays_within_its_bounds(height, width):
    boxes = random_boxes(height, width, number=5000)
    tallest = (boxes[:, 3] + 0.5) / (boxes[:, 2] - 0.5)
    widest = (boxes[:, 3] - 0.5) / (boxes[:, 2] + 0.5)
    assert np.all(tallest >= 3 / 4) and np.all(widest <= 4 / 3)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (8, 8), (28, 28), (3, 1000), (1000, 3), (375, 500)])
def test_crops_lie_inside_the_image(height, width):
    corners = np.array(np.meshgrid(*[[0, JUST_UNDER_ONE]] * 4), dtype=np.float32).reshape(4, -1).T
    at_corners = geometry.crop_boxes(height, width, corners, 0.08, 1.0, 4 / 3).numpy()
    boxes = np.concatenate([at_corners, random_boxes(height, width, number=2000)])
    assert np.all(boxes[:, :2] >= 0) and np.all(boxes[:, 2:] >= 1)
    assert np.all(boxes[:, 0] + boxes[:, 2] <= height) and np.all(boxes[:, 1] + boxes[:, 3] <= width)


def test_crops_reach_every_edge_equally_often():
    boxes = random_boxes(12, 12, min_area=0.25, max_area=0.25, max_aspect=1.0)
    assert np.all(boxes[:, 2:] == 6)
    for place in (boxes[:, 0], boxes[:, 1]):
        assert scipy.stats.chisquare(np.bincount(place, minlength=7)).pvalue > 1e-3


def test_of_an_elongated_image_the_largest_allowed_crop_is_kept():
    boxes = random_boxes(100, 1000, number=100, min_area=0.5)
    assert np.all(boxes[:, 2] == 100) and np.all(boxes[:, 3] == 133)


def interpolated(image, size):
    """Interpolates bilinearly between pixels' centres, in float64; outside the outermost centres are their pixels."""

    def resize(values, axis):
        at = np.clip((np.arange(size) + 0.5) * values.shape[axis] / size - 0.5, 0, values.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        return (1 - share) * np.take(values, low, axis) + share * np.take(values, high, axis)

    return resize(resize(np.float64(image), 0), 1)


def averaged(image, size):
    """Returns the mean over the area of each new pixel, in float64, from cumulative sums."""

    def resize(values, axis):
        total = np.insert(np.cumsum(np.float64(values), axis), 0, 0, axis)
        edges = np.arange(size + 1) * values.shape[axis] / size
        sums = np.apply_along_axis(lambda t: np.interp(edges, np.arange(len(t)), t), axis, total)
        return np.diff(sums, axis=axis) / np.diff(edges)[0]

    return resize(resize(image, 0), 1)


@pytest.mark.parametrize("box", [(0, 0, 48, 48), (3, 5, 40, 45), (10, 2, 9, 12), (7, 7, 17, 40), (5, 6, 1, 1)])
def test_resized_crop_interpolates_between_centres(box):
    image = random_image(60, 80)
    top, left, height, width = box
    expected = interpolated(image[top : top + height, left : left + width], 24)
    np.testing.assert_allclose(geometry.resized_crop(image, tf.constant(box), 24), expected, atol=1e-3)


@pytest.mark.parametrize("box", [(0, 0, 60, 80), (3, 5, 37, 50), (1, 2, 49, 48)])
def test_resized_crop_averages_where_a_side_shrinks_to_less_than_half(box):
    image = random_image(60, 80)
    top, left, height, width = box
    expected = averaged(image[top : top + height, left : left + width], 24)
    np.testing.assert_allclose(geometry.resized_crop(image, tf.constant(box), 24), expected, atol=1e-2)


def test_mirror_exchanges_left_and_right():
    image = random_image(4, 7)
    np.testing.assert_array_equal(geometry.mirror(image), image[:, ::-1])


@pytest.mark.parametrize(
    "height, width, size, crop",
    [
        (375, 500, 224, 0.875),
        (40, 30, 32, 1.0),
        (28, 28, 28, 0.875),
        (8, 8, 8, 0.875),
        (16, 9, 24, 0.5),
        (900, 700, 9, 1),
    ],
)
def test_evaluation_view_is_pillows_resize_of_the_central_square(height, width, size, crop):
    image = random_image(height, width)
    side = round(crop * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    expected = pillow_resize(image[top : top + side, left : left + side], size)
    view = evaluation_view(image, size, crop).numpy()
    # Rounded to a grey level after the rows and after the columns: half a level each.
    assert np.abs(view - expected).max() <= 1.05
    assert np.abs(np.mean(view - expected)) < 0.02


@pytest.mark.parametrize("height, width, channels, size", [(50, 61, 3, 32), (28, 28, 1, 28), (300, 200, 3, 64)])
def test_evaluation_view_of_a_batch_equals_that_of_each_image(height, width, channels, size):
    images = np.stack([random_image(height, width, channels, seed) for seed in range(9)])
    one_by_one = [evaluation_view(image, size, 0.875) for image in images]
    np.testing.assert_array_equal(evaluation_view(images, size, 0.875), one_by_one)


@pytest.mark.parametrize("size, length", [(224, 224), (224, 437), (224, 9001), (32, 28), (8, 1), (7, 3000)])
def test_sums_in_the_evaluation_view_are_exact_in_float32_whatever_their_order(size, length):
    units = geometry._bilinear_weights(size, length).numpy() * 2.0**16
    np.testing.assert_array_equal(units, np.rint(units))
    np.testing.assert_array_equal(units.sum(axis=1, dtype=np.float64), 2.0**16)  # times 255 is less than 2^24
    assert np.all(units >= 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_view_leaves_an_image_of_the_right_size_alone(channels):
    image = random_image(28, 28, channels)
    np.testing.assert_array_equal(evaluation_view(image, 28, 1.0), image)


@pytest.mark.parametrize("level", [1, 77, 255])
def test_evaluation_view_keeps_an_even_surface_even(level):
    image = np.full((3000, 41, 1), level, np.uint8)
    for size in (7, 224):
        np.testing.assert_array_equal(evaluation_view(image, size, 1.0), np.full((size, size, 1), level))
        np.testing.assert_array_equal(
            evaluation_view(image.transpose(1, 0, 2), size, 0.3), np.full((size, size, 1), level)
        )


def test_evaluation_view_of_unknown_sizes_has_a_known_shape_and_the_same_values():
    image = random_image(50, 61)
    function = tf.function(
        lambda images: evaluation_view(images, 32, 0.875),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
    )
    assert function.get_concrete_function().output_shapes.as_list() == [None, 32, 32, 3]
    np.testing.assert_array_equal(function(image[np.newaxis])[0], evaluation_view(image, 32, 0.875))


def test_evaluation_view_is_the_same_under_xla():
    images = np.stack([random_image(50, 61, seed=seed) for seed in range(3)])
    compiled = tf.function(lambda images: evaluation_view(images, 32, 0.875), jit_compile=True)
    np.testing.assert_array_equal(compiled(images), evaluation_view(images, 32, 0.875))
