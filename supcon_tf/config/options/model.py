"""Options of the model, and what they say about the encoder."""

import dataclasses
from typing import Optional, Tuple

from supcon_tf.config.choices import (
    ENCODERS,
    INITIALIZATIONS,
    KERAS_ENCODER_OPTIONS,
    KERAS_ENCODERS,
    OPTIONS_OF_SOME_ENCODERS,
    PARTS,
    STEMS,
)
from supcon_tf.config.field import option
from supcon_tf.errors import ArgumentError
from supcon_tf.names import did_you_mean


def is_path(encoder: str) -> bool:
    """Returns whether this value of the option `encoder` is the path of a model."""
    return "/" in encoder or encoder.endswith((".keras", ".h5"))


def encoder_options(encoder: str) -> Tuple[str, ...]:
    """Returns the options that this encoder takes, of those that only some take.

    >>> encoder_options("keras:MobileNetV2"), encoder_options("./encoder.keras")
    (('encoder_weights',), ())
    """
    return KERAS_ENCODER_OPTIONS if encoder.startswith("keras:") else ENCODERS.get(encoder, ())


def _check_other_encoder(encoder: str) -> None:
    """Raises ArgumentError unless this is a model of keras.applications or a path."""
    if encoder in KERAS_ENCODERS or is_path(encoder):
        return
    known = KERAS_ENCODERS if encoder.startswith("keras:") else (*ENCODERS, *KERAS_ENCODERS)
    hint = did_you_mean(encoder, known) or (
        f"; one of {', '.join(ENCODERS)}, keras:NAME (a model of keras.applications), or a path such as ./encoder.keras"
    )
    raise ArgumentError("encoder", encoder, f"unknown{hint}")


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Encoder, projection head and classifier."""

    encoder: str = option(
        "resnet50",
        "Encoder: a built-in one by name, keras:NAME, or the path of a Keras model. keras:NAME is a model of "
        "keras.applications without its classifier, for example keras:EfficientNetV2S, with the image scaling of "
        "its family. A path ends in .keras or .h5, or is a SavedModel folder with a / in its path; its model gets "
        "images from 0 to 255. If an encoder returns a feature map, it is averaged over the image. Only built-in "
        "encoders are whitened.",
        choices=tuple(ENCODERS),
        check_other=_check_other_encoder,
    )
    encoder_weights: Optional[str] = option(
        None,
        "Initial weights of a keras:NAME encoder: 'imagenet', which Keras downloads, or the path of a .keras or .h5 "
        "file for that model without its classifier. With --stages=linear,evaluate,export this encoder is evaluated "
        "without further training. Without this option, the weights are random.",
        none="none",
    )
    trust_model: bool = option(
        False,
        "Load the file of --encoder or --encoder_weights even if it can run code or touch files, for example through a "
        "Lambda layer.",
        identity=False,
    )
    warm_start: Optional[str] = option(
        None,
        "Folder (--run_dir) of another run whose weights this run starts from. The encoder keeps the whitening that it "
        "was trained with, unless --whitening=none. With --stages=linear,evaluate,export the encoder is evaluated on "
        "--dataset without further training (transfer).",
        none="none",
    )
    warm_start_parts: Tuple[str, ...] = option(
        ("encoder",),
        "Parts to load from --warm_start: 'encoder', 'projection_head' (from its stage 'pretrain') and 'classifier' "
        "(from its stage 'linear', or 'pretrain' in mode 'ce').",
        choices=PARTS,
    )
    encoder_width: float = option(
        1.0, "Factor that multiplies the number of channels in every layer of the encoder.", above=0
    )
    stem: str = option(
        "auto",
        "First layers: 'imagenet' (7x7 convolution with stride 2, max-pooling), 'small' (3x3 convolution with stride "
        "1), 'stride2' (3x3 convolution with stride 2: a quarter of the time), or 'auto' ('small' up to 64 pixels).",
        choices=STEMS,
    )
    normalize_embedding: bool = option(
        True, "L2-normalise the embedding before the projection head and the classifier."
    )
    projection_layers: Tuple[int, ...] = option(
        (2048, 128),
        "Number of units in each layer of the projection head; the last is the projection's dimension.",
        minimum=1,
    )
    projection_batch_norm: bool = option(False, "Use batch normalisation in the hidden layers of the projection head.")
    normalize_projection: bool = option(True, "L2-normalise the projection, so that the loss uses cosine similarity.")
    initialization: str = option(
        "default",
        "Initial weights: 'default', or those of the authors' code, 'tensorflow' or 'pytorch'. With 'default', "
        "residual branches start at zero, and the projection head learns from the first step. 'tensorflow' draws the "
        "head from N(0, 0.01). 'pytorch' is He normal by fan-out, without zeros in residual branches.",
        choices=INITIALIZATIONS,
    )
    zero_classifier: bool = option(False, "Initialise the linear classifier with zeros, as in SimCLR.")
    sync_batch_norm: bool = option(
        False, "Compute batch statistics over all replicas instead of over each replica's own images."
    )


def check_encoder_options(options: ModelOptions) -> None:
    """Raises ArgumentError if an option is set that the encoder does not take."""
    taken = encoder_options(options.encoder)
    for name in OPTIONS_OF_SOME_ENCODERS:
        value, usual = getattr(options, name), getattr(ModelOptions, name)
        if name not in taken and value != usual:
            advice = f"give {{{name}}}"  # a recipe may have set it, so that leaving it out is not enough
            if usual is None:
                advice = "leave it out, or choose a model of keras.applications, keras:NAME"
            raise ArgumentError(
                name, value, f"does not apply to {{encoder}}; {advice}", encoder=options.encoder, **{name: usual}
            )
