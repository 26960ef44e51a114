"""Jitter, grey and blur of a whole batch of views at once, for GPUs and TPUs, by the formulas of `views`.

The result differs from that of `views` by a tenth of a grey level in the mean and by a few levels at most: views are
rounded to bytes before they travel to the device.
"""

from typing import Optional, Sequence

import tensorflow as tf

from supcon_tf.augment import blur, colour
from supcon_tf.augment.arguments import check_shape, check_steps
from supcon_tf.augment.views import NUMBERS, split_numbers
from supcon_tf.errors import check_choice, check_whole


def finish(
    views: tf.Tensor, numbers: tf.Tensor, *, steps: Sequence[str], style: str, at_a_time: Optional[int] = None
) -> tf.Tensor:
    """Takes the steps that were left to the device, for each view that its numbers choose.

    >>> views, is_grey = tf.constant([[[[[200, 0, 0]]]]], tf.uint8), [[[0.0, 0, 0, 0, 0, 0, 1, 0]]]
    >>> finish(views, tf.constant(is_grey), steps=["grey"], style="torchvision").numpy().tolist()
    [[[[[60, 60, 60]]]]]

    Args:
      views: `[batch, views, side, side, channels]` uint8 with static side; for one view also without the axis `views`.
      numbers: `[batch, views, NUMBERS]` float32, without that axis if the views are, from `views.views_for_device`.
      steps: the steps that at least one view may need, from 'jitter', 'grey' and 'blur'.
      style: style of the jitter, one of `colour.STYLES`.
      at_a_time: number of images in memory as float32 at a time; it must divide the batch. None for all.

    Returns:
      Views of the same shape and type.

    Raises:
      ArgumentError: an argument is not allowed.
    """
    rank = 4 if len(views.shape) == 4 else 5
    check_shape("views", views, [None] * rank, "[batch, views, side, side, channels] or [batch, side, side, channels]")
    numbers_shape = [*views.shape[:-3], NUMBERS]
    check_shape("numbers", numbers, numbers_shape, f"{numbers_shape} beside views of shape {views.shape}")
    check_steps("steps", steps)
    check_choice("style", style, colour.STYLES)
    if at_a_time is not None:
        check_whole("at_a_time", at_a_time, 1)
    if at_a_time is not None:
        in_parts = [tf.reshape(x, [-1, at_a_time, *x.shape[1:]]) for x in (views, numbers)]
        parts = tf.map_fn(
            lambda part: finish(*part, steps=steps, style=style), tuple(in_parts), fn_output_signature=tf.uint8
        )
        return tf.ensure_shape(tf.reshape(parts, tf.shape(views)), views.shape)
    side, channels = views.shape[-2:]
    images = tf.cast(tf.reshape(views, [-1, side, side, channels]), tf.float32)
    drawn = split_numbers(tf.reshape(numbers, [-1, numbers.shape[-1]]))
    if "jitter" in steps:
        jittered = _jitter(images, drawn.amounts, tf.cast(drawn.order, tf.int32), style)
        images = tf.where(_by_image(drawn.jitter) > 0, jittered, images)
    if "grey" in steps and channels == 3:
        images = tf.where(_by_image(drawn.grey) > 0, _grey(images), images)
    if "blur" in steps:
        weights = blur.weights_of_whole_rows(side, tf.maximum(drawn.sigma, 0.1))
        blurred = tf.einsum("npj,nojc->nopc", weights, tf.einsum("noi,nijc->nojc", weights, images))
        images = tf.where(_by_image(drawn.sigma) > 0, blurred, images)
    complete = tf.reshape(tf.cast(tf.round(images), tf.uint8), tf.shape(views))
    return tf.ensure_shape(complete, views.shape)


def _jitter(images: tf.Tensor, amounts: tf.Tensor, orders: tf.Tensor, style: str) -> tf.Tensor:
    """Jitters each image like `colour.jitter`, with its own amounts `[images, 4]` and order `[images]`."""
    by_operation = [_by_image(amount) for amount in tf.unstack(amounts, axis=1)]
    for operation in tf.unstack(tf.gather(tf.constant(colour.ORDERS), orders), axis=1):
        # All four operations are computed for every image, so they share work. The first three blend from one image
        # (black, its mean, or grey) to the other by a factor; hue and saturation turn together.
        brightness, contrast, saturation, hue = (_by_image(operation) == index for index in range(4))
        if style == "torchvision":
            start = tf.where(contrast, _grey(_means(images)), tf.where(saturation, _grey(images), 0.0))
            factor = tf.where(contrast, by_operation[1], tf.where(saturation, by_operation[2], by_operation[0]))
            changed = start + factor * (images - start)
            turned = _turn(images, by_operation[3], 1.0)
            is_turned = hue
        else:
            means = _means(images)
            changed = tf.where(
                contrast, means + by_operation[1] * (images - means), images + by_operation[0] * colour.WHITE
            )
            turned = _turn(images, tf.where(hue, by_operation[3], 0.0), tf.where(saturation, by_operation[2], 1.0))
            is_turned = hue | saturation
        if images.shape[-1] == 1:
            images = tf.where(brightness | contrast, changed, images)
        else:
            images = tf.where(is_turned, turned, changed)
        images = tf.clip_by_value(images, 0.0, colour.WHITE)
    return images


def _turn(images: tf.Tensor, turns: tf.Tensor, saturation: tf.Tensor) -> tf.Tensor:
    """Moves the hue by `turns` of the colour wheel and multiplies the saturation by a factor, in HSV."""
    if images.shape[-1] == 1:
        return images
    hue, saturated, value = tf.unstack(tf.image.rgb_to_hsv(images / colour.WHITE), axis=-1)
    turns, saturation = (tf.reshape(x, [-1, 1, 1]) for x in (turns, saturation))
    hue = tf.math.floormod(hue + turns, 1.0)
    saturated = tf.clip_by_value(saturated * saturation, 0.0, 1.0)
    return tf.image.hsv_to_rgb(tf.stack([hue, saturated, value], axis=-1)) * colour.WHITE


def _grey(images: tf.Tensor) -> tf.Tensor:
    if images.shape[-1] == 1:
        return images
    return tf.reduce_sum(images * colour.LUMA, axis=-1, keepdims=True) * tf.ones([3])


def _means(images: tf.Tensor) -> tf.Tensor:
    """Returns the mean of each channel, `[images, 1, 1, channels]`."""
    return tf.reduce_mean(images, axis=[1, 2], keepdims=True)


def _by_image(numbers: tf.Tensor) -> tf.Tensor:
    """Reshapes `[images]` to `[images, 1, 1, 1]`."""
    return tf.reshape(numbers, [-1, 1, 1, 1])
