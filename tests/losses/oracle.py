"""The equations of the paper, transcribed to float64 NumPy with one loop per sum, for the tests to compare with."""

import numpy as np


def supcon_out(projections: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """L_i of Khosla et al. (2020), Eq. 2, averaged over each image's views.

    Args:
      projections: `[batch, views, dim]`, used as they are.
      labels: `[batch]`, −1 for unlabelled.
      temperature: τ.

    Returns:
      `[batch]` float64.
    """
    batch, views, dim = projections.shape
    z = projections.astype(np.float64).reshape(batch * views, dim)
    image = np.repeat(np.arange(batch), views)
    losses = np.zeros(batch * views)
    for i in range(batch * views):
        others = [a for a in range(batch * views) if a != i]
        positives = [
            p
            for p in others
            if image[p] == image[i] or (labels[image[p]] == labels[image[i]] and labels[image[i]] != -1)
        ]
        if not positives:
            continue
        denominator = np.sum([np.exp(z[i] @ z[a] / temperature) for a in others])
        losses[i] = -np.mean([z[i] @ z[p] / temperature - np.log(denominator) for p in positives])
    return losses.reshape(batch, views).mean(axis=1)


def normalized(x: np.ndarray) -> np.ndarray:
    """Rows of unit length, in float64."""
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
