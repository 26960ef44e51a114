"""The model that `--mode=supcon` trains, and a batch for it. Only child processes may import this module."""

from typing import Any, Tuple

import numpy as np

from supcon_tf.losses import SupConLoss
from supcon_tf.models import ContrastiveModel, ProjectionHead, build_encoder
from supcon_tf.optimizers import WarmupThenDecay, make_optimizer

CLASSES = 100


def compiled_model(encoder: str, image_size: int, **options: Any) -> ContrastiveModel:
    """Returns the compiled model; `options` are arguments of `ContrastiveModel`."""
    made = build_encoder(encoder, (image_size, image_size, 3))
    model = ContrastiveModel(made, ProjectionHead((512, 128)), num_classes=CLASSES, weight_decay=1e-4, **options)
    model.compile(make_optimizer("nesterov", WarmupThenDecay(0.1, 0, 1000)), SupConLoss(0.1))
    return model


def batch(images: int, views: int, image_size: int) -> Tuple[np.ndarray, np.ndarray]:
    """Returns views `[images, views, image_size, image_size, 3]` uint8 and labels `[images]` int32, always equal."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, views, image_size, image_size, 3), dtype=np.uint8)
    return pixels, random.integers(0, CLASSES, images, dtype=np.int32)
