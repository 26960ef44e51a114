"""Encoders: residual networks from images to embeddings (He et al. 2016).

The details follow the paper: post-activation blocks, and the stride of a bottleneck in its 3x3 convolution. Blocks
begin as the identity, because their last batch normalisation begins with a scale of 0 (Goyal et al. 2017).
"""

import functools
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.config import STEMS
from supcon_tf.errors import ArgumentError, check_choice, check_flags, check_number, check_whole
from supcon_tf.models import initialization as initial
from supcon_tf.models.arguments import check_image_shape
from supcon_tf.models.normalization import batch_normalization
from supcon_tf.names import did_you_mean


def basic_block(images: tf.Tensor, channels: int, stride: int, name: str, conv: Callable, norm: Callable) -> tf.Tensor:
    """Returns two 3x3 convolutions, `[batch, height, width, channels]`."""
    x = conv(images, channels, 3, stride, name=f"{name}_conv1")
    x = keras.layers.ReLU(name=f"{name}_relu1")(norm(x, name=f"{name}_norm1"))
    x = conv(x, channels, 3, 1, name=f"{name}_conv2")
    return norm(x, name=f"{name}_norm2", last=True)


def bottleneck_block(
    images: tf.Tensor, channels: int, stride: int, name: str, conv: Callable, norm: Callable
) -> tf.Tensor:
    """Returns 1x1 down, 3x3 with the stride, 1x1 up: `[batch, height, width, 4 * channels]`."""
    x = conv(images, channels, 1, 1, name=f"{name}_conv1")
    x = keras.layers.ReLU(name=f"{name}_relu1")(norm(x, name=f"{name}_norm1"))
    x = conv(x, channels, 3, stride, name=f"{name}_conv2")
    x = keras.layers.ReLU(name=f"{name}_relu2")(norm(x, name=f"{name}_norm2"))
    x = conv(x, 4 * channels, 1, 1, name=f"{name}_conv3")
    return norm(x, name=f"{name}_norm3", last=True)


class Architecture(NamedTuple):
    """The size of a residual network."""

    block: Callable[..., tf.Tensor]
    blocks: Tuple[int, ...]  # number of blocks in each group; each group has twice the channels of the one before
    channels: int = 64  # of the stem and the first group


ARCHITECTURES: Dict[str, Architecture] = {
    "small": Architecture(basic_block, (1, 1, 1), channels=32),
    "resnet18": Architecture(basic_block, (2, 2, 2, 2)),
    "resnet34": Architecture(basic_block, (3, 4, 6, 3)),
    "resnet50": Architecture(bottleneck_block, (3, 4, 6, 3)),
    "resnet101": Architecture(bottleneck_block, (3, 4, 23, 3)),
    "resnet152": Architecture(bottleneck_block, (3, 8, 36, 3)),
    "resnet200": Architecture(bottleneck_block, (3, 24, 36, 3)),
}


def build_encoder(
    name: str,
    image_shape: Tuple[int, int, int],
    *,
    width: float = 1.0,
    stem: str = "auto",
    whitening: Tuple[Sequence[float], Sequence[float]] = ((0.0,), (1.0,)),
    synchronized_batch_norm: bool = False,
    initialization: str = "default",
    seed: int = 0,
) -> keras.Model:
    """Returns an encoder with fresh weights, from images to embeddings that are not normalised.

    Images `[batch, height, width, channels]` from 0 to 255 may be uint8 or float. uint8 is cast inside the model, so
    that one byte per number travels to the device. Layers compute in Keras' global dtype policy. Embeddings
    `[batch, dim]` are float32 under every policy.

    >>> build_encoder("resnet50", (224, 224, 3)).output_shape
    (None, 2048)

    Args:
      name: 'small', or 'resnet' with 18, 34, 50, 101, 152 or 200.
      image_shape: height, width and channels.
      width: multiplies the number of channels of every layer.
      stem: 'imagenet' (7x7 convolution and 3x3 max-pooling, both of stride 2), 'small' (3x3 convolution of stride 1),
        'stride2' (3x3 convolution of stride 2), or 'auto': 'small' up to 64 pixels.
      whitening: means and standard deviations of images scaled to [-1, 1], for each channel or for all together.
      synchronized_batch_norm: whether batch statistics are those of all replicas together.
      initialization: how the weights begin, see `supcon_tf/models/initialization.py`.
      seed: seed of the initial weights.

    Raises:
      ArgumentError: an argument is not allowed.
    """
    if not isinstance(name, str) or name not in ARCHITECTURES:
        hint = did_you_mean(str(name), ARCHITECTURES) or f"; there are {', '.join(ARCHITECTURES)}"
        raise ArgumentError("name", name, f"no such encoder{hint}")
    check_image_shape(image_shape)
    check_number("width", width, above=0)
    check_choice("stem", stem, STEMS)
    _check_whitening(whitening, image_shape[2])
    check_flags(synchronized_batch_norm=synchronized_batch_norm)
    check_whole("seed", seed)
    block, blocks, channels = ARCHITECTURES[name]
    channels = max(int(width * channels), 1)
    conv = functools.partial(_conv, initialization=initialization, seed=seed)
    norm = functools.partial(_norm, synchronized=synchronized_batch_norm, initialization=initialization)

    inputs = keras.Input(image_shape, name="images", dtype=tf.float32)
    # Scaled to [-1, 1] and whitened before any rounding to bfloat16: (image / 127.5 - 1 - mean) / std.
    scale = [1 / (127.5 * std) for std in whitening[1]]
    offset = [-(1 + mean) / std for mean, std in zip(*whitening)]
    x = keras.layers.Rescaling(scale, offset, dtype=tf.float32, name="rescale")(inputs)

    by_size = "imagenet" if max(image_shape[:2]) > 64 else "small"
    x = _stem(x, channels, conv, norm, by_size if stem == "auto" else stem)
    for group, number in enumerate(blocks):
        x = _group(x, block, number, channels * 2**group, f"group{group + 1}", conv, norm, stride=2 if group else 1)
    embeddings = keras.layers.GlobalAveragePooling2D(dtype=tf.float32, name="embedding")(x)
    return keras.Model(inputs, embeddings, name="encoder")


def _check_whitening(whitening: Any, channels: int) -> None:
    """Raises ArgumentError unless these are means and deviations of each channel, or of all together."""
    problem = f"must be (means, deviations), finite numbers, 1 or {channels} of each, deviations above 0"
    try:
        means, deviations = (np.asarray(part, np.float64) for part in whitening)
    except (TypeError, ValueError):
        raise ArgumentError("whitening", whitening, problem) from None
    sizes = [(1,), (channels,)]
    fits = means.shape == deviations.shape and means.shape in sizes
    if not fits or not np.isfinite([means, deviations]).all() or not (deviations > 0).all():
        raise ArgumentError("whitening", whitening, problem)


def _stem(images: tf.Tensor, channels: int, conv: Callable, norm: Callable, stem: str) -> tf.Tensor:
    """Returns the first layers, `[batch, height, width, channels]`; for ImageNet a quarter of height and width."""
    imagenet = stem == "imagenet"
    x = conv(images, channels, 7 if imagenet else 3, 1 if stem == "small" else 2, name="stem_conv")
    x = keras.layers.ReLU(name="stem_relu")(norm(x, name="stem_norm"))
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x) if imagenet else x


def _group(
    images: tf.Tensor,
    block: Callable[..., tf.Tensor],
    number: int,
    channels: int,
    name: str,
    conv: Callable,
    norm: Callable,
    *,
    stride: int,
) -> tf.Tensor:
    """Returns `number` residual blocks. The first has the stride, and a convolution in its shortcut."""
    x = images
    for index in range(number):
        prefix = f"{name}_block{index + 1}"
        own_stride = 1 if index else stride
        residual = block(x, channels, own_stride, prefix, conv, norm)
        if index == 0:
            x = conv(x, residual.shape[-1], 1, own_stride, name=f"{prefix}_shortcut_conv")
            x = norm(x, name=f"{prefix}_shortcut_norm")
        x = keras.layers.Add(name=f"{prefix}_add")([x, residual])
        x = keras.layers.ReLU(name=f"{prefix}_relu")(x)
    return x


def _conv(
    images: tf.Tensor, channels: int, size: int, stride: int, *, name: str, initialization: str, seed: int
) -> tf.Tensor:
    """Returns a convolution without bias. With a stride, padding is the same for every image size, unlike 'same'."""
    if stride > 1 and size > 1:
        before = (size - 1) // 2
        after = size - 1 - before
        images = keras.layers.ZeroPadding2D(((before, after), (before, after)), name=f"{name}_pad")(images)
    return keras.layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=initial.initializer_of_convolution(initialization, initial.derived_seed(seed, name)),
        name=name,
    )(images)


def _norm(images: tf.Tensor, *, name: str, synchronized: bool, initialization: str, last: bool = False) -> tf.Tensor:
    """Returns a batch normalisation; `last` for the last one of a residual branch."""
    gamma = initial.initializer_of_last_scale(initialization) if last else "ones"
    layer = batch_normalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, synchronized=synchronized, name=name
    )
    return layer(images)
