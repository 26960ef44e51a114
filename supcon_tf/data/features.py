"""Chooses the features of a data set's examples that are the image and its label."""

from typing import NamedTuple, Optional

import numpy as np
import tensorflow_datasets as tfds

from supcon_tf.errors import ArgumentError

NO_DIFFICULT = "_no_difficult"  # the ending that TFDS's VOC gives to lists of classes without difficult objects


class ChosenFeatures(NamedTuple):
    """Names of the features that a run reads.

    Attributes:
      image: the image.
      label_key: its class, or the sequence of its classes; None if it has no label.
      no_difficult_key: the sequence of its classes without those marked difficult; None if there is no such feature.
    """

    image_key: str
    label_key: Optional[str]
    no_difficult_key: Optional[str]


def choose_features(dataset: str, builder: tfds.core.DatasetBuilder, *, labels: bool) -> ChosenFeatures:
    """Chooses the features of TFDS's supervised pair, else the only ones of their kind.

    Takes a sequence of classes only where no feature is a single class.

    Args:
      dataset: name of the data set, for the error.
      builder: of the data set.
      labels: whether the images must have labels.

    Raises:
      ArgumentError: an example does not have one image, or not one label where it must have one.
    """
    features = builder.info.features
    named = features.items() if isinstance(features, tfds.features.FeaturesDict) else ()
    supervised = builder.info.supervised_keys or ()
    images = [key for key, feature in named if isinstance(feature, tfds.features.Image)]
    classes = [key for key, feature in named if isinstance(feature, tfds.features.ClassLabel)]
    images = [key for key in images if key in supervised] or images
    classes = [key for key in classes if key in supervised] or classes
    several = [key for key, feature in named if is_sequence_of_classes(feature)] if not classes else []
    label_keys = classes or [key for key in several if not key.endswith(NO_DIFFICULT)]
    dtypes = {np.dtype(features[key].np_dtype).name for key in images}
    if len(images) == 1 and dtypes != {"uint8"}:
        raise ArgumentError("dataset", dataset, f"its images have pixels of {dtypes.pop()}, and only uint8 can be read")
    suitable = len(images) == 1 and len(features[images[0]].shape) == 3
    if not suitable or (labels and len(label_keys) != 1):
        found = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in named) or type(features).__name__
        needed = "one image and one class label" if labels else "one image"
        raise ArgumentError("dataset", dataset, f"each example needs {needed}, but has {found}")
    label_key = label_keys[0] if len(label_keys) == 1 else None
    no_difficult_key = f"{label_key}{NO_DIFFICULT}"
    return ChosenFeatures(images[0], label_key, no_difficult_key if no_difficult_key in several else None)


def is_sequence_of_classes(feature: tfds.features.FeatureConnector) -> bool:
    """Returns whether a feature lists several classes per image."""
    return isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.ClassLabel)
