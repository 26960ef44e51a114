"""The equations of Khosla et al. (2020), Sec. 3.2, with a matrix of all pairs. Read it beside the paper.

`supervised_contrastive_loss` in `functional.py` and `MixedSupConLoss` in `mixed.py` give the same numbers without the
matrix; the tests compare them with this page. It is for class numbers first, then for the soft labels of mixed images.
This page computes in the type that it is given, and can be differentiated.
"""

from typing import Optional, Tuple, Union

import tensorflow as tf

from supcon_tf.losses.inputs import Memory

LOWEST = -1e30  # stands for log 0, with finite gradients


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
    memory: Optional[Memory] = None,
) -> tf.Tensor:
    """Returns the loss of each image, `[batch]`, the mean over its anchors; arguments as in `functional.py`.

    >>> print(supervised_contrastive_loss(tf.constant([0, 0, -1]), tf.ones([3, 2, 4]), 1.0).numpy().round(4))
    [1.6094 1.6094 1.6094]
    """
    if normalize:
        projections = tf.math.l2_normalize(projections, axis=-1)
        memory = memory and memory._replace(projections=tf.math.l2_normalize(memory.projections, axis=-1))
    losses = losses_of_views(labels, projections, temperature, summation, denominator, positives_cap, memory)
    image_losses = losses[:, 0] if anchors == "one" else tf.reduce_mean(losses, axis=1)
    return in_type_of(image_losses, temperature) * image_losses if scale_by_temperature else image_losses


def losses_of_views(
    labels: tf.Tensor,
    projections: tf.Tensor,
    temperature: Union[float, tf.Tensor],
    summation: str = "out",
    denominator: str = "all",
    positives_cap: Optional[int] = None,
    memory: Optional[Memory] = None,
) -> tf.Tensor:
    """Returns L_i of each view as the anchor i, `[batch, views]`, from `labels` `[batch]`; −1 is unlabelled."""
    batch, views, dim = tf.unstack(tf.shape(projections))
    z = contrasts = tf.reshape(projections, [batch * views, dim])
    positive, negative = masks(tf.convert_to_tensor(labels), views, positives_cap)  # P(i) and N(i)
    if memory is not None:
        anchor_labels = tf.repeat(tf.cast(labels, memory.labels.dtype), views)[:, tf.newaxis]
        same = (anchor_labels == memory.labels) & (memory.labels >= 0)
        positive = tf.concat([positive, same & memory.valid], axis=1)
        negative = tf.concat([negative, ~same & memory.valid], axis=1)
        contrasts = tf.concat([z, tf.where(memory.valid[:, tf.newaxis], memory.projections, 0)], axis=0)

    s = tf.matmul(z, contrasts, transpose_b=True) / in_type_of(z, temperature)
    log_denominator = {
        "all": log_sum(s, positive | negative),  # A(i)
        "only_negatives": log_sum(s, negative),  # N(i)
        "one_positive": tf.reduce_logsumexp(tf.stack([s, log_sum(s, negative) + tf.zeros_like(s)]), axis=0),  # N(i), p
    }[denominator]
    log_p = s - log_denominator
    number = tf.reduce_sum(tf.cast(positive, z.dtype), axis=1)  # |P(i)|
    at_least_1 = tf.maximum(number, 1)
    if summation == "out":  # Eq. 2
        losses = -tf.reduce_sum(tf.where(positive, log_p, 0), axis=1) / at_least_1
    else:  # Eq. 3
        losses = tf.math.log(at_least_1) - log_sum(log_p, positive)[:, 0]

    counted = number > 0  # without positives L_i is 0; so it is where 'only_negatives' finds none
    if denominator == "only_negatives":
        counted &= tf.reduce_any(negative, axis=1)
    return tf.reshape(tf.where(counted, losses, 0), [batch, views])


def mixed_supervised_contrastive_loss(
    labels: tf.Tensor,
    projections: tf.Tensor,
    temperature: Union[float, tf.Tensor] = 0.1,
    *,
    scale_by_temperature: bool = False,
    normalize: bool = True,
) -> tf.Tensor:
    """Returns the loss of each mixed image, `[batch]`, the mean over its views; `labels` y are `[batch, classes]`.

    >>> labels = tf.constant([[1.0, 0.0], [0.3, 0.7]])
    >>> print(mixed_supervised_contrastive_loss(labels, tf.ones([2, 2, 4])).numpy().round(4))
    [1.0986 1.0986]
    """
    batch, views, dim = tf.unstack(tf.shape(projections))
    z = tf.reshape(tf.math.l2_normalize(projections, axis=-1) if normalize else projections, [batch * views, dim])
    y = tf.repeat(tf.cast(labels, z.dtype), views, axis=0)  # of each view
    s = tf.matmul(z, z, transpose_b=True) / in_type_of(z, temperature)
    others = ~tf.eye(batch * views, dtype=tf.bool)  # A(i)
    w = tf.where(others, tf.matmul(y, y, transpose_b=True), 0)  # w_ij = y_i·y_j
    mean = tf.math.divide_no_nan(tf.reduce_sum(w * s, axis=1), tf.reduce_sum(w, axis=1))
    losses = tf.reduce_sum(y, axis=1) * (log_sum(s, others)[:, 0] - mean)  # a label may sum to less than 1
    image_losses = tf.reduce_mean(tf.reshape(losses, [batch, views]), axis=1)
    return in_type_of(image_losses, temperature) * image_losses if scale_by_temperature else image_losses


def masks(labels: tf.Tensor, views: tf.Tensor, positives_cap: Optional[int]) -> Tuple[tf.Tensor, tf.Tensor]:
    """Tells which of all views j are in P(i), and which in N(i): two bool matrices."""
    image = tf.range(tf.size(labels))
    itself = image[:, tf.newaxis] == image
    same = itself | ((labels[:, tf.newaxis] == labels) & (labels >= 0))  # an unlabelled image is alone in its class
    served = same
    if positives_cap is not None:  # image b serves a if (b − a) mod n ≤ cap, by their ranks in their class of n
        rank = tf.reduce_sum(tf.cast(same & (image < image[:, tf.newaxis]), tf.int32), axis=1)
        n = tf.reduce_sum(tf.cast(same, tf.int32), axis=1, keepdims=True)
        served = same & ((rank - rank[:, tf.newaxis]) % n <= positives_cap)

    def by_view(mask: tf.Tensor) -> tf.Tensor:
        return tf.repeat(tf.repeat(mask, views, axis=0), views, axis=1)

    view = tf.range(tf.size(labels) * views)
    return by_view(served) & (view[:, tf.newaxis] != view), by_view(~same)


def in_type_of(x: tf.Tensor, temperature: Union[float, tf.Tensor]) -> tf.Tensor:
    """Returns τ in the type of `x`. `tf.cast` would round a number to float32 first."""
    return tf.cast(temperature, x.dtype) if tf.is_tensor(temperature) else tf.constant(temperature, x.dtype)


def log_sum(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns log Σ exp x over the masked entries of each row, `[rows, 1]`."""
    return tf.reduce_logsumexp(tf.where(mask, x, LOWEST), axis=1, keepdims=True)
