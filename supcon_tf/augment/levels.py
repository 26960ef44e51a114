"""The operations under the names that the policies use, and which argument each has at a level of 0 to 10.

As in the authors' TensorFlow code (tensorflow/tpu and tf-models), which AutoAugment and RandAugment share.
"""

import functools
from typing import Callable, Dict, Tuple

import tensorflow as tf

from supcon_tf.augment import operations

# In the order in which RandAugment counts them.
OPERATIONS: Tuple[str, ...] = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
    "SolarizeAdd",
)
NOTHING = len(OPERATIONS)  # the index under which `apply` leaves an image as it is

UNIFORMS = 3  # how many uniform numbers `apply` takes

_REFERENCE_SIZE = 224  # side of the image for which lengths are given, in pixels


def argument_at(operation: str, level: float, translate: float = 0.0, cutout: float = 0.0) -> float:
    """What an operation is called with at a level, its sign left out.

    Posterize keeps more bits at higher levels, as in the authors' code: level 10 is the mildest. Below level 2.5 that
    would be no bit at all, a black image; one stays, as it does in the authors' code, whose shift ends at 7.

    Args:
      operation: one of `OPERATIONS`.
      level: from 0 to 10.
      translate: how far to translate at level 10, in pixels of an image of side 224.
      cutout: half the side of the square cut out at level 10, in such pixels.

    Returns:
      Degrees, bits, a threshold, a factor, grey levels to add, or such pixels; 0 if the operation takes no argument.
    """
    share = level / 10
    arguments = {
        "Rotate": 30 * share,
        "Posterize": max(int(4 * share), 1),
        "Solarize": int(256 * share),
        "SolarizeAdd": int(110 * share),
        "Color": 1.8 * share + 0.1,
        "Contrast": 1.8 * share + 0.1,
        "Brightness": 1.8 * share + 0.1,
        "Sharpness": 1.8 * share + 0.1,
        "ShearX": 0.3 * share,
        "ShearY": 0.3 * share,
        "TranslateX": translate * share,
        "TranslateY": translate * share,
        "Cutout": int(cutout * share),
    }
    return arguments.get(operation, 0.0)


def apply(image: tf.Tensor, index: tf.Tensor, argument: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """One operation, chosen when run; only that one is computed.

    Lengths follow the image's size, so that translations and cut-outs take the same share of images of any size. The
    authors' code has the same number of pixels in each: a translation by 100, under half the side of 224, would leave
    nothing of an image of side 32.

    Args:
      image: uint8 `[height, width, channels]`, with 1 or 3 channels.
      index: int32, into `OPERATIONS`, or `NOTHING`.
      argument: float32, as from `argument_at`.
      uniforms: `[UNIFORMS]` in [0, 1): whether to rotate, shear or translate the other way (from 0.5 on), and where
        the centre of a cut-out is, down and across.

    Returns:
      uint8 `[height, width, channels]`.
    """
    # A trace for images of unknown size serves those of a known one too, but forgets it.
    return tf.ensure_shape(_apply(image, index, argument, uniforms), image.shape)


# A function of its own, not inlined: otherwise each use in a pipeline, one per layer and view, would be traced and
# optimized with all its branches. It takes a second or two off the start of a pipeline of two views, for 10 us a use.
@functools.partial(tf.function, autograph=False, experimental_attributes={"_noinline": True})
def _apply(image: tf.Tensor, index: tf.Tensor, argument: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    signed = tf.where(uniforms[0] < 0.5, argument, -argument)

    def in_pixels(length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        return length * tf.cast(size, tf.float32) / _REFERENCE_SIZE

    def cutout() -> tf.Tensor:
        half_side = tf.cast(in_pixels(argument, tf.minimum(height, width)), tf.int32)
        return operations.cutout(image, half_side, choice(uniforms[1], height), choice(uniforms[2], width))

    branches: Dict[str, Callable[[], tf.Tensor]] = {
        "AutoContrast": lambda: operations.autocontrast(image),
        "Equalize": lambda: operations.equalize(image),
        "Invert": lambda: operations.invert(image),
        "Rotate": lambda: operations.rotate(image, signed),
        "Posterize": lambda: operations.posterize(image, argument),
        "Solarize": lambda: operations.solarize(image, argument),
        "Color": lambda: operations.color(image, argument),
        "Contrast": lambda: operations.contrast(image, argument),
        "Brightness": lambda: operations.brightness(image, argument),
        "Sharpness": lambda: operations.sharpness(image, argument),
        "ShearX": lambda: operations.shear_x(image, signed),
        "ShearY": lambda: operations.shear_y(image, signed),
        "TranslateX": lambda: operations.translate_x(image, in_pixels(signed, width)),
        "TranslateY": lambda: operations.translate_y(image, in_pixels(signed, height)),
        "Cutout": cutout,
        "SolarizeAdd": lambda: operations.solarize_add(image, argument),
    }
    return tf.switch_case(index, [branches[name] for name in OPERATIONS] + [lambda: image])


def choice(uniform: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """One of 0 to `number` - 1 (int32), all equally likely."""
    return tf.minimum(tf.cast(uniform * tf.cast(number, tf.float32), tf.int32), number - 1)
