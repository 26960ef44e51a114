"""Options of one training stage; both stages use this class."""

import dataclasses
from typing import Optional, Tuple

from supcon_tf.config.choices import OPTIMIZERS, SCHEDULES
from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class StageOptions:
    """Epochs, batches, optimizer and learning rate of a training stage.

    The defaults are those of the stage 'pretrain'. `Config` states where the stage 'linear' differs.
    """

    epochs: int = option(100, "Number of passes over the training images.", minimum=1)
    batch_size: int = option(256, "Number of images in a batch, over all replicas.", minimum=1)
    optimizer: str = option("nesterov", "Optimizer.", choices=OPTIMIZERS)
    learning_rate: float = option(0.1, "Peak learning rate, reached after the warm-up.", above=0)
    warmup_epochs: float = option(
        10.0, "Number of epochs in which the learning rate rises linearly from 0 to its peak (warm-up).", minimum=0
    )
    schedule: str = option(
        "cosine",
        "Decay of the learning rate after the warm-up: 'cosine' (to 0), 'exponential' (multiply by {decay_rate} every "
        "{decay_epochs} epochs), 'piecewise' (multiply by {decay_rate} after each of {decay_epochs}), or 'constant'.",
        choices=SCHEDULES,
    )
    decay_rate: float = option(
        0.1, "Factor of the 'exponential' and 'piecewise' values of {schedule}.", above=0, maximum=1
    )
    decay_epochs: Optional[Tuple[float, ...]] = option(
        None,
        "Epochs of decay, counted from the end of the warm-up: one number for {schedule}=exponential, increasing "
        "numbers for {schedule}=piecewise, for example {decay_epochs}=60,75,90.",
        none="none",
        above=0,
    )
    weight_decay: float = option(
        1e-4,
        "Weight decay of encoder and projection head; in mode 'ce', of encoder and classifier. Excludes scale and "
        "shift of batch normalisation and, with 'adamw' and 'lamb', biases.",
        minimum=0,
    )
