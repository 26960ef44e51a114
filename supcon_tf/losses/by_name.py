"""Builds a contrastive loss from the options.

To add a loss, write it in its own file, add its maker to `LOSSES`, and its name to the choices of `contrastive_loss`.
"""

from typing import Any, Callable, Dict, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.errors import check_choice, check_flags
from supcon_tf.losses.baselines import NPairsLoss, TripletLoss
from supcon_tf.losses.contrastive import NTXentLoss, SupConLoss
from supcon_tf.losses.mixed import MixedSupConLoss
from supcon_tf.losses.temperature import Temperature


def make_contrastive_loss(
    options: config.LossOptions,
    *,
    mode: str,
    normalize: bool,
    mix: str,
    temperature: Temperature,
    memory: Optional[Callable[[], Tuple[tf.Tensor, tf.Tensor, tf.Tensor]]],
) -> keras.losses.Loss:
    """Builds the loss of mode 'supcon' or 'simclr'.

    >>> make_contrastive_loss(
    ...     config.LossOptions(), mode="simclr", normalize=True, mix="none", temperature=0.5, memory=None
    ... ).name
    'nt_xent_loss'

    Args:
      options: `contrastive_loss` names an entry of `LOSSES`; its maker reads the rest.
      mode: 'simclr' ignores labels.
      normalize: L2-normalises the projections.
      mix: 'none', or how images are mixed; mixed images have soft labels.
      temperature: τ: the model's, if it learns one, otherwise that of the options.
      memory: a function that returns the three tensors of a `Memory`, the model's queue; None without one.

    Raises:
      ArgumentError: an argument or an option is not allowed.
    """
    check_choice("contrastive_loss", options.contrastive_loss, LOSSES)
    config.check_values({name: value for name, value in vars(options).items() if name != "contrastive_loss"})
    check_choice("mode", mode, config.CONTRASTIVE_MODES)
    check_choice("mix", mix, config.MIXES)
    check_flags(normalize=normalize)
    make = LOSSES[options.contrastive_loss]
    return make(options, mode=mode, normalize=normalize, mix=mix, temperature=temperature, memory=memory)


def _make_supcon(
    options: config.LossOptions,
    *,
    mode: str,
    normalize: bool,
    mix: str,
    temperature: Temperature,
    memory: Optional[Callable[[], Tuple[tf.Tensor, tf.Tensor, tf.Tensor]]],
) -> keras.losses.Loss:
    scale = options.scale_by_temperature
    if mix != "none":
        return MixedSupConLoss(temperature, scale_by_temperature=scale, normalize=normalize)
    shared: Dict[str, Any] = {
        "summation": options.summation,
        "denominator": options.denominator,
        "anchors": options.anchors,
        "scale_by_temperature": scale,
        "normalize": normalize,
        "memory": memory,
    }
    if mode == "simclr":
        return NTXentLoss(temperature, **shared)
    return SupConLoss(temperature, positives_cap=options.positives_cap, **shared)


def _make_n_pairs(
    options: config.LossOptions, *, normalize: bool, temperature: Temperature, **unused: object
) -> keras.losses.Loss:
    return NPairsLoss(temperature, normalize=normalize)


def _make_triplet(options: config.LossOptions, *, normalize: bool, **unused: object) -> keras.losses.Loss:
    return TripletLoss(normalize=normalize)


# Name in `contrastive_loss` → its maker. It takes the arguments of `make_contrastive_loss`, and ignores those that its
# loss does not have.
LOSSES: Dict[str, Callable[..., keras.losses.Loss]] = {
    "supcon": _make_supcon,
    "npairs": _make_n_pairs,
    "triplet": _make_triplet,
}
