"""Options of training that both stages share."""

import dataclasses
from typing import Optional

from supcon_tf.config.choices import LINEAR_SOLVERS
from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Microbatches, momentum, weight decay, label smoothing and clipping."""

    microbatch_size: Optional[int] = option(
        None,
        "Number of images that a replica encodes at a time in the stage 'pretrain', for batches too large for its "
        "memory. The gradient is that of the whole batch (gradient caching), but batch statistics are those of a "
        "microbatch. Training takes about 1.3 times as long. With --sync_batch_norm on several devices, keep the "
        "number of microbatches small: each adds its part to the graph.",
        none="whole batch",
        minimum=1,
    )
    scale_learning_rate: bool = option(
        False,
        "Multiply the learning rates of both stages by the batch size divided by 256.",
    )
    linear_solver: str = option(
        "sgd",
        "Solver of the stage 'linear'. 'sgd' trains on augmented images with the optimizer of that stage. 'lbfgs' "
        "embeds the images once, without augmentation, and takes seconds. 'lbfgs' reads no option of that stage except "
        "--linear_weight_decay. With 0, the weight decay is 1 / (10 x number of images).",
        choices=LINEAR_SOLVERS,
    )
    momentum: float = option(
        0.9, "Momentum of 'sgd', 'nesterov', 'lars' and 'rmsprop', in both stages.", minimum=0, maximum=0.9999
    )
    decay_normalization: bool = option(
        False,
        "Apply weight decay also to scale and shift of batch normalisation, as in the authors' PyTorch code.",
    )
    frozen_epochs: int = option(
        0,
        "Number of epochs at the start of the stage 'pretrain' in which only what is on top of the encoder is trained, "
        "for an encoder that was trained before. The last epoch always trains the encoder.",
        minimum=0,
    )
    layer_decay: float = option(
        1.0,
        "Factor of the learning rate from one group of the encoder's layers to the next one below it, in the stage "
        "'pretrain'. Layers with outputs of one size are a group. With 0.5, the top group has half of the rate of the "
        "projection head, the next one a quarter.",
        above=0,
        maximum=1,
    )
    freeze_batch_norm: bool = option(
        False,
        "Leave the encoder's batch normalisation as it was before the stage 'pretrain', statistics included. For small "
        "batches and an encoder that was trained before.",
    )
    class_balance: float = option(
        0.0,
        "Gives images of rare classes a larger weight in the losses. The weight is 1 over the effective number "
        "(1-β^n)/(1-β) of the n images of a class (Cui et al. 2019, arXiv 1901.05555, Sec. 3), and this option is β. 0 "
        "weights all images equally; 0.99 to 0.9999 are usual. The mean weight of the training images is 1.",
        minimum=0,
        maximum=0.999999,
    )
    label_smoothing: float = option(
        0.0,
        "Share of each label that is spread over all classes in cross-entropy: in mode 'ce' and in the stage 'linear'.",
        minimum=0,
        maximum=0.99,
    )
    clip_norm: Optional[float] = option(
        None,
        "Maximum norm of the gradient of all weights together, including the online classifier's, in both stages. "
        "Longer gradients are scaled down to it.",
        none="none",
        above=0,
    )
