"""Makes optimizers by name. The only module that knows which library each comes from."""

import functools
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Union

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import check_choice, check_number
from supcon_tf.optimizers import weight_sets
from supcon_tf.optimizers.adamw import AdamW
from supcon_tf.optimizers.lamb import LAMB
from supcon_tf.optimizers.lars import LARS
from supcon_tf.optimizers.momentum import SGD, RMSprop
from supcon_tf.optimizers.schedules import check_learning_rate

LearningRate = Union[float, Callable[[tf.Tensor], tf.Tensor]]  # a number, or a function of the step

# The authors' values for the linear stage on ImageNet.
RMSPROP_DECAY, RMSPROP_EPSILON = 0.9, 0.001


class Settings(NamedTuple):
    """Settings from which each optimizer takes those that it has; see `make_optimizer`.

    Attributes:
      momentum, weight_decay, undecayed, unadapted: as for `make_optimizer`.
      common: keyword arguments that all optimizers take.
    """

    momentum: float
    weight_decay: float
    undecayed: Sequence[weight_sets.Chosen]
    unadapted: Sequence[weight_sets.Chosen]
    common: Dict[str, Any]


class NamedOptimizer(NamedTuple):
    """An optimizer that can be chosen by name.

    Attributes:
      make: learning rate and settings → optimizer.
      slots: number of values that it keeps for each value of a weight.
      decays: whether it decays the weights itself. With the others the decay is an L2 term of the loss.
    """

    make: Callable[[LearningRate, Settings], keras.optimizers.Optimizer]
    slots: int
    decays: bool = False


def make_optimizer(
    name: str,
    learning_rate: LearningRate,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    undecayed: Sequence[tf.Variable] = (),
    unadapted: Sequence[tf.Variable] = (),
    clip_norm: Optional[float] = None,
) -> keras.optimizers.Optimizer:
    """Makes the optimizer called `name`.

    >>> make_optimizer("lars", 0.1, weight_decay=1e-6).trust_coefficient
    0.001

    Args:
      name: 'sgd', 'nesterov', 'lars' (You et al. 2017), 'rmsprop', 'adam', 'adamw' or 'lamb' (You et al. 2020).
      learning_rate: a schedule or a number.
      momentum: momentum of 'sgd', 'nesterov', 'lars' and 'rmsprop'.
      weight_decay: decay of 'lars', 'adamw' and 'lamb'. The others ignore it; their decay is an L2 term of the loss.
      undecayed: weights that do not decay. 'adamw' and 'lamb' do not decay biases either; 'lamb' does not scale the
        rate of what it does not decay.
      unadapted: weights whose rate 'lars' does not scale.
      clip_norm: largest norm of the gradient of all weights together; None for no limit.

    Raises:
      ArgumentError: an argument is not allowed.
    """
    check_choice("name", name, OPTIMIZERS)
    check_learning_rate(learning_rate)
    check_number("momentum", momentum, minimum=0, below=1)
    check_number("weight_decay", weight_decay, minimum=0)
    if clip_norm is not None:
        check_number("clip_norm", clip_norm, above=0)
    settings = Settings(
        momentum,
        weight_decay,
        undecayed=weight_sets.as_chosen("undecayed", undecayed),
        unadapted=weight_sets.as_chosen("unadapted", unadapted),
        common={} if clip_norm is None else {"global_clipnorm": clip_norm},
    )
    return OPTIMIZERS[name].make(learning_rate, settings)


def _sgd(learning_rate: LearningRate, settings: Settings, *, nesterov: bool) -> keras.optimizers.Optimizer:
    return SGD(learning_rate, momentum=settings.momentum, nesterov=nesterov, **settings.common)


def _lars(learning_rate: LearningRate, settings: Settings) -> keras.optimizers.Optimizer:
    return LARS(
        learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        exclude_from_weight_decay=settings.undecayed,
        exclude_from_layer_adaptation=settings.unadapted,
        **settings.common,
    )


def _rmsprop(learning_rate: LearningRate, settings: Settings) -> keras.optimizers.Optimizer:
    return RMSprop(
        learning_rate, rho=RMSPROP_DECAY, momentum=settings.momentum, epsilon=RMSPROP_EPSILON, **settings.common
    )


def _adam(learning_rate: LearningRate, settings: Settings) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(learning_rate, **settings.common)


def _adamw(learning_rate: LearningRate, settings: Settings) -> keras.optimizers.Optimizer:
    return AdamW(
        learning_rate,
        weight_decay=settings.weight_decay,
        exclude_from_weight_decay=settings.undecayed,
        **settings.common,
    )


def _lamb(learning_rate: LearningRate, settings: Settings) -> keras.optimizers.Optimizer:
    return LAMB(
        learning_rate,
        weight_decay=settings.weight_decay,
        exclude_from_weight_decay=settings.undecayed,
        **settings.common,
    )


OPTIMIZERS: Dict[str, NamedOptimizer] = {
    "sgd": NamedOptimizer(functools.partial(_sgd, nesterov=False), slots=1),
    "nesterov": NamedOptimizer(functools.partial(_sgd, nesterov=True), slots=1),
    "lars": NamedOptimizer(_lars, slots=1, decays=True),
    "rmsprop": NamedOptimizer(_rmsprop, slots=2),
    "adam": NamedOptimizer(_adam, slots=2),
    "adamw": NamedOptimizer(_adamw, slots=2, decays=True),
    "lamb": NamedOptimizer(_lamb, slots=2, decays=True),
}
