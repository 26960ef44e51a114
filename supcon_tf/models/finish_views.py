"""Where the device takes the last steps of augmentation: at the start of a model's step."""

from typing import Any, Callable

import tensorflow as tf

# What the host made of a batch, part by part → views
FinishViews = Callable[..., tf.Tensor]


def finished(model: Any, views: Any) -> tf.Tensor:
    """Views that are complete, or what the model's `finish_views` makes of the parts that stand in their place."""
    return model.finish_views(*views) if isinstance(views, (tuple, list)) else views
