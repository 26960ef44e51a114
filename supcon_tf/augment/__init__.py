"""Images to augmented views for training, and to the one view used in evaluation and serving."""

from supcon_tf.augment.augmentation import Augmentation, steps_for_device
from supcon_tf.augment.geometry import evaluation_view
from supcon_tf.augment.mixing import draw_numbers, mix
from supcon_tf.augment.on_device import finish
from supcon_tf.augment.views import augmented_views, policy_of_each_view

__all__ = [
    "Augmentation",
    "augmented_views",
    "draw_numbers",
    "evaluation_view",
    "finish",
    "mix",
    "policy_of_each_view",
    "steps_for_device",
]
