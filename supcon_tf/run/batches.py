"""The images of a run and the batches that its stages train and evaluate on."""

import contextlib
import dataclasses
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf import augment, distribute
from supcon_tf import config as config_lib
from supcon_tf.batch import without_labels
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

    Takes another data set whole. Takes from the same data set the images that are neither trained on with labels nor
    evaluated on.

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


def contrastive_augmentation(experiment: Experiment) -> augment.Augmentation:
    """Returns the augmentation of contrastive training: all views of each image."""
    options = experiment.config.augment
    return _augmentation(experiment, options, options.num_views, experiment.config.training.microbatch_size)


def classifier_augmentation(experiment: Experiment, policy: str, *, mix: str) -> augment.Augmentation:
    """Returns the augmentation of classifier training: one view of each image under `policy`."""
    options = dataclasses.replace(experiment.config.augment, augment=(policy,), mix=mix)
    return _augmentation(experiment, options, 1, None)


def _augmentation(
    experiment: Experiment, options: config_lib.AugmentOptions, num_views: int, microbatch_size: Optional[int]
) -> augment.Augmentation:
    return augment.Augmentation(
        options,
        num_views,
        image_size=experiment.image_shape[0],
        flip=experiment.flip,
        device_steps=augment.steps_for_device(options, accelerated=distribute.has_accelerators(experiment.strategy)),
        num_classes=experiment.num_classes,
        microbatch_size=microbatch_size,
    )


def training_batches(experiment: Experiment, augmentation: augment.Augmentation, steps: StepSchedule) -> MakeBatches:
    """Returns a function from start step and input context to the batches from that step on."""

    def make_batches(start_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        return pipeline.training_batches(
            experiment.images,
            augmentation.on_host,
            steps,
            seed=experiment.config.run.seed,
            start_step=start_step,
            context=context,
            unlabelled=experiment.unlabelled,
        )

    return make_batches


def contrastive_batches(experiment: Experiment, augmentation: augment.Augmentation, steps: StepSchedule) -> MakeBatches:
    """Returns the same as `training_batches`, but with unlabelled images where an image has several classes."""
    make_batches = training_batches(experiment, augmentation, steps)
    if not experiment.data.multi_label:
        return make_batches
    return lambda start_step, context: make_batches(start_step, context).map(without_labels)


def evaluation_batches(experiment: Experiment, split: str) -> Tuple[tf.data.Dataset, int]:
    """Returns distributed batches of a whole split, and their number."""
    replicas = experiment.strategy.num_replicas_in_sync
    batch_size = max(EVALUATION_BATCH // replicas, 1) * replicas
    batches = experiment.strategy.distribute_datasets_from_function(
        lambda context: pipeline.evaluation_batches(
            experiment.data, split, experiment.evaluation_view, batch_size, context, experiment.images.bad_images
        )
    )
    return batches, pipeline.evaluation_steps(experiment.data, split, batch_size)


def validation_batches(experiment: Experiment) -> Optional[Tuple[tf.data.Dataset, int]]:
    """Returns batches to evaluate on while training, and their number; None for no such evaluation."""
    split = experiment.data.validation_split
    return evaluation_batches(experiment, split) if split and experiment.num_classes else None


class _Place(NamedTuple):
    """A split that may hold an image that cannot be decoded, and the option that names its data set."""

    option: str
    dataset: str
    data: load.ImageData
    split: Optional[str]


@contextlib.contextmanager
def bad_images_named(
    options: config_lib.DataOptions, data: load.ImageData, unlabelled: Optional[TrainingImages]
) -> Iterator[None]:
    """Turns the decoder's error into one that says which image cannot be decoded.

    Raises:
      ArgumentError: an image cannot be decoded; names data set, example and file.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if not decoding.is_about_decoding(error):
            raise
        splits = (data.train_split, data.validation_split, data.eval_split)
        places = [_Place("dataset", options.dataset, data, split) for split in splits]
        if unlabelled is not None:
            others = unlabelled.data
            places.append(_Place("unlabelled", str(options.unlabelled), others, others.train_split))
        _raise_for_bad_image(places, error)
        raise


def _raise_for_bad_image(places: Sequence[_Place], cause: Exception) -> None:
    """Raises ArgumentError for the first image that cannot be decoded; returns if all images can."""
    for place in places:
        found = None if place.split is None else decoding.find_bad_image(place.data, place.split)
        if found is not None:
            index, file = found
            raise ArgumentError(
                place.option,
                place.dataset,
                f"example {index} of '{place.split}'{file and f' ({file})'} cannot be decoded; add {{on_bad_image}}, "
                f"or, if the original is whole, delete {place.data.builder.info.data_dir} to have the data prepared "
                "again",
                on_bad_image="skip",
            ) from cause
