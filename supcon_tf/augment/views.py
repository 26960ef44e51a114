"""Augmented views of one image, a pure function of the image and a seed."""

from typing import Callable, Dict, List, NamedTuple

import numpy as np
import tensorflow as tf

from supcon_tf.augment import blur, colour, geometry
from supcon_tf.config import AugmentOptions


class ViewParameters(NamedTuple):
    """What chance decides about one view. All are drawn for every view, used or not."""

    box: tf.Tensor  # [4] int32: top, left, height and width of the crop, in pixels
    mirror: tf.Tensor  # whether to exchange left and right
    jitter: tf.Tensor  # whether to jitter colours, by how much and in which order: see colour.jitter
    jitter_amounts: tf.Tensor  # [4]
    jitter_order: tf.Tensor  # [4] int32
    grey: tf.Tensor  # whether to take away the colours
    blur: tf.Tensor  # whether to blur
    blur_sigma: tf.Tensor  # in pixels


def augmented_views(
    image: tf.Tensor, seed: tf.Tensor, *, num_views: int, image_size: int, options: AugmentOptions, flip: bool
) -> tf.Tensor:
    """Views of one image under the policy `options.augment`, alike for the same image and seed.

    Args:
      image: `[height, width, channels]` with 1 or 3 channels; uint8, uint16, or float in [0, 1]. Height and width may
        be unknown until run.
      seed: `[2]` integers. View v of an image depends on the seed and v, but not on `num_views`.
      num_views: how many.
      image_size: side of the views, in pixels.
      options: policy and its strengths.
      flip: whether to mirror half of the views.

    Returns:
      `[num_views, image_size, image_size, channels]` uint8, rounded to nearest.
    """
    image = to_uint8(tf.convert_to_tensor(image))
    if options.augment == "none":
        return tf.stack([geometry.evaluation_view(image, image_size, options.eval_crop)] * num_views)
    policy = POLICIES[options.augment]
    parameters = draw_parameters(image, seed, num_views, options, flip)
    return tf.stack([policy(image, of_view, image_size) for of_view in parameters])


def draw_parameters(
    image: tf.Tensor, seed: tf.Tensor, num_views: int, options: AugmentOptions, flip: bool
) -> List[ViewParameters]:
    """The parameters of each view of an image, from one stateless draw."""
    # Philox gives the numbers of the first views first, however many follow.
    uniforms = tf.random.stateless_uniform([num_views, 17], seed, alg="philox")
    for_box, for_order, for_amounts, others = tf.split(uniforms, [4, 4, 4, 5], axis=1)
    for_mirror, for_jitter, for_grey, for_blur, for_sigma = tf.unstack(others, axis=1)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    reach = options.jitter_strength * np.array([0.8, 0.8, 0.8, 0.2], np.float32)
    columns = ViewParameters(
        box=geometry.crop_boxes(
            height, width, for_box, options.crop_min_area, options.crop_max_area, options.crop_aspect
        ),
        mirror=for_mirror < (0.5 if flip else 0.0),
        jitter=for_jitter < options.jitter_probability,
        jitter_amounts=np.array([1, 1, 1, 0], np.float32) + reach * (2 * for_amounts - 1),
        jitter_order=tf.argsort(for_order),
        grey=for_grey < options.grey_probability,
        blur=for_blur < options.blur_probability,
        blur_sigma=0.1 + 1.9 * for_sigma,
    )
    return [ViewParameters(*of_view) for of_view in zip(*map(tf.unstack, columns))]


def simclr(image: tf.Tensor, parameters: ViewParameters, image_size: int) -> tf.Tensor:
    """Crop, mirror, colour jitter, grey and blur (Chen et al. 2020, appendix A)."""
    view = crop_and_mirror(image, parameters, image_size)
    view = _when(
        parameters.jitter, view, lambda v: colour.jitter(v, parameters.jitter_amounts, parameters.jitter_order)
    )
    view = _when(parameters.grey, view, colour.grey)
    view = _when(parameters.blur, view, lambda v: blur.gaussian_blur(v, parameters.blur_sigma))
    return to_uint8(view)


def crop_flip(image: tf.Tensor, parameters: ViewParameters, image_size: int) -> tf.Tensor:
    """Crop and mirror."""
    return to_uint8(crop_and_mirror(image, parameters, image_size))


POLICIES: Dict[str, Callable[[tf.Tensor, ViewParameters, int], tf.Tensor]] = {
    "simclr": simclr,
    "crop_flip": crop_flip,
}


def crop_and_mirror(image: tf.Tensor, parameters: ViewParameters, image_size: int) -> tf.Tensor:
    """A resized crop of a uint8 image, half of the time mirrored; float32 in [0, 1]."""
    view = geometry.resized_crop(image, parameters.box, image_size) / 255
    return _when(parameters.mirror, view, geometry.mirror)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Any image as uint8, rounded to nearest: integers from their type's range, floats from [0, 1]."""
    if image.dtype == tf.uint8:
        return image
    if image.dtype.is_integer:
        image = tf.cast(image, tf.float32) / image.dtype.max
    return tf.cast(tf.round(tf.clip_by_value(image, 0.0, 1.0) * 255), tf.uint8)


def _when(condition: tf.Tensor, image: tf.Tensor, operation: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """`operation(image)` if `condition`, else `image`; only the branch taken is computed."""
    return tf.cond(condition, lambda: operation(image), lambda: image)
