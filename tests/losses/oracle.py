"""The equations of the paper for the tests to compare with: float64 NumPy, one loop per sum, and dense TensorFlow."""

import numpy as np
import tensorflow as tf


def contrastive(projections, labels, temperature, summation="out", denominator="all", positives_cap=None, memory=None):
    """L_i of Khosla et al. (2020), Eq. 2 ('out') or Eq. 3 ('in'), of every anchor.

    Args:
      projections: `[batch, views, dim]`, used as they are.
      labels: `[batch]`, −1 for unlabelled.
      temperature: τ.
      summation, denominator, positives_cap: as in `SupConLoss`.
      memory: projections `[size, dim]`, labels and valid, `[size]`, which every anchor is held against, too.

    Returns:
      `[batch, views]` float64.
    """
    batch, views, dim = projections.shape
    z = projections.astype(np.float64).reshape(batch * views, dim)
    image = np.repeat(np.arange(batch), views)
    losses = np.zeros(batch * views)
    for i in range(batch * views):
        positives, negatives = [], []
        for j in range(batch * views):
            if j == i:
                continue
            if not in_one_class(labels, image[i], image[j]):
                negatives.append(j)
            elif positives_cap is None or distance_in_class(labels, image[i], image[j]) <= positives_cap:
                positives.append(j)
        s = z @ z[i] / temperature
        for row, label, valid in zip(*(memory or ((), (), ()))):
            if valid:
                (positives if label == labels[image[i]] and label >= 0 else negatives).append(len(s))
                s = np.append(s, np.float64(row) @ z[i] / temperature)
        if not positives:
            continue
        probabilities = []  # logarithms of exp(s_ip) / Σ exp(s_ij)
        for p in positives:
            others = {"all": negatives + positives, "only_negatives": negatives, "one_positive": negatives + [p]}
            if others[denominator]:
                probabilities.append(s[p] - np.logaddexp.reduce(s[others[denominator]]))
        if probabilities and summation == "out":
            losses[i] = -np.mean(probabilities)
        elif probabilities:
            losses[i] = np.log(len(positives)) - np.logaddexp.reduce(probabilities)
    return losses.reshape(batch, views)


def in_one_class(labels, a, b):
    """Whether two images are of one class; an unlabelled image is alone in its class."""
    return a == b or (labels[a] == labels[b] and labels[a] != -1)


def distance_in_class(labels, a, b):
    """(b − a) mod n, with a and b the places of two images among the n images of their class."""
    members = [image for image in range(len(labels)) if in_one_class(labels, a, image)]
    return (members.index(b) - members.index(a)) % len(members)


def central_differences(function, x, step=1e-6):
    """∂function/∂x, for a scalar `function` of a float64 array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def dense(projections, labels, temperature, summation="out", denominator="all", positives_cap=None, memory=None):
    """The same in TensorFlow, float64, with matrices of all pairs, so that it can be differentiated."""
    batch, views = projections.shape[:2]
    z = tf.reshape(tf.cast(projections, tf.float64), [batch * views, -1])
    pairs = [(a, b) for a in range(batch) for b in range(batch)]
    same = np.reshape([in_one_class(labels, a, b) for a, b in pairs], [batch, batch])
    kept = same.copy()
    if positives_cap is not None:
        near = [in_one_class(labels, a, b) and distance_in_class(labels, a, b) <= positives_cap for a, b in pairs]
        kept = np.reshape(near, [batch, batch])
    by_view = np.ones([views, views], bool)
    positive = np.kron(kept, by_view) & ~np.eye(batch * views, dtype=bool)
    negative = np.kron(~same, by_view)
    contrasts = z
    if memory is not None:
        rows, of_rows, valid = map(np.asarray, memory)
        alike = (np.repeat(labels, views)[:, np.newaxis] == of_rows[valid]) & (of_rows[valid] >= 0)
        positive, negative = np.hstack([positive, alike]), np.hstack([negative, ~alike])
        contrasts = tf.concat([z, tf.constant(rows[valid], tf.float64)], axis=0)
    s = tf.matmul(z, contrasts, transpose_b=True) / tf.convert_to_tensor(temperature, tf.float64)

    def log_sum(mask):
        return tf.reduce_logsumexp(tf.where(mask, s, -1e30), axis=1, keepdims=True)

    below = {
        "all": log_sum(positive | negative),
        "only_negatives": log_sum(negative),
        "one_positive": tf.reduce_logsumexp(tf.stack([s, log_sum(negative) + tf.zeros_like(s)]), axis=0),
    }
    log_probability = s - below[denominator]
    number = np.maximum(positive.sum(1), 1)
    if summation == "out":
        losses = -tf.reduce_sum(tf.where(positive, log_probability, 0.0), axis=1) / number
    else:
        losses = np.log(number) - tf.reduce_logsumexp(tf.where(positive, log_probability, -1e30), axis=1)
    counted = positive.any(1) & (True if denominator == "one_positive" else (positive | negative).any(1))
    if denominator == "only_negatives":
        counted &= negative.any(1)
    return tf.reshape(tf.where(counted, losses, 0.0), [batch, views])


def normalized(x: np.ndarray) -> np.ndarray:
    """Rows of unit length, in float64."""
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
