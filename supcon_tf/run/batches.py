"""Chooses the images of a run and makes the batches that its stages train and evaluate on. Needs no run."""

import contextlib
import dataclasses
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf import augment
from supcon_tf import config as config_lib
from supcon_tf.batch import without_labels
from supcon_tf.data import decoding, load, pipeline, records
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import NAME_ONLY, ArgumentError
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


def classifier_options(options: config_lib.AugmentOptions, stage: str) -> config_lib.AugmentOptions:
    """Returns the options of the one view of each image that `stage` trains a classifier on."""
    if stage == "linear":
        policy = options.augment[0] if options.linear_augment == "same" else options.linear_augment
        return dataclasses.replace(options, augment=(policy,), num_views=1, mix="none")
    return dataclasses.replace(options, augment=options.augment[:1], num_views=1)


def make_augmentation(
    options: config_lib.AugmentOptions,
    image_size: int,
    num_classes: int,
    *,
    accelerated: bool = False,
    microbatch_size: Optional[int] = None,
) -> augment.Augmentation:
    """Returns the augmentation of training images.

    Args:
      options: resolved options of the views; see `classifier_options` for those of a classifier.
      image_size: side of the views.
      num_classes: number of classes, for the labels of mixed images.
      accelerated: whether the devices are GPUs or TPUs, which may take over some steps.
      microbatch_size: number of images that the device finishes at a time; None for the whole batch.
    """
    return augment.Augmentation(
        options,
        options.num_views,
        image_size=image_size,
        flip=options.flip == "on",
        device_steps=augment.steps_for_device(options, accelerated=accelerated),
        num_classes=num_classes,
        microbatch_size=microbatch_size,
    )


def training_batches(
    images: TrainingImages,
    augmentation: augment.Augmentation,
    steps: StepSchedule,
    *,
    seed: int,
    unlabelled: Optional[TrainingImages] = None,
    with_labels: bool = True,
    class_balance: float = 0.0,
) -> MakeBatches:
    """Returns a function from start step and input context to the batches from that step on.

    Args:
      images: the training images.
      augmentation: makes their views.
      steps: batch size and number of steps.
      seed: seed of the run.
      unlabelled: further images without labels; None for none.
      with_labels: False to contrast all images without labels.
      class_balance: weight of rare classes, see `sampling.class_weights`; 0 for equal weights.
    """

    def make_batches(start_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = pipeline.training_batches(
            images,
            augmentation.on_host,
            steps,
            seed=seed,
            start_step=start_step,
            context=context,
            unlabelled=unlabelled,
            class_weights=images.class_weights(class_balance),
        )
        return dataset if with_labels else dataset.map(without_labels)

    return make_batches


def evaluation_batches(
    data: load.ImageData,
    split: str,
    make_view: pipeline.MakeView,
    strategy: tf.distribute.Strategy,
    *,
    bad_images: Optional[decoding.BadImages] = None,
    keep: bool = False,
) -> Tuple[tf.data.Dataset, int]:
    """Returns distributed batches of a whole split, and their number.

    Args:
      data: the data set.
      split: one of its splits.
      make_view: maps an image to what the encoder sees.
      strategy: which devices compute.
      bad_images: collects images that cannot be decoded; None to stop at the first.
      keep: whether to keep the views in memory for further passes, if they are few.
    """
    images = data.num_examples(split)
    batch_size = evaluation_batch(images, strategy.num_replicas_in_sync)
    batches = strategy.distribute_datasets_from_function(
        lambda context: pipeline.evaluation_batches(data, split, make_view, batch_size, context, bad_images, keep=keep)
    )
    return batches, pipeline.number_of_batches(images, batch_size)


def training_images_once(
    images: TrainingImages, make_view: pipeline.MakeView, strategy: tf.distribute.Strategy
) -> Tuple[tf.data.Dataset, int]:
    """Returns distributed batches of the training images as evaluation sees them, and the number of batches."""
    batch_size = evaluation_batch(images.size, strategy.num_replicas_in_sync)
    batches = strategy.distribute_datasets_from_function(
        lambda context: pipeline.training_images_once(images, make_view, batch_size, context)
    )
    return batches, pipeline.number_of_batches(images.size, batch_size)


def evaluation_batch(images: int, replicas: int) -> int:
    """Returns the number of images in a batch that is not trained on, a multiple of the replicas.

    It is about `EVALUATION_BATCH` at most, and so that few images are needed to fill up the last batch.

    >>> evaluation_batch(10_000, 1), evaluation_batch(300, 1), evaluation_batch(42, 4)
    (250, 150, 44)
    """
    largest = max(EVALUATION_BATCH // replicas, 1) * replicas
    of_each = -(-images // pipeline.number_of_batches(images, largest))
    return -(-of_each // replicas) * replicas


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
    """Turns an error about an image into one that says which image cannot be decoded, or which file is damaged.

    Raises:
      ArgumentError: an image cannot be decoded; names data set, example and file. Or a file of prepared data is
        damaged.
    """
    try:
        yield
    except (tf.errors.OpError, RuntimeError, StopIteration) as error:
        splits = (data.train_split, data.validation_split, data.eval_split)
        places = [_Place("dataset", options.dataset, data, split) for split in splits]
        if unlabelled is not None:
            others = unlabelled.data
            places.append(_Place("unlabelled", str(options.unlabelled), others, others.train_split))
        if decoding.is_about_decoding(error):
            _raise_for_bad_image(places, error)
        elif records.is_about_damage(error):
            _raise_for_damaged_file(places, error)
        raise


def _raise_for_damaged_file(places: Sequence[_Place], cause: Exception) -> None:
    """Raises ArgumentError for the first damaged file of prepared data; returns if all files are whole."""
    for place in places:
        found = None if place.split is None else records.find_damaged_file(place.data, place.split)
        if found is not None:
            path, reason = found
            raise ArgumentError(
                place.option,
                place.dataset,
                f"{path} is damaged ({reason}); delete {place.data.builder.info.data_dir} to have the data prepared "
                "again",
            ) from cause


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
