"""Builds encoders by name, and whole models from the options of the command line.

To add an encoder family, write its file and add an entry to `ENCODERS` here. In the config's choices, add an entry to
`ENCODERS` that lists the options that the family takes.
"""

import contextlib
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

from tensorflow import keras

from supcon_tf.config import NO_WHITENING, ModelOptions, Whitening, check_encoder_options, check_values, is_path
from supcon_tf.errors import ArgumentError, arguments_called
from supcon_tf.models.applications import build_application
from supcon_tf.models.classifier import Classifier
from supcon_tf.models.contrastive import ContrastiveModel
from supcon_tf.models.encoders import ARCHITECTURES, build_encoder
from supcon_tf.models.heads import ProjectionHead
from supcon_tf.models.initialization import initializer_of_classifier
from supcon_tf.models.user_model import load_encoder
from supcon_tf.names import did_you_mean


class EncoderFamily(NamedTuple):
    """Describes a family of encoders.

    Attributes:
      build: maps (options, image shape, whitening, seed) to the encoder.
      whitened: whether the encoder whitens images with the constants that it is given.
    """

    build: Callable[[ModelOptions, Tuple[int, int, int], Whitening, int], keras.Model]
    whitened: bool = False


def _residual_network(
    options: ModelOptions, image_shape: Tuple[int, int, int], whitening: Whitening, seed: int
) -> keras.Model:
    return build_encoder(
        options.encoder,
        image_shape,
        width=options.encoder_width,
        stem=options.stem,
        whitening=whitening,
        synchronized_batch_norm=options.sync_batch_norm,
        initialization=options.initialization,
        seed=seed,
    )


def _application(
    options: ModelOptions, image_shape: Tuple[int, int, int], whitening: Whitening, seed: int
) -> keras.Model:
    name = options.encoder.partition(":")[2]
    return build_application(
        name, image_shape, weights=options.encoder_weights, seed=seed, trust_model=options.trust_model
    )


def _user_model(
    options: ModelOptions, image_shape: Tuple[int, int, int], whitening: Whitening, seed: int
) -> keras.Model:
    return load_encoder(options.encoder, image_shape, trust_model=options.trust_model)


RESIDUAL_NETWORK = EncoderFamily(_residual_network, whitened=True)

# Name of an encoder, 'keras' for all names keras:NAME, or 'path' for all paths → its family
ENCODERS: Dict[str, EncoderFamily] = {
    **{name: RESIDUAL_NETWORK for name in ARCHITECTURES},
    "keras": EncoderFamily(_application),
    "path": EncoderFamily(_user_model),
}


def family_of(encoder: str) -> EncoderFamily:
    """Returns the family of an encoder.

    >>> family_of("resnet50").whitened, family_of("keras:MobileNetV2").whitened
    (True, False)

    Args:
      encoder: one of our encoders by name, keras:NAME, or the path of a Keras model.

    Raises:
      ArgumentError: no encoder has this name.
    """
    if not isinstance(encoder, str):
        raise ArgumentError("encoder", encoder, "must be the name of an encoder, or the path of a model")
    key = "path" if is_path(encoder) else encoder.partition(":")[0]
    if key not in ENCODERS:
        hint = did_you_mean(encoder, ENCODERS) or f"; there are {', '.join(ENCODERS)}"
        raise ArgumentError("encoder", encoder, f"no such encoder{hint}")
    return ENCODERS[key]


def make_encoder(
    options: ModelOptions, image_shape: Tuple[int, int, int], *, whitening: Whitening = NO_WHITENING, seed: int = 0
) -> keras.Model:
    """Returns the encoder that the options describe.

    >>> make_encoder(ModelOptions(encoder="small", encoder_width=0.5), (32, 32, 3)).output_shape
    (None, 64)

    Args:
      options: options of the model. `encoder_weights` are read; `warm_start` is not.
      image_shape: height, width and channels of the images that the encoder gets.
      whitening: means and standard deviations of images in [-1, 1].
      seed: seed of fresh weights.

    Raises:
      ArgumentError: the encoder does not exist, cannot be read, or does not have an option that is set.
    """
    family = family_of(options.encoder)
    check_values({name: value for name, value in vars(options).items() if name != "encoder"})
    check_encoder_options(options)
    with _errors_of_options(options):
        return family.build(options, image_shape, whitening, seed)


def make_contrastive_model(
    options: ModelOptions,
    image_shape: Tuple[int, int, int],
    num_classes: Optional[int],
    *,
    whitening: Whitening = NO_WHITENING,
    seed: int = 0,
    **further: Any,
) -> ContrastiveModel:
    """Returns encoder and projection head, with an online classifier where `num_classes` is given.

    >>> make_contrastive_model(ModelOptions(encoder="small"), (32, 32, 3), 10, queue_size=1024).queue.size
    1024

    Args:
      options: options of the model. `encoder_weights` are read; `warm_start` is not.
      image_shape: height, width and channels of the images that the encoder gets.
      num_classes: number of classes, or None.
      whitening: means and standard deviations of images in [-1, 1].
      seed: seed of fresh weights.
      further: arguments of `ContrastiveModel`.

    Raises:
      ArgumentError: as for `make_encoder` and `ContrastiveModel`.
    """
    encoder = make_encoder(options, image_shape, whitening=whitening, seed=seed)
    head = ProjectionHead(
        options.projection_layers,
        batch_norm=options.projection_batch_norm,
        normalize=options.normalize_projection,
        synchronized_batch_norm=options.sync_batch_norm,
        initialization=options.initialization,
        seed=seed,
    )
    return ContrastiveModel(
        encoder,
        head,
        num_classes=num_classes,
        normalize_embedding=options.normalize_embedding,
        seed=seed,
        **further,
    )


def make_classifier(
    options: ModelOptions,
    image_shape: Tuple[int, int, int],
    num_classes: int,
    *,
    whitening: Whitening = NO_WHITENING,
    seed: int = 0,
    **further: Any,
) -> Classifier:
    """Returns encoder and linear classifier.

    >>> make_classifier(ModelOptions(encoder="small"), (32, 32, 3), 10, freeze_encoder=True).linear.units
    10

    Args:
      options, image_shape, whitening, seed: see `make_contrastive_model`.
      num_classes: number of classes.
      further: arguments of `Classifier`.

    Raises:
      ArgumentError: as for `make_encoder` and `Classifier`.
    """
    return Classifier(
        make_encoder(options, image_shape, whitening=whitening, seed=seed),
        num_classes,
        normalize_embedding=options.normalize_embedding,
        initializer=initializer_of_classifier(options.initialization, seed, zero=options.zero_classifier),
        **further,
    )


@contextlib.contextmanager
def _errors_of_options(options: ModelOptions) -> Iterator[None]:
    """Names the options in errors of the builders, and the encoder by its whole name."""
    names = {"name": "encoder", "path": "encoder", "weights": "encoder_weights", "image_shape": "image_size"}
    try:
        with arguments_called(**names, width="encoder_width", synchronized_batch_norm="sync_batch_norm"):
            yield
    except ArgumentError as error:
        if error.argument != "encoder":
            raise
        raise ArgumentError("encoder", options.encoder, error.problem, **error.others) from error.__cause__
