"""Images to augmented views for training, and to the one view used in evaluation and serving."""

from supcon_tf.augment.geometry import evaluation_view
from supcon_tf.augment.on_device import finish
from supcon_tf.augment.views import augmented_views, policy_of_each_view, steps_left

__all__ = ["augmented_views", "evaluation_view", "finish", "policy_of_each_view", "steps_left"]
