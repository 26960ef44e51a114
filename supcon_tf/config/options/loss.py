"""Options of the contrastive loss."""

import dataclasses
from typing import Optional

from supcon_tf.config.choices import ANCHORS, CONTRASTIVE_LOSSES, DENOMINATORS, SUMMATIONS
from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class LossOptions:
    """Contrastive loss, its temperature and its memory queue."""

    contrastive_loss: str = option(
        "supcon",
        "Loss of the contrastive modes: 'supcon', or the baselines 'npairs' (two views) and 'triplet' (hardest in the "
        "batch, soft margin). 'supcon' is the paper's loss, in the variant that the options below select. Mode "
        "'simclr' uses it without labels (NT-Xent).",
        choices=tuple(CONTRASTIVE_LOSSES),
    )
    temperature: float = option(0.1, "Temperature of the softmax over similarities; 'triplet' ignores it.", above=0)
    learn_temperature: bool = option(
        False,
        "Learn the temperature, starting from --temperature. It stays between 0.01 and 1; a start value outside "
        "extends the range.",
    )
    scale_by_temperature: bool = option(False, "Multiply the loss by the temperature.")
    base_temperature: float = option(
        1.0,
        "Divisor of the loss when --scale_by_temperature is on. The authors' PyTorch code uses 0.07.",
        above=0,
    )
    summation: str = option(
        "out",
        "Place of the sum over positives: 'out' (outside the logarithm, Eq. 2) or 'in' (inside it, Eq. 3).",
        choices=SUMMATIONS,
    )
    denominator: str = option(
        "all",
        "Terms of the softmax's denominator: 'all' (all other views), 'only_negatives', or 'one_positive' (the "
        "negatives and the positive itself).",
        choices=DENOMINATORS,
    )
    anchors: str = option(
        "all", "Views that serve as anchors: 'all' views of an image, or 'one' (its first view).", choices=ANCHORS
    )
    positives_cap: Optional[int] = option(
        None,
        "Maximum number of positive images of an anchor, beside the anchor's own image.",
        none="all",
        minimum=0,
    )
    joint_ce: float = option(
        0.0,
        "Weight of cross-entropy that the encoder learns together with the contrastive loss, in one stage of mode "
        "'supcon'; 0 trains by the contrastive loss alone. Helps with few images or few epochs.",
        minimum=0,
    )
    queue_size: int = option(
        0,
        "Size of the MoCo-style queue of past projections, which a momentum encoder computes; 0 disables it. Helps "
        "when batches are small.",
        minimum=0,
        maximum=2**20,
    )
    momentum_encoder: float = option(
        0.999,
        "Share of its weights that the momentum encoder keeps in each step; the rest comes from the encoder. Used "
        "with --queue_size.",
        minimum=0,
        maximum=0.99999,
    )
