"""AutoAugment (Cubuk et al. 2019, arXiv 1805.09501): one of 25 pairs of operations, each applied or left out.

The table `v0` takes the strength of an operation at a level from the authors' code, `levels.argument_at`. In the two
tables of the paper, Posterize and Solarize keep to the paper's ranges and get stronger with the level.
"""

import functools
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import tensorflow as tf

from supcon_tf.augment import levels


class Step(NamedTuple):
    """An operation and the probability that it is applied."""

    operation: str  # one of levels.OPERATIONS
    probability: float
    level: Optional[int] = None  # None: the operation takes no argument


class Policy(NamedTuple):
    """Pairs of steps. One pair is drawn, all with equal probability."""

    pairs: Tuple[Tuple[Step, Step], ...]
    argument_at: Callable[[str, float], float]  # maps operation and level to the argument, see `levels.argument_at`


UNIFORMS = 1 + 2 * (1 + levels.UNIFORMS)  # number of uniform numbers that `autoaugment` takes

# The policy of the authors' TensorFlow code (`v0` in tensorflow/tpu and tf-models), which SupCon was trained with.
# Its TranslateY moves by 225 pixels of 224, so 3.2% of all images become grey throughout.
V0 = Policy(
    pairs=(
        (Step("Equalize", 0.8, 1), Step("ShearY", 0.8, 4)),
        (Step("Color", 0.4, 9), Step("Equalize", 0.6, 3)),
        (Step("Color", 0.4, 1), Step("Rotate", 0.6, 8)),
        (Step("Solarize", 0.8, 3), Step("Equalize", 0.4, 7)),
        (Step("Solarize", 0.4, 2), Step("Solarize", 0.6, 2)),
        (Step("Color", 0.2, 0), Step("Equalize", 0.8, 8)),
        (Step("Equalize", 0.4, 8), Step("SolarizeAdd", 0.8, 3)),
        (Step("ShearX", 0.2, 9), Step("Rotate", 0.6, 8)),
        (Step("Color", 0.6, 1), Step("Equalize", 1.0, 2)),
        (Step("Invert", 0.4, 9), Step("Rotate", 0.6, 0)),
        (Step("Equalize", 1.0, 9), Step("ShearY", 0.6, 3)),
        (Step("Color", 0.4, 7), Step("Equalize", 0.6, 0)),
        (Step("Posterize", 0.4, 6), Step("AutoContrast", 0.4, 7)),
        (Step("Solarize", 0.6, 8), Step("Color", 0.6, 9)),
        (Step("Solarize", 0.2, 4), Step("Rotate", 0.8, 9)),
        (Step("Rotate", 1.0, 7), Step("TranslateY", 0.8, 9)),
        (Step("ShearX", 0.0, 0), Step("Solarize", 0.8, 4)),
        (Step("ShearY", 0.8, 0), Step("Color", 0.6, 4)),
        (Step("Color", 1.0, 0), Step("Rotate", 0.6, 2)),
        (Step("Equalize", 0.8, 4), Step("Equalize", 0.0, 8)),
        (Step("Equalize", 1.0, 4), Step("AutoContrast", 0.6, 2)),
        (Step("ShearY", 0.4, 7), Step("SolarizeAdd", 0.6, 7)),
        (Step("Posterize", 0.8, 2), Step("Solarize", 0.6, 10)),
        (Step("Solarize", 0.6, 8), Step("Equalize", 0.6, 1)),
        (Step("Color", 0.8, 6), Step("Rotate", 0.4, 5)),
    ),
    argument_at=functools.partial(levels.argument_at, translate=250.0),
)


def published_argument_at(operation: str, level: float) -> float:
    """Returns the argument of an operation like `levels.argument_at`, but within the ranges of the paper's appendix.

    Posterize keeps 8 bits at level 0 and 4 at level 9, the last of ten, with torchvision's rounding. Solarize has the
    threshold of the authors' code for CIFAR-10, 256 at level 0 and 0 at level 10. Translations move by up to 150 pixels
    of an image of side 331.
    """
    if operation == "Posterize":
        return 8 - round(4 * level / 9)
    if operation == "Solarize":
        return 256 - int(256 * level / 10)
    return levels.argument_at(operation, level, translate=150 / 331 * 224)


# The paper's policy for ImageNet.
IMAGENET = Policy(
    pairs=(
        (Step("Posterize", 0.4, 8), Step("Rotate", 0.6, 9)),
        (Step("Solarize", 0.6, 5), Step("AutoContrast", 0.6)),
        (Step("Equalize", 0.8), Step("Equalize", 0.6)),
        (Step("Posterize", 0.6, 7), Step("Posterize", 0.6, 6)),
        (Step("Equalize", 0.4), Step("Solarize", 0.2, 4)),
        (Step("Equalize", 0.4), Step("Rotate", 0.8, 8)),
        (Step("Solarize", 0.6, 3), Step("Equalize", 0.6)),
        (Step("Posterize", 0.8, 5), Step("Equalize", 1.0)),
        (Step("Rotate", 0.2, 3), Step("Solarize", 0.6, 8)),
        (Step("Equalize", 0.6), Step("Posterize", 0.4, 6)),
        (Step("Rotate", 0.8, 8), Step("Color", 0.4, 0)),
        (Step("Rotate", 0.4, 9), Step("Equalize", 0.6)),
        (Step("Equalize", 0.0), Step("Equalize", 0.8)),
        (Step("Invert", 0.6), Step("Equalize", 1.0)),
        (Step("Color", 0.6, 4), Step("Contrast", 1.0, 8)),
        (Step("Rotate", 0.8, 8), Step("Color", 1.0, 2)),
        (Step("Color", 0.8, 8), Step("Solarize", 0.8, 7)),
        (Step("Sharpness", 0.4, 7), Step("Invert", 0.6)),
        (Step("ShearX", 0.6, 5), Step("Equalize", 1.0)),
        (Step("Color", 0.4, 0), Step("Equalize", 0.6)),
        (Step("Equalize", 0.4), Step("Solarize", 0.2, 4)),
        (Step("Solarize", 0.6, 5), Step("AutoContrast", 0.6)),
        (Step("Invert", 0.6), Step("Equalize", 1.0)),
        (Step("Color", 0.6, 4), Step("Contrast", 1.0, 8)),
        (Step("Equalize", 0.8), Step("Equalize", 0.6)),
    ),
    argument_at=published_argument_at,
)

# The paper's policy for CIFAR-10.
CIFAR10 = Policy(
    pairs=(
        (Step("Invert", 0.1), Step("Contrast", 0.2, 6)),
        (Step("Rotate", 0.7, 2), Step("TranslateX", 0.3, 9)),
        (Step("Sharpness", 0.8, 1), Step("Sharpness", 0.9, 3)),
        (Step("ShearY", 0.5, 8), Step("TranslateY", 0.7, 9)),
        (Step("AutoContrast", 0.5), Step("Equalize", 0.9)),
        (Step("ShearY", 0.2, 7), Step("Posterize", 0.3, 7)),
        (Step("Color", 0.4, 3), Step("Brightness", 0.6, 7)),
        (Step("Sharpness", 0.3, 9), Step("Brightness", 0.7, 9)),
        (Step("Equalize", 0.6), Step("Equalize", 0.5)),
        (Step("Contrast", 0.6, 7), Step("Sharpness", 0.6, 5)),
        (Step("Color", 0.7, 7), Step("TranslateX", 0.5, 8)),
        (Step("Equalize", 0.3), Step("AutoContrast", 0.4)),
        (Step("TranslateY", 0.4, 3), Step("Sharpness", 0.2, 6)),
        (Step("Brightness", 0.9, 6), Step("Color", 0.2, 8)),
        (Step("Solarize", 0.5, 2), Step("Invert", 0.0)),
        (Step("Equalize", 0.2), Step("AutoContrast", 0.6)),
        (Step("Equalize", 0.2), Step("Equalize", 0.6)),
        (Step("Color", 0.9, 9), Step("Equalize", 0.6)),
        (Step("AutoContrast", 0.8), Step("Solarize", 0.2, 8)),
        (Step("Brightness", 0.1, 3), Step("Color", 0.7, 0)),
        (Step("Solarize", 0.4, 5), Step("AutoContrast", 0.9)),
        (Step("TranslateY", 0.9, 9), Step("TranslateY", 0.7, 9)),
        (Step("AutoContrast", 0.9), Step("Solarize", 0.8, 3)),
        (Step("Equalize", 0.8), Step("Invert", 0.1)),
        (Step("TranslateY", 0.7, 9), Step("AutoContrast", 0.9)),
    ),
    argument_at=published_argument_at,
)

POLICIES: Dict[str, Policy] = {
    "autoaugment": V0,
    "autoaugment_imagenet": IMAGENET,
    "autoaugment_cifar10": CIFAR10,
}


def autoaugment(image: tf.Tensor, uniforms: tf.Tensor, policy: str) -> tf.Tensor:
    """Returns an image changed by a policy.

    >>> image = tf.zeros([8, 8, 3], tf.uint8)
    >>> autoaugment(image, tf.fill([UNIFORMS], 0.5), "autoaugment").shape
    TensorShape([8, 8, 3])

    Args:
      image: uint8 `[height, width, channels]`, with 1 or 3 channels.
      uniforms: float32 `[UNIFORMS]` in [0, 1). They decide which pair of steps is drawn and whether each step is
        applied; the others go to `levels.apply`.
      policy: one of `POLICIES`.

    Returns:
      uint8 `[height, width, channels]`.
    """
    by_step = tf.reshape(uniforms[1:], [2, 1 + levels.UNIFORMS])
    indices, arguments = draw_pair(uniforms[0], by_step[:, 0], POLICIES[policy])
    for index, argument, drawn in zip(*map(tf.unstack, (indices, arguments, by_step[:, 1:]))):
        image = levels.apply(image, index, argument, drawn)
    return image


def draw_pair(for_pair: tf.Tensor, for_steps: tf.Tensor, policy: Policy) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the two operations that follow from uniform numbers.

    Args:
      for_pair: a number in [0, 1) that decides which pair.
      for_steps: `[2]` in [0, 1), which decide whether each step is applied.
      policy: the pairs to draw from.

    Returns:
      Indices into `levels.OPERATIONS`, or `levels.NOTHING` (`[2]` int32), and arguments (`[2]` float32).
    """
    operations = [[levels.OPERATIONS.index(step.operation) for step in pair] for pair in policy.pairs]
    probabilities = [[step.probability for step in pair] for pair in policy.pairs]
    arguments = [[_argument(step, policy) for step in pair] for pair in policy.pairs]
    pair = levels.choice(for_pair, len(policy.pairs))
    applied = for_steps < tf.gather(tf.constant(probabilities), pair)
    indices = tf.where(applied, tf.gather(tf.constant(operations), pair), levels.NOTHING)
    return indices, tf.gather(tf.constant(arguments), pair)


def _argument(step: Step, policy: Policy) -> float:
    return 0.0 if step.level is None else policy.argument_at(step.operation, step.level)
