"""Finds options that have no effect because of others, whatever their value.

The command line warns about these options. It does not reject them, so that commands for several modes can share their
flags. `constraints` rejects further combinations.
"""

from typing import Dict, Iterator, Sequence, Tuple

from supcon_tf.config.choices import (
    COLOUR_POLICIES,
    CONTRASTIVE_LOSSES,
    LOSS_OPTIONS_OF_RECIPES,
    MOMENTUM_OPTIMIZERS,
)
from supcon_tf.config.options import Config, name_in_stage
from supcon_tf.config.values import options

PROJECTION = ("projection_layers", "projection_batch_norm", "normalize_projection")
CROP = ("crop_min_area", "crop_max_area", "crop_aspect", "flip")
COLOUR = (
    *("jitter_strength", "jitter_style", "jitter_probability", "grey_probability", "blur_probability"),
    *("augment_on_device", "blur_on_device"),
)


def without_effect(config: Config) -> Dict[str, str]:
    """Returns option name → why the option has no effect.

    >>> without_effect(Config())
    {'base_temperature': 'without --scale_by_temperature'}
    """
    return {name: reason for names, reason in _unread(config) for name in names}


def _unread(config: Config) -> Iterator[Tuple[Sequence[str], str]]:
    """Yields options with the reason why they have no effect. A later reason is the better one."""
    loss, mode = config.loss, config.run.mode
    if not loss.scale_by_temperature:
        yield ("base_temperature",), "without --scale_by_temperature"
    taken = CONTRASTIVE_LOSSES[loss.contrastive_loss].takes
    unread = [name for name in LOSS_OPTIONS_OF_RECIPES if name not in taken]
    if "scale_by_temperature" in unread:
        unread.append("base_temperature")
    yield unread, f"with --contrastive_loss={loss.contrastive_loss}"
    if mode == "ce":
        in_groups = [option.name for option in options() if option.group in ("loss", "linear")]
        no_linear = ("linear_augment", "linear_solver")
        yield (*in_groups, *PROJECTION, "num_views", *no_linear, "microbatch_size"), "in mode ce"
    elif config.training.linear_solver == "lbfgs":
        in_group = [option.name for option in options() if option.group == "linear"]
        unread = [name for name in in_group if name != name_in_stage("linear", "weight_decay")]
        yield (*unread, "linear_augment", "label_smoothing", "zero_classifier"), "with --linear_solver=lbfgs"
    optimizers = {config.pretrain.optimizer} if mode == "ce" else {config.pretrain.optimizer, config.linear.optimizer}
    if not optimizers & set(MOMENTUM_OPTIMIZERS):
        yield ("momentum",), f"with the optimizer {' or '.join(sorted(optimizers))}"
    augment = config.augment
    policies = {*augment.augment} if mode == "ce" else {*augment.augment, augment.linear_augment} - {"same"}
    if not policies & set(COLOUR_POLICIES):
        yield COLOUR, "because no policy changes colours by jitter, grey or blur"
    if policies == {"none"}:
        yield CROP, "because no policy crops"
