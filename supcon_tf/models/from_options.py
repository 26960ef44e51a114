"""Models as the command line describes them."""

from typing import Any, Optional, Sequence, Tuple

from tensorflow import keras

from supcon_tf.config import ModelOptions, is_path
from supcon_tf.models.classifier import Classifier
from supcon_tf.models.contrastive import ContrastiveModel
from supcon_tf.models.encoders import build_encoder
from supcon_tf.models.heads import ProjectionHead
from supcon_tf.models.initialization import of_classifier
from supcon_tf.models.other_encoders import build_application, load_encoder

Whitening = Tuple[Sequence[float], Sequence[float]]  # see build_encoder


def make_contrastive_model(
    options: ModelOptions,
    image_shape: Tuple[int, int, int],
    num_classes: Optional[int],
    *,
    whitening: Whitening = ((0.0,), (1.0,)),
    seed: int = 0,
    **further: Any,
) -> ContrastiveModel:
    """Encoder and projection head; with an online classifier where `num_classes` is given.

    Args:
      options: of the model; its `encoder_weights` are read, its `warm_start` is not looked at.
      image_shape: height, width and channels of what the encoder sees.
      num_classes: number of classes, or None.
      whitening: means and standard deviations of images in [-1, 1].
      seed: the weights follow from it.
      further: arguments of `ContrastiveModel`.
    """
    head = ProjectionHead(
        options.projection_layers,
        batch_norm=options.projection_batch_norm,
        normalize=options.normalize_projection,
        synchronized_batch_norm=options.sync_batch_norm,
        initialization=options.initialization,
        seed=seed,
    )
    return ContrastiveModel(
        _make_encoder(options, image_shape, whitening, seed),
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
    whitening: Whitening = ((0.0,), (1.0,)),
    seed: int = 0,
    **further: Any,
) -> Classifier:
    """Encoder and linear classifier; `further` are arguments of `Classifier`, the others as above."""
    return Classifier(
        _make_encoder(options, image_shape, whitening, seed),
        num_classes,
        normalize_embedding=options.normalize_embedding,
        initializer=of_classifier(options.initialization, seed, zero=options.zero_classifier),
        **further,
    )


def _make_encoder(
    options: ModelOptions, image_shape: Tuple[int, int, int], whitening: Whitening, seed: int
) -> keras.Model:
    family, _, name = options.encoder.partition(":")
    if family == "keras":
        return build_application(name, image_shape, weights=options.encoder_weights, seed=seed)
    if is_path(options.encoder):
        return load_encoder(options.encoder, image_shape)
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
