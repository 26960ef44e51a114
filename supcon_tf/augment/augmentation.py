"""The augmentation of a training stage: the host works on single images, the device on whole batches."""

import dataclasses
from typing import Dict, Optional, Tuple

import tensorflow as tf

from supcon_tf.augment import mixing, on_device, views
from supcon_tf.augment.arguments import check_steps
from supcon_tf.batch import Batch
from supcon_tf.config import AugmentOptions, check_values
from supcon_tf.errors import ArgumentError, check_flags, check_whole


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Makes the views of a stage in two halves: on the host, image by image, and on the device, batch by batch.

    >>> augmentation = Augmentation(AugmentOptions(augment=("simclr",)), num_views=2, image_size=32, flip=True)
    >>> parts = augmentation.on_host(tf.zeros([40, 50, 3], tf.uint8), tf.constant([0, 7]))
    >>> parts["views"].shape
    TensorShape([2, 32, 32, 3])

    The pipeline calls `on_host` and batches what it returns. `ContrastiveModel` and `Classifier` take `on_device` as
    their argument `augmentation`.

    Attributes:
      options: policies, strengths and mixing.
      num_views: number of views of each image.
      image_size: side of the views, in pixels.
      flip: whether to mirror half of the views.
      device_steps: steps that the device may take, from 'jitter', 'grey' and 'blur'; see `steps_for_device`.
      num_classes: number of classes, for the labels of mixed images.
      microbatch_size: number of images that the device finishes at a time; None for the whole batch.

    Raises:
      ArgumentError: an argument or an option is not allowed.
    """

    options: AugmentOptions
    num_views: int
    image_size: int
    flip: bool
    device_steps: Tuple[str, ...] = ()
    num_classes: int = 0
    microbatch_size: Optional[int] = None

    def __post_init__(self) -> None:
        views.policy_of_each_view(self.options, self.num_views)
        check_whole("image_size", self.image_size, 1)
        check_flags(flip=self.flip)
        check_steps("device_steps", self.device_steps)
        check_whole("num_classes", self.num_classes, 0)
        if self.options.mix != "none" and not self.num_classes:
            problem = "must be the number of classes with {mix}, whose labels are distributions"
            raise ArgumentError("num_classes", self.num_classes, problem, mix=self.options.mix)
        if self.microbatch_size is not None:
            check_whole("microbatch_size", self.microbatch_size, 1)

    @property
    def policies(self) -> Tuple[str, ...]:
        """The policy of each view."""
        return views.policy_of_each_view(self.options, self.num_views)

    @property
    def left_to_device(self) -> Tuple[str, ...]:
        """The steps that the device takes for at least one view."""
        left = {step for policy in self.policies for step in views.steps_left(policy, self.device_steps)}
        return tuple(sorted(left))

    @tf.autograph.experimental.do_not_convert
    def on_host(self, image: tf.Tensor, seed: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Returns the views of an image, as far as the host makes them, and the random numbers of the device's half.

        Args:
          image: `[height, width, channels]` with 1 or 3 channels; uint8, uint16, or float in [0, 1].
          seed: `[2]` integers, as `augmented_views` takes them.

        Returns:
          `views` `[num_views, image_size, image_size, channels]` uint8; `numbers` `[num_views, NUMBERS]` if steps are
          left to the device; `mixing` `[3]` if images are mixed.
        """
        parts = views.views_for_device(
            image,
            seed,
            num_views=self.num_views,
            image_size=self.image_size,
            options=self.options,
            flip=self.flip,
            device_steps=self.device_steps,
        )
        if self.options.mix != "none":
            parts["mixing"] = mixing.draw_numbers(seed, self.options.mix_alpha)
        return parts

    @tf.autograph.experimental.do_not_convert
    def on_device(self, batch: Batch) -> Batch:
        """Takes the steps that are left, then mixes images and labels. A batch without random numbers is unchanged.

        Args:
          batch: what `on_host` returned, batched, with labels; see `supcon_tf.batch`.

        Returns:
          The batch without `numbers` and `mixing`. Labels of mixed images are distributions `[batch, num_classes]`.
        """
        made = dict(batch)
        numbers, drawn = made.pop("numbers", None), made.pop("mixing", None)
        if numbers is not None:
            made["views"] = on_device.finish(
                made["views"],
                numbers,
                steps=self.left_to_device,
                style=self.options.jitter_style,
                at_a_time=self.microbatch_size,
            )
        if drawn is not None:
            labels = tf.one_hot(made["labels"], self.num_classes)
            made["views"], made["labels"] = mixing.mix(made["views"], labels, drawn, self.options.mix)
        return made


def steps_for_device(options: AugmentOptions, *, accelerated: bool) -> Tuple[str, ...]:
    """Returns the steps that the device may take.

    >>> steps_for_device(AugmentOptions(augment_on_device="auto"), accelerated=True)
    ('jitter', 'grey', 'blur')

    Args:
      options: with `augment_on_device` and `blur_on_device`.
      accelerated: whether the device is a GPU or TPU, which 'auto' depends on.

    Raises:
      ArgumentError: an argument or an option is not allowed.
    """
    check_values(vars(options))
    check_flags(accelerated=accelerated)
    colours = options.augment_on_device == "on" or (options.augment_on_device == "auto" and accelerated)
    blur = colours if options.blur_on_device == "auto" else options.blur_on_device == "on"
    return (("jitter", "grey") if colours else ()) + (("blur",) if blur else ())
