"""Writes the equations of the paper in float64 NumPy, one loop for each sum, for the tests to compare with."""

import numpy as np


def contrastive(projections, labels, temperature, summation="out", denominator="all", positives_cap=None, memory=None):
    """Returns L_i of Khosla et al. (2020), Eq. 2 ('out') or Eq. 3 ('in'), for every anchor.

    Args:
      projections: `[batch, views, dim]`, not normalised here.
      labels: `[batch]`, −1 for unlabelled.
      temperature: τ.
      summation, denominator, positives_cap: as in `SupConLoss`.
      memory: further contrasts: projections `[size, dim]`, labels and valid `[size]`.

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
    """Tells whether two images are of one class; an unlabelled image is alone in its class."""
    return a == b or (labels[a] == labels[b] and labels[a] != -1)


def distance_in_class(labels, a, b):
    """Returns (b − a) mod n, with a and b the places of two images among the n images of their class."""
    members = [image for image in range(len(labels)) if in_one_class(labels, a, image)]
    return (members.index(b) - members.index(a)) % len(members)


def central_differences(function, x, step=1e-6):
    """Returns ∂function/∂x for a scalar `function` of a float64 array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def normalized(x: np.ndarray) -> np.ndarray:
    """Scales rows to unit length, in float64."""
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
