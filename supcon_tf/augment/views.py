"""Augmented views of one image, a pure function of the image and a seed.

A policy is a list of steps after the random crop. Its last steps may be left to the device, which takes them for a
whole batch at once (see `on_device`). Their random numbers then travel beside the views.
"""

import functools
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from supcon_tf.augment import autoaugment, blur, colour, geometry, randaugment
from supcon_tf.augment.arguments import check_shape
from supcon_tf.config import CROP_MIN_AREA, EVAL_CROP, AugmentOptions, check_values
from supcon_tf.errors import ArgumentError, check_flags, check_whole
from supcon_tf.names import did_you_mean

# Policy → the steps after the random crop, in order. Half of the views are mirrored.
POLICIES: Dict[str, Tuple[str, ...]] = {
    "simclr": ("jitter", "grey", "blur"),  # Chen et al. 2020, appendix A
    "autoaugment": ("autoaugment",),  # Cubuk et al. 2019, with the table of the authors of SupCon
    "autoaugment_imagenet": ("autoaugment_imagenet",),  # with the table published for ImageNet
    "autoaugment_cifar10": ("autoaugment_cifar10",),  # with the table published for CIFAR-10
    "randaugment": ("randaugment",),  # Cubuk et al. 2020
    "stacked_randaugment": ("jitter", "randaugment", "grey", "blur"),  # Tian et al. 2020
    "crop_flip": (),
}


class Pixelwise(NamedTuple):
    """The random numbers of the steps that change colours and sharpness; 0 for a step that is not taken."""

    jitter: Any  # 1, or 0 for no jitter
    order: Any  # index into colour.ORDERS
    amounts: Any  # [..., 4], see colour.jitter
    grey: Any  # 1, or 0 to keep colours
    sigma: Any  # standard deviation of the blur in pixels, or 0 for no blur


NUMBERS = 8  # length of these in one row
_COLUMN_OF_STEP = {"jitter": 0, "grey": 6, "blur": 7}  # this column is 0 where the step is not taken


class ViewParameters(NamedTuple):
    """The random numbers of one view. All are drawn for every view, used or not."""

    box: tf.Tensor  # [4] int32: top, left, height and width of the crop, in pixels
    mirror: tf.Tensor  # whether to exchange left and right
    pixelwise: tf.Tensor  # [NUMBERS], see `Pixelwise`
    uniforms: tf.Tensor  # uniform numbers for AutoAugment or RandAugment


def augmented_views(
    image: tf.Tensor, seed: tf.Tensor, *, num_views: int, image_size: int, options: AugmentOptions, flip: bool
) -> tf.Tensor:
    """Returns views of one image under the policies `options.augment`. They follow from the image and the seed.

    >>> options = AugmentOptions(augment=("simclr",))
    >>> image, seed = tf.zeros([40, 50, 3], tf.uint8), tf.constant([0, 7])
    >>> augmented_views(image, seed, num_views=2, image_size=32, options=options, flip=True).shape
    TensorShape([2, 32, 32, 3])

    Args:
      image: `[height, width, channels]` with 1 or 3 channels; uint8, uint16, or float in [0, 1]. Height and width may
        be unknown until run.
      seed: `[2]` integers; two seeds must not differ by 2³¹ in the first. View v of an image depends on the seed and v,
        but not on `num_views`.
      num_views: number of views.
      image_size: side of the views, in pixels.
      options: one policy for all views, or one for each; and their strengths.
      flip: whether to mirror half of the views.

    Returns:
      `[num_views, image_size, image_size, channels]` uint8, rounded to nearest.

    Raises:
      ArgumentError: an argument or an option is not allowed.
    """
    check_flags(flip=flip)
    return views_for_device(
        image, seed, num_views=num_views, image_size=image_size, options=options, flip=flip, device_steps=()
    )["views"]


def views_for_device(
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    num_views: int,
    image_size: int,
    options: AugmentOptions,
    flip: bool,
    device_steps: Sequence[str],
) -> Dict[str, tf.Tensor]:
    """Returns the views of `augmented_views` without the last steps, which are left to the device.

    Args:
      image, seed, num_views, image_size, options, flip: like those of `augmented_views`.
      device_steps: steps to leave to the device, from 'jitter', 'grey' and 'blur', where no other step follows.

    Returns:
      `views` `[num_views, image_size, image_size, channels]` uint8; and, if steps are left, `numbers`
      `[num_views, NUMBERS]` float32, for `on_device.finish`.

    Raises:
      ArgumentError: an argument or an option is not allowed.
    """
    check_whole("image_size", image_size, 1)
    image = to_uint8(tf.convert_to_tensor(image))
    check_shape("image", image, [None, None, None], "[height, width, channels]")
    check_shape("seed", tf.convert_to_tensor(seed), [2], "[2]")
    policies = policy_of_each_view(options, num_views)
    drawn = draw_parameters(image, seed, policies, options, flip)
    parameters_by_view = [ViewParameters(*parameters) for parameters in zip(*map(tf.unstack, drawn))]

    @functools.cache
    def function_of(policy: str) -> Callable[..., tf.Tensor]:
        # A function that is traced once for all views of the policy.
        def view(image: tf.Tensor, *parameters: tf.Tensor) -> tf.Tensor:
            return _view(image, ViewParameters(*parameters), policy, image_size, options, device_steps)

        return tf.function(view, autograph=False)

    made = [function_of(policy)(image, *parameters) for policy, parameters in zip(policies, parameters_by_view)]
    parts = {"views": tf.stack(made)}
    left = [steps_left(policy, device_steps) for policy in policies]
    if any(left):
        taken = np.ones([num_views, NUMBERS], np.float32)
        for step, column in _COLUMN_OF_STEP.items():
            taken[:, column] = [step in steps for steps in left]
        parts["numbers"] = taken * drawn.pixelwise
    return parts


def policy_of_each_view(options: AugmentOptions, num_views: int) -> Tuple[str, ...]:
    """Returns the policy of each view. A single policy holds for all views.

    >>> policy_of_each_view(AugmentOptions(augment=("simclr", "autoaugment")), num_views=2)
    ('simclr', 'autoaugment')

    Raises:
      ArgumentError: an option is not allowed, `num_views` is not a whole number above 0, or there are several policies,
        but fewer than views.
    """
    check_whole("num_views", num_views, 1)
    for policy in options.augment:
        if policy not in (*POLICIES, "none"):
            raise ArgumentError("augment", policy, f"no such policy{did_you_mean(policy, POLICIES)}")
    check_values({name: value for name, value in vars(options).items() if name != "augment"})
    if len(options.augment) != 1 and len(options.augment) < num_views:
        problem = "must hold one policy for all views, or one for each of {num_views}"
        raise ArgumentError("augment", options.augment, problem, num_views=num_views)
    return options.augment * num_views if len(options.augment) == 1 else options.augment[:num_views]


def steps_left(policy: str, device_steps: Sequence[str]) -> Tuple[str, ...]:
    """Returns the last steps of a policy that are left to the device.

    >>> steps_left("stacked_randaugment", ("jitter", "grey", "blur"))
    ('grey', 'blur')
    """
    steps = POLICIES.get(policy, ())
    kept = len(steps)
    while kept and steps[kept - 1] in device_steps:
        kept -= 1
    return steps[kept:]


def draw_parameters(
    image: tf.Tensor, seed: tf.Tensor, policies: Sequence[str], options: AugmentOptions, flip: bool
) -> ViewParameters:
    """Draws the random numbers of the views of an image, one row for each policy."""
    # Philox draws the numbers of the first views first, so they do not depend on the number of views.
    uniforms = tf.random.stateless_uniform([len(policies), 14], seed, alg="philox")
    boxes = geometry.crop_boxes(
        tf.shape(image)[0],
        tf.shape(image)[1],
        uniforms[:, :4],
        CROP_MIN_AREA if options.crop_min_area is None else options.crop_min_area,
        options.crop_max_area,
        options.crop_aspect,
    )
    order = tf.floor(len(colour.ORDERS) * uniforms[:, 4:5])
    reach = options.jitter_strength * np.array([0.8, 0.8, 0.8, 0.2], np.float32)
    start = np.array([float(options.jitter_style == "torchvision"), 1, 1, 0], np.float32) - reach
    amounts = start + 2 * reach * uniforms[:, 5:9]
    sigma = 0.1 + 1.9 * uniforms[:, 9:10]
    limits = [options.jitter_probability, options.grey_probability, options.blur_probability, 0.5 if flip else 0.0]
    happens = uniforms[:, 10:] < limits
    jitter, grey, blurred = tf.unstack(tf.cast(happens[:, :3], tf.float32)[..., tf.newaxis], axis=1)
    pixelwise = tf.concat([jitter, order, amounts, grey, sigma * blurred], axis=1)
    for_policies = max(_uniforms_of(policy, options) for policy in policies)
    # A separate stream keeps the numbers above when a policy takes more of these.
    further = tf.random.stateless_uniform(
        [len(policies), for_policies], tf.cast(seed, tf.int64) + [1 << 31, 0], alg="philox"
    )
    return ViewParameters(boxes, happens[:, 3], pixelwise, further)


def _uniforms_of(policy: str, options: AugmentOptions) -> int:
    """Returns the number of uniform numbers that the steps of a policy take."""
    steps = POLICIES.get(policy, ())
    if "randaugment" in steps:
        return options.randaugment_layers * randaugment.UNIFORMS_PER_LAYER
    return autoaugment.UNIFORMS if set(steps) & set(autoaugment.POLICIES) else 0


def split_numbers(numbers: tf.Tensor) -> Pixelwise:
    """Splits rows `[..., NUMBERS]` into the numbers by name."""
    return Pixelwise(numbers[..., 0], numbers[..., 1], numbers[..., 2:6], numbers[..., 6], numbers[..., 7])


def _view(
    image: tf.Tensor,
    parameters: ViewParameters,
    policy: str,
    image_size: int,
    options: AugmentOptions,
    device_steps: Sequence[str],
) -> tf.Tensor:
    """Returns one view, without the steps that are left to the device."""
    if policy == "none":
        crop = EVAL_CROP if options.eval_crop is None else options.eval_crop
        return geometry.evaluation_view(image, image_size, crop)
    view = geometry.resized_crop(image, parameters.box, image_size)
    numbers = split_numbers(parameters.pixelwise)
    left = len(steps_left(policy, device_steps))
    for step in POLICIES[policy][: len(POLICIES[policy]) - left]:
        view = _STEPS[step](view, numbers, parameters.uniforms, options)
    # Mirroring comes last, where a pixel is one byte. The order hardly matters: a view and its mirror image are equally
    # likely, except for shears, which begin at the left edge.
    return _when(parameters.mirror, _rounded(view), geometry.mirror)


def _jitter(view: tf.Tensor, numbers: Pixelwise, uniforms: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    order = tf.cast(numbers.order, tf.int32)
    return _when(numbers.jitter > 0, view, lambda v: colour.jitter(v, numbers.amounts, order, options.jitter_style))


def _grey(view: tf.Tensor, numbers: Pixelwise, uniforms: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    return _when(numbers.grey > 0, view, colour.grey)


def _blur(view: tf.Tensor, numbers: Pixelwise, uniforms: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    return tf.cond(numbers.sigma > 0, lambda: blur.gaussian_blur(view, numbers.sigma), lambda: _rounded(view))


def _randaugment(view: tf.Tensor, numbers: Pixelwise, uniforms: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    layers, magnitude = options.randaugment_layers, options.randaugment_magnitude
    return tf.cast(randaugment.randaugment(_rounded(view), uniforms, layers, magnitude), tf.float32)


def _autoaugment(
    view: tf.Tensor, numbers: Pixelwise, uniforms: tf.Tensor, options: AugmentOptions, *, policy: str
) -> tf.Tensor:
    return autoaugment.autoaugment(_rounded(view), uniforms, policy)


# Step → its function of pixels, float32 from 0 to 255. A step that ends its policies may return rounded bytes.
_STEPS: Dict[str, Callable[[tf.Tensor, Pixelwise, tf.Tensor, AugmentOptions], tf.Tensor]] = {
    "jitter": _jitter,
    "grey": _grey,
    "blur": _blur,
    "randaugment": _randaugment,
    **{policy: functools.partial(_autoaugment, policy=policy) for policy in autoaugment.POLICIES},
}


def _rounded(view: tf.Tensor) -> tf.Tensor:
    """Returns pixels from 0 to 255 as uint8, rounded to nearest."""
    return view if view.dtype == tf.uint8 else tf.cast(tf.round(view), tf.uint8)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Returns any image as uint8, rounded to nearest: integers from their type's range, floats from [0, 1]."""
    if image.dtype == tf.uint8:
        return image
    if image.dtype.is_integer:
        image = tf.cast(image, tf.float32) / image.dtype.max
    return tf.cast(tf.round(tf.clip_by_value(image, 0.0, 1.0) * 255), tf.uint8)


def _when(condition: tf.Tensor, image: tf.Tensor, operation: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Returns `operation(image)` if `condition`, else `image`. Only one branch is computed."""
    return tf.cond(condition, lambda: operation(image), lambda: image)
