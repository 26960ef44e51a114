"""Initial weights, by name.

The names 'tensorflow' and 'pytorch' follow the authors' two releases, except that biases begin at 0. The name 'default'
equals 'tensorflow' except for the projection head: from N(0, .01), two layers hardly learned on small images.
"""

import hashlib

from tensorflow import keras

from supcon_tf.config import INITIALIZATIONS
from supcon_tf.errors import ArgumentError

VarianceScaling = keras.initializers.VarianceScaling


def derived_seed(seed: int, name: str) -> int:
    """Returns a seed for the weights called `name`, different for each name; from 0 to 2^31 - 1."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def initializer_of_convolution(initialization: str, seed: int) -> keras.initializers.Initializer:
    """Returns a truncated normal of variance 1/fan-in, or He's normal of variance 2/fan-out."""
    _check(initialization)
    if initialization == "pytorch":
        return VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal", seed=seed)
    return VarianceScaling(1.0, mode="fan_in", distribution="truncated_normal", seed=seed)


def initializer_of_last_scale(initialization: str) -> str:
    """Names the initial scale of a residual branch's last normalisation; 0 makes the block the identity.

    Source: Goyal et al. 2017, section 5.1.
    """
    return "ones" if initialization == "pytorch" else "zeros"


def initializer_of_projection(initialization: str, seed: int, *, hidden: bool) -> keras.initializers.Initializer:
    """Returns the initializer of a layer of the projection head; ReLU follows a `hidden` layer."""
    _check(initialization)
    if initialization == "tensorflow":
        return keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    if initialization == "pytorch":
        return _uniform(seed)
    return VarianceScaling(2.0 if hidden else 1.0, seed=seed)


def initializer_of_classifier(initialization: str, seed: int, *, zero: bool) -> keras.initializers.Initializer:
    """Returns the initializer of the linear classifier; `zero` for weights of 0."""
    _check(initialization)
    if zero:
        return keras.initializers.Zeros()
    return _uniform(seed) if initialization == "pytorch" else keras.initializers.GlorotUniform(seed=seed)


def _check(initialization: str) -> None:
    if initialization not in INITIALIZATIONS:
        raise ArgumentError("initialization", initialization, f"must be one of {', '.join(INITIALIZATIONS)}")


def _uniform(seed: int) -> keras.initializers.Initializer:
    """Returns a uniform initializer within 1/√fan-in of 0, like that of PyTorch's linear layers."""
    return VarianceScaling(1 / 3, mode="fan_in", distribution="uniform", seed=seed)
