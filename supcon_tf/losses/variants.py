"""The variants of the loss in Khosla et al. (2020), Sec. 3.2, for one anchor and one other projection at a time.

s_ij = z_i·z_j / τ is the similarity of an anchor i and another projection j. A(i) holds all others of the batch, and
the valid rows of the memory if there is one. P(i) holds those of the anchor's class, N(i) those of other classes. With
D_i = log Σ_j exp s_ij over the denominator's j,

    out (Eq. 2)    L_i = −1/|P(i)| Σ_{p ∈ P(i)} (s_ip − D_i)
    in  (Eq. 3)    L_i = −log 1/|P(i)| Σ_{p ∈ P(i)} exp(s_ip − D_i)

The denominator is A(i) ('all') or N(i) ('only_negatives'). With 'one_positive' each positive has its own denominator,
N(i) and the positive itself. Then D_i is that of N(i). With the logistic function σ(s − D) = exp s / (exp s + exp D),

    out            L_i = −1/|P(i)| Σ_{p ∈ P(i)} log σ(s_ip − D_i)
    in             L_i = −log 1/|P(i)| Σ_{p ∈ P(i)} σ(s_ip − D_i)

The functions below are elementwise. Similarities and masks are tiles of equal shape. The numbers of the anchors have
one axis of length 1, so that the anchors may be the rows or the columns.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf.shapes import Size


class LossVariant(NamedTuple):
    """Chooses one of the losses.

    Attributes:
      summation: puts the sum over the positives 'out'side (Eq. 2) or 'in'side (Eq. 3) the logarithm.
      denominator: 'all', 'one_positive' or 'only_negatives'.
      positives_cap: number of other images of its class that an anchor keeps, with all their views; None keeps all.
        The rest of the class leaves numerator and denominator. Number the images of a class 0 to n − 1 in the order of
        the batch: image a keeps image b if (b − a) mod n is at most the cap. So every image is kept equally often.
    """

    summation: str = "out"
    denominator: str = "all"
    positives_cap: Optional[int] = None

    @property
    def by_class(self) -> bool:
        """Tells whether a pair's share of the loss depends on its classes.

        It does not in Eq. 2: the denominator is over all, and Σ_{p ∈ P(i)} s_ip = z_i·(Σ_{p ∈ P(i)} z_p)/τ.
        """
        return self.summation == "in" or self.denominator != "all" or self.positives_cap is not None


class Anchors(NamedTuple):
    """Holds the numbers of some anchors; in a tile, each is `[rows, 1]` or `[1, columns]`.

    Attributes:
      weight: w_i, the upstream gradient of L_i.
      shift, denominator: their sum is D_i. They are apart because large s_ij would round the second away.
      share: Σ_j ∂L_i/∂s_ij over the denominator's j; 1 except with 'one_positive'.
      positives: |P(i)|.
      inside_shift, inside: with summation inside, their sum is log Σ_p exp s_ip; with 'one_positive' it is
        log Σ_p σ(s_ip − D_i).
    """

    weight: tf.Tensor
    shift: tf.Tensor
    denominator: tf.Tensor
    share: tf.Tensor
    positives: tf.Tensor
    inside_shift: tf.Tensor
    inside: tf.Tensor


class Masks(NamedTuple):
    """Tells which pairs of a tile are in the anchor's denominator, and which are its positives; bool."""

    denominator: tf.Tensor
    positives: tf.Tensor


def counts(
    variant: LossVariant,
    class_size: tf.Tensor,
    images: Size,
    views: Size,
    class_in_memory: Size = 0,
    memory: Size = 0,
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Counts the projections that the sums of each anchor are over.

    Args:
      variant: chooses the loss.
      class_size: number of images of the batch in the anchor's class, int32.
      images: number of images in the batch.
      views: number of views of each image.
      class_in_memory: number of valid rows of the memory in the anchor's class.
      memory: number of valid rows of the memory.

    Returns:
      |P(i)| int32; the number of j in the denominator, int32; whether L_i counts, bool. L_i does not count without
      positives, nor with an empty denominator.
    """
    kept = class_size if variant.positives_cap is None else tf.minimum(class_size, variant.positives_cap + 1)
    positives = kept * views - 1 + class_in_memory
    in_denominator = (images - class_size) * views + (memory - class_in_memory)
    if variant.denominator == "all":
        in_denominator += positives
    counted = positives > 0
    if variant.denominator != "one_positive":
        counted &= in_denominator > 0
    return positives, in_denominator, counted


def masks(variant: LossVariant, anchors: tf.Tensor, others: tf.Tensor, distinct: tf.Tensor) -> Masks:
    """Makes the masks of a tile.

    Args:
      variant: chooses the loss.
      anchors: int32, class, rank and size along the last axis; `[rows, 1, 3]` or `[1, columns, 3]`.
      others: class, rank and size of the others, along the other axis.
      distinct: bool, whether j is in A(i).
    """
    positives = anchors[..., 0] == others[..., 0]
    negatives = ~positives
    if variant.positives_cap is not None:
        size = tf.maximum(anchors[..., 2], 1)
        positives &= tf.math.floormod(others[..., 1] - anchors[..., 1], size) <= variant.positives_cap
    positives &= distinct
    return Masks(negatives | positives if variant.denominator == "all" else negatives, positives)


def sums(variant: LossVariant, s: tf.Tensor, masks: Masks, shifts: Sequence[tf.Tensor]) -> List[tf.Tensor]:
    """Returns the terms to add up over j: exp s_ij for the denominator; for the positives exp s_ip, or s_ip itself.

    `shifts` are subtracted from the similarities in the exponents, of the denominator and of the positives.
    """
    denominator_terms = tf.where(masks.denominator, tf.exp(s - shifts[0]), 0.0)
    if variant.denominator == "one_positive":
        return [denominator_terms]
    positive_terms = tf.exp(s - shifts[1]) if variant.summation == "in" else s
    return [denominator_terms, tf.where(masks.positives, positive_terms, 0.0)]


def one_positive_sums(
    variant: LossVariant,
    s: tf.Tensor,
    positives: tf.Tensor,
    shift: tf.Tensor,
    denominator: tf.Tensor,
    inside_shift: tf.Tensor,
) -> List[tf.Tensor]:
    """Returns the terms to add up over the positives once D_i is known, and their derivatives by D_i."""
    above = s - shift - denominator  # s_ip − D_i
    if variant.summation == "out":
        terms = [-tf.math.log_sigmoid(above), tf.sigmoid(-above)]
    else:
        probability = tf.exp(tf.math.log_sigmoid(above) - inside_shift)
        terms = [probability, probability * tf.sigmoid(-above)]
    return [tf.where(positives, term, 0.0) for term in terms]


def gradient(variant: LossVariant, s: tf.Tensor, masks: Masks, anchors: Anchors) -> tf.Tensor:
    """Returns G_ij = w_i ∂L_i/∂s_ij."""
    above = s - anchors.shift - anchors.denominator  # s_ij − D_i
    repelled = anchors.share * tf.exp(above)
    if variant.summation == "out":
        attracted = 1.0 / anchors.positives
    elif variant.denominator == "one_positive":
        attracted = tf.exp(tf.math.log_sigmoid(above) - anchors.inside_shift - anchors.inside)
    else:
        attracted = tf.exp(s - anchors.inside_shift - anchors.inside)
    if variant.denominator == "one_positive":
        attracted *= tf.sigmoid(-above)
    return anchors.weight * (tf.where(masks.denominator, repelled, 0.0) - tf.where(masks.positives, attracted, 0.0))
