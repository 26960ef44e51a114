"""The images of a run and the batches that its stages train and evaluate on."""

import contextlib
import dataclasses
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf import augment, distribute
from supcon_tf import config as config_lib
from supcon_tf.batch import with_weights, without_labels
from supcon_tf.data import decoding, load, pipeline
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.run.context import Experiment
from supcon_tf.training.fit import MakeBatches

EVALUATION_BATCH = 256


def training_images(options: config_lib.DataOptions, data: load.ImageData, *, seed: int) -> TrainingImages:
    """Returns the images of the data set to train on."""
    return TrainingImages(
        data,
        max_examples=options.max_examples,
        label_noise=options.label_noise,
        seed=seed,
        cache=options.cache,
        bad_images=decoding.BadImages() if options.on_bad_image == "skip" else None,
    )


def unlabelled_images(options: config_lib.DataOptions, images: TrainingImages) -> Optional[TrainingImages]:
    """Returns the images to contrast without labels; None without the option `unlabelled`.

    Another data set is taken whole. Of the same data set the images are taken that are neither trained on with labels
    nor evaluated on.

    Raises:
      ArgumentError: no images are left.
    """
    if options.unlabelled is None:
        return None
    data = load.load_unlabelled(options)
    same = data.builder.data_path == images.data.builder.data_path
    left_out = images.taken(data.train_split).tolist() if same else ()
    unlabelled = dataclasses.replace(images, data=data, max_examples=None, left_out=left_out, label_noise=0.0)
    if not unlabelled.size:
        raise ArgumentError(
            "unlabelled",
            options.unlabelled,
            "all its images are trained on with labels, or evaluated on; give {max_examples}, or other images",
            max_examples=NAME_ONLY,
        )
    return unlabelled
