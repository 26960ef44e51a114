"""The forms of the loss in Khosla et al. (2020), Sec. 3.2, for one anchor and one other projection at a time.

s_ij = z_i·z_j / τ is the similarity of an anchor i and another projection j. A(i) are all others of the batch, and the
valid rows of the memory if there is one; P(i) are those of the anchor's class, N(i) those of other classes. With
D_i = log Σ_j exp s_ij over the denominator's j,

    out (Eq. 2)    L_i = −1/|P(i)| Σ_{p ∈ P(i)} (s_ip − D_i)
    in  (Eq. 3)    L_i = −log 1/|P(i)| Σ_{p ∈ P(i)} exp(s_ip − D_i)

The denominator is A(i) ('all') or N(i) ('only_negatives'). With 'one_positive' each positive has one of its own, N(i)
and the positive itself. Then D_i is that of N(i), and as exp s / (exp s + exp D) = σ(s − D), the logistic function,

    out            L_i = −1/|P(i)| Σ_{p ∈ P(i)} log σ(s_ip − D_i)
    in             L_i = −log 1/|P(i)| Σ_{p ∈ P(i)} σ(s_ip − D_i)

The functions below are elementwise: similarities and masks are tiles of equal shape, and what is known of the anchors
has one axis of length 1, so that the anchors may be the rows or the columns.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

import tensorflow as tf

SUMMATIONS = ("out", "in")
DENOMINATORS = ("all", "one_positive", "only_negatives")

Count = Union[int, tf.Tensor]


class Form(NamedTuple):
    """Which of the losses.

    Attributes:
      summation: over the positives 'out'side (Eq. 2) or 'in'side (Eq. 3) the logarithm.
      denominator: 'all', 'one_positive' or 'only_negatives'.
      positives_cap: how many other images of its class an anchor keeps, with all their views; None for all. The others
        leave numerator and denominator. Of the images of a class, numbered 0 to n − 1 in the order of the batch, image
        a keeps image b if (b − a) mod n is at most the cap, so that every image is kept equally often.
    """

    summation: str = "out"
    denominator: str = "all"
    positives_cap: Optional[int] = None

    @property
    def by_class(self) -> bool:
        """Whether each pair's share of the loss depends on whether it is one of a class.

        It does not in Eq. 2: the denominator is over all, and Σ_{p ∈ P(i)} s_ip = z_i·(Σ_{p ∈ P(i)} z_p)/τ.
        """
        return self.summation == "in" or self.denominator != "all" or self.positives_cap is not None


class Anchors(NamedTuple):
    """What is known of some anchors; in a tile, each is `[rows, 1]` or `[1, columns]`.

    Attributes:
      weight: w_i, the upstream gradient of L_i.
      shift, denominator: D_i is the sum of the two; apart, since with large s_ij the second would be rounded away.
      share: Σ_j ∂L_i/∂s_ij over the denominator's j; 1, but for 'one_positive'.
      positives: |P(i)|.
      inside_shift, inside: their sum is log Σ_p exp s_ip, or log Σ_p σ(s_ip − D_i) with 'one_positive'; with summation
        inside.
    """

    weight: tf.Tensor
    shift: tf.Tensor
    denominator: tf.Tensor
    share: tf.Tensor
    positives: tf.Tensor
    inside_shift: tf.Tensor
    inside: tf.Tensor


class Masks(NamedTuple):
    """Which of a tile's pairs are in the anchor's denominator, and which are its positives; bool."""

    denominator: tf.Tensor
    positives: tf.Tensor


def counts(
    form: Form,
    class_size: tf.Tensor,
    images: Count,
    views: Count,
    class_in_memory: Count = 0,
    memory: Count = 0,
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of anchors whose class has `class_size` images of the batch: how many projections the sums are over.

    Args:
      form: which of the losses.
      class_size: int32.
      images: number of images in the batch.
      views: of each.
      class_in_memory: how many valid rows of the anchor's class a memory has.
      memory: how many valid rows it has.

    Returns:
      |P(i)| int32; the number of j in the denominator, int32; whether L_i counts, bool: it does not without positives,
      nor with an empty denominator.
    """
    kept = class_size if form.positives_cap is None else tf.minimum(class_size, form.positives_cap + 1)
    positives = kept * views - 1 + class_in_memory
    in_denominator = (images - class_size) * views + (memory - class_in_memory)
    if form.denominator == "all":
        in_denominator += positives
    counted = positives > 0
    if form.denominator != "one_positive":
        counted &= in_denominator > 0
    return positives, in_denominator, counted


def masks(form: Form, anchors: tf.Tensor, others: tf.Tensor, distinct: tf.Tensor) -> Masks:
    """Masks of a tile.

    Args:
      form: which of the losses.
      anchors: int32, class, rank and size along the last axis; `[rows, 1, 3]` or `[1, columns, 3]`.
      others: the same of the others.
      distinct: bool, whether j is in A(i).
    """
    positives = anchors[..., 0] == others[..., 0]
    negatives = ~positives
    if form.positives_cap is not None:
        size = tf.maximum(anchors[..., 2], 1)
        positives &= tf.math.floormod(others[..., 1] - anchors[..., 1], size) <= form.positives_cap
    positives &= distinct
    return Masks(negatives | positives if form.denominator == "all" else negatives, positives)


def sums(form: Form, s: tf.Tensor, masks: Masks, shifts: Sequence[tf.Tensor]) -> List[tf.Tensor]:
    """What is added up over j: exp s_ij for the denominator; for the positives exp s_ip, or s_ip itself.

    `shifts` are taken off the similarities in the exponents, of denominator and positives.
    """
    of_denominator = tf.where(masks.denominator, tf.exp(s - shifts[0]), 0.0)
    if form.denominator == "one_positive":
        return [of_denominator]
    of_positives = tf.exp(s - shifts[1]) if form.summation == "in" else s
    return [of_denominator, tf.where(masks.positives, of_positives, 0.0)]


def one_positive_sums(
    form: Form, s: tf.Tensor, positives: tf.Tensor, shift: tf.Tensor, denominator: tf.Tensor, inside_shift: tf.Tensor
) -> List[tf.Tensor]:
    """What is added up over the positives once D_i is known: the terms, and their derivatives by D_i."""
    above = s - shift - denominator  # s_ip − D_i
    if form.summation == "out":
        terms = [-tf.math.log_sigmoid(above), tf.sigmoid(-above)]
    else:
        probability = tf.exp(tf.math.log_sigmoid(above) - inside_shift)
        terms = [probability, probability * tf.sigmoid(-above)]
    return [tf.where(positives, term, 0.0) for term in terms]


def gradient(form: Form, s: tf.Tensor, masks: Masks, anchors: Anchors) -> tf.Tensor:
    """G_ij = w_i ∂L_i/∂s_ij."""
    above = s - anchors.shift - anchors.denominator  # s_ij − D_i
    repelled = anchors.share * tf.exp(above)
    if form.summation == "out":
        attracted = 1.0 / anchors.positives
    elif form.denominator == "one_positive":
        attracted = tf.exp(tf.math.log_sigmoid(above) - anchors.inside_shift - anchors.inside)
    else:
        attracted = tf.exp(s - anchors.inside_shift - anchors.inside)
    if form.denominator == "one_positive":
        attracted *= tf.sigmoid(-above)
    return anchors.weight * (tf.where(masks.denominator, repelled, 0.0) - tf.where(masks.positives, attracted, 0.0))
