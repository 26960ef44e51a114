"""The operations of AutoAugment and RandAugment by name, and their arguments at levels from 0 to 10.

Both policies share them in the authors' TensorFlow code (tensorflow/tpu and tf-models).
"""

import functools
from typing import Callable, Dict, Tuple

import tensorflow as tf

from supcon_tf.augment import operations

# The order is that of RandAugment's indices.
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
NOTHING = len(OPERATIONS)  # the index for which `apply` does not change an image

UNIFORMS = 3  # number of uniform numbers that `apply` takes

_REFERENCE_SIZE = 224  # side of the image that lengths refer to, in pixels


def argument_at(operation: str, level: float, translate: float = 0.0, cutout: float = 0.0) -> float:
    """Returns the argument of an operation at a level, without its sign.

    Posterize keeps more bits at higher levels, like the authors' code: level 10 is the mildest. Below level 2.5 it
    would keep no bit and return a black image. It keeps one, like the authors' code, whose shift ends at 7.

    >>> argument_at("Rotate", 5)
    15.0

    Args:
      operation: one of `OPERATIONS`.
      level: from 0 to 10.
      translate: length of a translation at level 10, in pixels of an image of side 224.
      cutout: half the side of a cut-out square at level 10, in the same unit.

    Returns:
      Degrees, bits, a threshold, a factor, grey levels to add, or pixels; 0 for an operation without argument.
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
    """Applies the operation with the given index. The index is known only at run time, and one branch is computed.

    Lengths are proportional to the image's size: translations and cut-outs take the same share of every image. The
    authors' code takes the same number of pixels instead. Its translation by 100 is less than half of 224 pixels, but
    would remove an image of side 32 completely.

    Args:
      image: uint8 `[height, width, channels]`, with 1 or 3 channels.
      index: int32 index into `OPERATIONS`, or `NOTHING`.
      argument: float32, from `argument_at`.
      uniforms: `[UNIFORMS]` in [0, 1). From 0.5 on, the first negates rotations, shears and translations. The others
        place the centre of a cut-out, down and across.

    Returns:
      uint8 `[height, width, channels]`.
    """
    # A trace for images of unknown size also serves images of known size, but loses their static shape.
    return tf.ensure_shape(_apply(image, index, argument, uniforms), image.shape)


# A separate function that is not inlined. Otherwise each use in a pipeline, one per layer and view, would be traced and
# optimised with all its branches. This saves a second or two at the start of a pipeline of two views, at 10 us per use.
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
    """Returns one of 0 to `number` - 1 (int32), all with equal probability."""
    return tf.minimum(tf.cast(uniform * tf.cast(number, tf.float32), tf.int32), number - 1)
