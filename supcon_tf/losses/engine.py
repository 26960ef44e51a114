"""The loss of all anchors of a batch and its gradient, exact on any number of replicas, in memory linear in the batch.

With w_i the upstream gradient of L_i and G_ij = w_i ∂L_i/∂s_ij,

    ∂/∂z_k = 1/τ Σ_j (G_kj + G_jk) z_j        ∂/∂τ = −1/τ Σ_ij G_ij s_ij = −1/(2τ) Σ_k z_k·∂/∂z_k

`backward` makes G tile by tile (`tiles.py`), from a few numbers of each anchor and from similarities. It computes these
again unless `forward` kept them. So projections, labels and these numbers are gathered from all replicas, and no
gradient is: a replica forms G_kj and G_jk for its own k by itself. In Eq. 2 the positives need no tile: with M_k the
sum of z over the class of k, and with W_k that of w/|P| z,

    Σ_{p ∈ P(k)} s_kp = z_k·(M_k − z_k)/τ     their part of Σ_j (G_kj + G_jk) z_j = −w_k/|P(k)| (M_k − 2 z_k) − W_k

A row j of a memory is no anchor: G_jk = 0, and M_k has it, but W_k does not. It gets no gradient. So Σ_k z_k·∂/∂z_k has
each s_kj once and not twice, and the row's part of ∂/∂τ is −1/τ times that of the sum.
"""

import functools
from typing import Any, Callable, NamedTuple, Optional, Tuple, Union

import tensorflow as tf

from supcon_tf.distribute import gather
from supcon_tf.losses import tile_terms
from supcon_tf.losses.inputs import Memory
from supcon_tf.losses.layout import Layout, make_layout, sum_of_class
from supcon_tf.losses.tile_terms import LOWEST, Setting, choose
from supcon_tf.losses.tiles import Kept, Tiles, make_tiles, sweep, sweep_and_keep
from supcon_tf.losses.variants import Anchors, LossVariant
from supcon_tf.shapes import Size, size_of

# exp s and its sums stay well inside float32 while |s| is at most this. Beyond, each anchor's largest s is found first
# and subtracted.
LARGEST_EXPONENT = 30.0


@tf.autograph.experimental.do_not_convert
def contrastive_losses(
    projections: tf.Tensor,
    labels: tf.Tensor,
    temperature: Union[float, tf.Tensor],
    variant: LossVariant,
    *,
    unit_length: bool,
    tile_size: Optional[int] = None,
    memory: Optional[Memory] = None,
) -> tf.Tensor:
    """Returns L_i of this replica's anchors, contrasted with the batch of all replicas and with a memory.

    Args:
      projections: `[batch, views, dim]` float32.
      labels: `[batch]` int32 or int64, −1 for unlabelled.
      temperature: τ, a number or a scalar tensor; differentiable.
      variant: chooses the loss.
      unit_length: whether the projections are known to be no longer than 1, the memory's too.
      tile_size: rows and columns of a tile, at most; None for the device's default.
      memory: further contrasts from `contrasts_of_memory`, equal on every replica; not with a cap on the positives. It
        gets no gradient.

    Returns:
      `[batch, views]` float32; 0 for an anchor without positives, or with an empty denominator. All are NaN if a
      projection of this replica is not finite.
    """
    batch, views = size_of(projections, 0), size_of(projections, 1)
    shift_free = None
    if unit_length and not tf.is_tensor(temperature):
        shift_free = 1.0 / temperature <= LARGEST_EXPONENT

    @tf.custom_gradient
    def losses(rows: tf.Tensor, temperature: tf.Tensor) -> Tuple[tf.Tensor, Callable[..., Any]]:
        values, residuals = forward(
            rows, labels, views, temperature, variant, shift_free=shift_free, tile_size=tile_size, memory=memory
        )
        return values, functools.partial(backward, residuals)

    rows = tf.reshape(projections, [batch * views, projections.shape[2]])
    anchor_losses = tf.reshape(losses(rows, tf.convert_to_tensor(temperature, tf.float32)), [batch, views])
    # Maxima and masks may hide a NaN from the sums, and the gradient would have it all the same.
    finite = tf.reduce_all(tf.math.is_finite(projections))
    return anchor_losses + tf.where(finite, 0.0, float("nan"))


class Residuals(NamedTuple):
    """Holds what `forward` leaves to `backward`.

    Attributes:
      temperature: τ.
      layout: the rows.
      setting: the variant, and what is known about the size of the similarities.
      tiles: all pairs of rows.
      kept: the tiles that need not be computed again.
      anchors: the numbers of this replica's anchors, sorted by class; their weights are not known yet.
    """

    temperature: tf.Tensor
    layout: Layout
    setting: Setting
    tiles: Tiles
    kept: Kept
    anchors: Anchors


def forward(
    rows: tf.Tensor,
    labels: tf.Tensor,
    views: Size,
    temperature: tf.Tensor,
    variant: LossVariant,
    *,
    shift_free: Optional[bool],
    tile_size: Optional[int] = None,
    memory: Optional[Memory] = None,
) -> Tuple[tf.Tensor, Residuals]:
    """Computes the losses.

    Args:
      rows: projections `[batch * views, dim]` float32 of this replica.
      labels: `[batch]`.
      views: number of views of each image.
      temperature: τ, a scalar float32 tensor.
      variant: chooses the loss.
      shift_free: whether |s| is known not to exceed LARGEST_EXPONENT; None computes a bound from the rows.
      tile_size, memory: as for `contrastive_losses`.

    Returns:
      L_i `[batch * views]`, 0 for anchors that do not count; and what `backward` needs.
    """
    layout = make_layout(rows, labels, views, temperature, variant, tile_size, memory)
    setting = Setting(variant, _exponents_fit(layout) if shift_free is None else shift_free, layout.has_gaps)
    make_content = functools.partial(tile_terms.content, setting)
    tiles = make_tiles(layout.own, layout.others, layout.memory, make_content, by_class=variant.by_class)

    positives, has_denominator, counted = layout.anchors
    zeros = tf.zeros_like(positives)
    shifts = choose(
        setting.shift_free, lambda: tf.stack([zeros, zeros], axis=1), lambda: _largest(layout, setting, tiles)
    )
    visit = functools.partial(tile_terms.sums, setting)
    sums, kept = sweep_and_keep(tiles, visit, 2 if variant.by_class else 1, own_values=shifts)
    shift, inside_shift = tf.unstack(shifts, axis=1)
    denominator, share, inside = _log(sums[:, 0]), tf.ones_like(zeros), zeros
    anchors = Anchors(zeros, shift, denominator, share, positives, inside_shift, inside)
    if variant.denominator == "one_positive":
        denominator = tf.where(has_denominator, denominator, LOWEST / 2)
        losses, anchors = _with_one_positive(setting, tiles, kept, anchors._replace(denominator=denominator))
    elif variant.summation == "in":
        inside = _log(sums[:, 1])
        losses = shift - inside_shift + denominator - inside + tf.math.log(positives)
        anchors = anchors._replace(inside=inside)
    else:
        positive_sum = sums[:, 1] if variant.by_class else _similarities_of_class(layout)
        losses = shift - positive_sum / positives + denominator
    losses = tf.gather(tf.where(counted, losses, 0.0), layout.from_sorted)
    return losses, Residuals(temperature, layout, setting, tiles, kept, anchors)


def backward(residuals: Residuals, upstream: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Computes the gradients from the upstream gradients w_i `[batch * views]` of this replica's L_i.

    Returns:
      ∂/∂z of this replica's rows, `[batch * views, dim]`, and this replica's part of ∂/∂τ, a scalar.
    """
    temperature, layout, setting, tiles, kept, anchors = residuals
    weight = tf.where(layout.anchors.counted, tf.gather(upstream, layout.to_sorted), 0.0)
    numbers = tf.stack(anchors._replace(weight=weight), axis=1)
    every = gather(tf.gather(numbers, layout.from_sorted))
    others = None if layout.others_index is None else tf.gather(every, layout.others_index)
    rows = layout.own_projections

    def swept(in_memory: bool) -> tf.Tensor:
        return sweep(
            tiles,
            functools.partial(tile_terms.gradient, setting),
            rows.shape[1],
            own_values=numbers,
            other_values=others,
            kept=kept,
            in_memory=in_memory,
        )

    gradient = swept(in_memory=False)
    if not setting.variant.by_class:
        per_positive = weight / anchors.positives
        all_anchors = Anchors(*tf.unstack(every, axis=1))
        weighted_rows = (all_anchors.weight / all_anchors.positives)[:, tf.newaxis] * layout.all_projections
        gradient -= per_positive[:, tf.newaxis] * (
            sum_of_class(layout, layout.all_projections, layout.class_of_all) - 2.0 * rows
        )
        gradient -= sum_of_class(layout, weighted_rows, layout.class_of_all)
    temperature_gradient = -tf.reduce_sum(rows * gradient) / (2.0 * temperature)
    if layout.memory is not None:
        memory_gradient = swept(in_memory=True)
        if not setting.variant.by_class:
            class_sums = sum_of_class(layout, layout.memory_projections, layout.class_of_memory)
            memory_gradient -= per_positive[:, tf.newaxis] * class_sums
        temperature_gradient -= tf.reduce_sum(rows * memory_gradient) / temperature
        gradient += memory_gradient
    return tf.gather(gradient, layout.from_sorted) / tf.sqrt(temperature), temperature_gradient


def _exponents_fit(layout: Layout) -> tf.Tensor:
    """Tells whether no |s_ij| exceeds LARGEST_EXPONENT, by the largest z·z/τ."""

    def longest(rows: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(tf.reduce_sum(rows**2, axis=1))

    largest = longest(layout.all_projections)
    if layout.memory_projections is not None:
        largest = tf.maximum(largest, longest(layout.memory_projections))
    return largest <= LARGEST_EXPONENT


def _largest(layout: Layout, setting: Setting, tiles: Tiles) -> tf.Tensor:
    """Returns each own anchor's max s_ij over its denominator and max s_ip over its positives: `[own rows, 2]`."""
    no_values = tf.zeros([tf.size(layout.to_sorted), 0])
    visit = functools.partial(tile_terms.largest, setting)
    largest = sweep(tiles, visit, 2, own_values=no_values, combine=tf.maximum, start=LOWEST)
    return tf.where(largest > LOWEST, largest, 0.0)


def _with_one_positive(setting: Setting, tiles: Tiles, kept: Kept, anchors: Anchors) -> Tuple[tf.Tensor, Anchors]:
    """Returns L_i once D_i is known, and the anchors with `share`, `inside_shift` and `inside`.

    `inside_shift` comes in as each anchor's largest s_ip, or 0 where no shift is needed.
    """
    shift, denominator, positives = anchors.shift, anchors.denominator, anchors.positives
    inside_shift = choose(
        setting.shift_free,
        lambda: tf.zeros_like(denominator),
        lambda: tf.math.log_sigmoid(anchors.inside_shift - shift - denominator),
    )
    known = tf.stack([shift, denominator, inside_shift], axis=1)
    visit = functools.partial(tile_terms.one_positive_sums, setting)
    sums = sweep(tiles, visit, 2, own_values=known, kept=kept, only_near=True)
    inside = _log(sums[:, 0])
    if setting.variant.summation == "out":
        losses, share = sums[:, 0] / positives, sums[:, 1] / positives
    else:
        losses = tf.math.log(positives) - inside_shift - inside
        share = tf.math.divide_no_nan(sums[:, 1], sums[:, 0])
    return losses, anchors._replace(share=share, inside_shift=inside_shift, inside=inside)


def _similarities_of_class(layout: Layout) -> tf.Tensor:
    """Returns Σ_{p ∈ P(i)} s_ip of each own anchor."""
    positives = sum_of_class(layout, layout.all_projections, layout.class_of_all) - layout.own_projections
    if layout.memory_projections is not None:
        positives += sum_of_class(layout, layout.memory_projections, layout.class_of_memory)
    return tf.reduce_sum(layout.own_projections * positives, axis=1)


def _log(x: tf.Tensor) -> tf.Tensor:
    """Returns the logarithm, finite at 0."""
    return tf.math.log(tf.maximum(x, 1e-37))
