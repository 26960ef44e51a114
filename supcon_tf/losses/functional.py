"""The supervised contrastive loss as a pure function."""

from typing import Optional, Union

import tensorflow as tf

from supcon_tf import config
from supcon_tf.batch import class_indices
from supcon_tf.errors import ArgumentError, check_choice, check_flags, check_whole
from supcon_tf.losses.engine import contrastive_losses
from supcon_tf.losses.inputs import Memory, contrasts_of_memory, projections_by_view
from supcon_tf.losses.temperature import check_temperature, temperature_now
from supcon_tf.losses.variants import LossVariant
from supcon_tf.shapes import size_of


def supervised_contrastive_loss(
    labels: tf.Tensor,
    projections: tf.Tensor,
    temperature: Union[float, tf.Tensor] = 0.1,
    *,
    summation: str = "out",
    denominator: str = "all",
    positives_cap: Optional[int] = None,
    anchors: str = "all",
    scale_by_temperature: bool = False,
    normalize: bool = True,
    tile_size: Optional[int] = None,
    memory: Optional[Memory] = None,
) -> tf.Tensor:
    """Returns the supervised contrastive loss of each image (Khosla et al., 2020, Eqs. 2 and 3).

    For an anchor i among all views of all images of the global batch, let A(i) be all others, and P(i) the others with
    the anchor's label. With s_ij = z_i·z_j / temperature:

        L_i = log Σ_{a ∈ A(i)} exp(s_ia) − 1/|P(i)| Σ_{p ∈ P(i)} s_ip

    `reference.py` has all variants. Under a `tf.distribute` strategy the batch is that of all replicas. If all labels
    are −1, this is SimCLR's NT-Xent loss.

    >>> projections = tf.constant([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    >>> print(supervised_contrastive_loss(tf.constant([0, 0, 1]), projections, temperature=1.0).numpy().round(4))
    [0.3133 0.3133 0.    ]

    Args:
      labels: integers `[batch]` or `[batch, 1]`, or one-hot `[batch, classes]`; −1 or a row of zeros is unlabelled.
      projections: `[batch, views, dim]`, or `[batch, dim]` for one view; computed in float32.
      temperature: τ, a positive number or a scalar tensor, which then gets its gradient.
      summation: puts the sum over positives 'out'side (Eq. 2) or 'in'side (Eq. 3) the logarithm.
      denominator: 'all' others; 'only_negatives', those of other classes; 'one_positive', these and the positive.
      positives_cap: number of other images of its class that an anchor keeps, see `LossVariant`; None keeps all.
      anchors: 'all' views, or only the first 'one' of each image.
      scale_by_temperature: multiplies the loss by τ, like the authors' TensorFlow recipes for SupCon.
      normalize: L2-normalises projections and memory first.
      tile_size: rows of the similarities in memory at a time; None for the device's default.
      memory: further contrasts; not with `positives_cap`.

    Returns:
      `[batch]` float32, the mean over the image's anchors. An anchor without positives contributes 0, and so does one
      without negatives if `denominator` is not 'all'.

    Raises:
      ArgumentError: an option is not allowed, or a shape or a type does not fit.
      InvalidArgumentError: a row of labels is neither one-hot nor zeros, or a label is not whole. XLA does not check.
    """
    check_temperature(temperature)
    check_options(summation, denominator, positives_cap, anchors, tile_size, memory is not None)
    check_flags(scale_by_temperature=scale_by_temperature, normalize=normalize)
    z = projections_by_view(projections, normalize)
    memory = None if memory is None else _contrasts(memory, z.shape[2], normalize)
    temperature, variant = temperature_now(temperature), LossVariant(summation, denominator, positives_cap)
    y = class_indices(labels, size_of(z, 0))
    losses = contrastive_losses(z, y, temperature, variant, unit_length=normalize, tile_size=tile_size, memory=memory)
    image_losses = losses[:, 0] if anchors == "one" else tf.reduce_mean(losses, axis=1)
    return temperature * image_losses if scale_by_temperature else image_losses


def _contrasts(memory: Memory, dim: Optional[int], normalize: bool) -> Memory:
    """Returns the memory with class numbers as labels.

    Raises:
      ArgumentError: it is no `Memory`.
    """
    if not isinstance(memory, Memory):
        raise ArgumentError("memory", type(memory).__name__, "must be a Memory of three tensors, or None")
    labels = class_indices(memory.labels, size_of(memory.projections, 0))
    return contrasts_of_memory(memory._replace(labels=labels), dim, normalize)


@tf.autograph.experimental.do_not_convert
def check_options(
    summation: str,
    denominator: str,
    positives_cap: Optional[int],
    anchors: str,
    tile_size: Optional[int],
    has_memory: bool,
) -> None:
    """Raises ArgumentError if an option of the loss is not allowed."""
    for argument, value, allowed in (
        ("summation", summation, config.SUMMATIONS),
        ("denominator", denominator, config.DENOMINATORS),
        ("anchors", anchors, config.ANCHORS),
    ):
        check_choice(argument, value, allowed)
    if positives_cap is not None:
        check_whole("positives_cap", positives_cap, 0)
    if tile_size is not None:
        check_whole("tile_size", tile_size, 1)
    if has_memory and positives_cap is not None:
        raise ArgumentError("positives_cap", positives_cap, "cannot be combined with a memory; use None")
