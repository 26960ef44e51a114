"""How weights begin, by name.

'tensorflow' and 'pytorch' are what the authors' two releases do, but for biases, which begin at 0. 'default' is the
first but for the projection head: from N(0, .01), a head of two layers hardly learned on small images.
"""

import hashlib

from tensorflow import keras

VarianceScaling = keras.initializers.VarianceScaling


def derived_seed(seed: int, name: str) -> int:
    """A seed for the weights called `name`, unlike those for other names; from 0 to 2^31 - 1."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def of_convolution(initialization: str, seed: int) -> keras.initializers.Initializer:
    """Truncated normal of variance 1/fan-in, or He's normal of variance 2/fan-out."""
    if initialization == "pytorch":
        return VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal", seed=seed)
    return VarianceScaling(1.0, mode="fan_in", distribution="truncated_normal", seed=seed)


def of_last_scale(initialization: str) -> str:
    """Scale of a residual branch's last batch normalisation: 0 makes the block the identity (Goyal et al. 2017)."""
    return "ones" if initialization == "pytorch" else "zeros"


def of_projection(initialization: str, seed: int, *, hidden: bool) -> keras.initializers.Initializer:
    """Of a layer of the projection head; `hidden` ones are followed by ReLU."""
    if initialization == "tensorflow":
        return keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    if initialization == "pytorch":
        return _uniform(seed)
    return VarianceScaling(2.0 if hidden else 1.0, seed=seed)


def of_classifier(initialization: str, seed: int, *, zero: bool) -> keras.initializers.Initializer:
    """Of the linear classifier."""
    if zero:
        return keras.initializers.Zeros()
    return _uniform(seed) if initialization == "pytorch" else keras.initializers.GlorotUniform(seed=seed)


def _uniform(seed: int) -> keras.initializers.Initializer:
    """Within 1/√fan-in of 0, as PyTorch's linear layers."""
    return VarianceScaling(1 / 3, mode="fan_in", distribution="uniform", seed=seed)
