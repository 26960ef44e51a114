"""Options of the views."""

import dataclasses
from typing import Optional, Tuple

from supcon_tf.config.choices import JITTER_STYLES, MIXES, POLICIES
from supcon_tf.config.field import option

# Defaults unless the user or the data set (supcon_tf/data/catalogue.py) sets others.
CROP_MIN_AREA = 0.08
EVAL_CROP = 0.875  # 224 of 256 pixels


@dataclasses.dataclass(frozen=True)
class AugmentOptions:
    """Augmentation of training images and the crop of evaluation images."""

    augment: Tuple[str, ...] = option(
        ("simclr",),
        "Policy of all views, or one policy per view as in --augment=autoaugment,simclr. 'simclr' is crop, flip, "
        "colour jitter, grey and blur. 'autoaugment' uses the table of the paper's authors, 'autoaugment_imagenet' "
        "and 'autoaugment_cifar10' the published tables. Others are 'randaugment', 'stacked_randaugment' (jitter, "
        "RandAugment, grey, blur), 'crop_flip', and 'none' (the view used for evaluation).",
        choices=POLICIES,
    )
    linear_augment: str = option(
        "same",
        "Policy for the training images of the stage 'linear': 'same' (the first of --augment) or a policy.",
        choices=("same", *POLICIES),
    )
    num_views: int = option(2, "Number of augmented views of each image in a contrastive batch.", minimum=1)
    crop_min_area: Optional[float] = option(
        None,
        "Smallest share of the image's area that a random crop keeps. Default: 0.08; for CIFAR 0.2.",
        none="automatic",
        above=0,
        maximum=1,
    )
    crop_max_area: float = option(
        1.0, "Largest share of the image's area that a random crop keeps.", above=0, maximum=1
    )
    crop_aspect: float = option(
        1.3333,
        "Largest aspect ratio of a random crop; the smallest is its inverse. The crop is then resized to a square.",
        minimum=1,
    )
    flip: str = option(
        "auto",
        "Mirror half of the views left to right: 'on', 'off', or 'auto' (on, except for digits and letters).",
        choices=("auto", "on", "off"),
    )
    jitter_strength: float = option(
        1.0,
        "Strength of colour jitter: brightness, contrast and saturation change by up to 0.8 times this value, hue by "
        "up to 0.2 times.",
        minimum=0,
        maximum=1.25,
    )
    jitter_style: str = option(
        "torchvision",
        "Definition of colour jitter: 'torchvision' (the authors' CIFAR results) or 'tensorflow' (their ImageNet "
        "recipes and SimCLR: brightness is added, contrast is per channel, saturation changes in HSV).",
        choices=JITTER_STYLES,
    )
    jitter_probability: float = option(0.8, "Share of views with colour jitter.", minimum=0, maximum=1)
    grey_probability: float = option(0.2, "Share of views turned grey.", minimum=0, maximum=1)
    blur_probability: float = option(0.5, "Share of views with Gaussian blur.", minimum=0, maximum=1)
    randaugment_layers: int = option(
        2, "Number of operations that RandAugment applies to a view.", minimum=1, maximum=16
    )
    randaugment_magnitude: float = option(
        10.0, "Strength of RandAugment's operations, from 0 to 10.", minimum=0, maximum=10
    )
    mix: str = option(
        "none",
        "Mix each image and its label with another of the batch: 'mixup' or 'cutmix', in the stage 'pretrain' only. "
        "For modes 'ce' and 'supcon'; in 'supcon' the mixed labels weight the positives.",
        choices=MIXES,
    )
    mix_alpha: float = option(
        1.0,
        "Parameter of the Beta(alpha, alpha) distribution of mixing shares: 1 is uniform (CutMix), 0.2 is mostly near "
        "0 or 1 (mixup on ImageNet).",
        above=0,
        maximum=100,
    )
    augment_on_device: str = option(
        "auto",
        "Run jitter, grey and blur on the device instead of the host: 'on', 'off', or 'auto' (on for GPUs and "
        "TPUs). Applies to those that no other step of the policy follows. Views are equal up to rounding.",
        choices=("auto", "on", "off"),
        identity=False,
    )
    blur_on_device: str = option(
        "auto",
        "Run blur on the device: 'on', 'off', or 'auto' (same as --augment_on_device).",
        choices=("auto", "on", "off"),
        identity=False,
    )
    eval_crop: Optional[float] = option(
        None,
        "Side of the central square that evaluation and serving keep, as a share of the image's shorter side; 1 keeps "
        "the whole square. Default: 0.875; for CIFAR 1.",
        none="automatic",
        above=0,
        maximum=1,
    )
