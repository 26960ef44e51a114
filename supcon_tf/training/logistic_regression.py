"""Trains a linear classifier on frozen embeddings by L-BFGS: to the optimum, in seconds, without a learning rate."""

import warnings
from typing import Optional, Tuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

INVERSE_REGULARIZATION = 10.0  # C of the objective C·Σ cross-entropy + ½‖W‖², where no weight decay is given
MAX_ITERATIONS = 1000
UNSEEN = 20.0  # how far the bias of a class without images lies below the least of the others, in nats


def fit_classifier(
    embeddings: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    weight_decay: float = 0.0,
    class_weights: Optional[np.ndarray] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """Minimises mean cross-entropy + λ/2·‖W‖² over kernel W and bias b; the bias is not regularised.

    >>> vectors, labels = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> kernel, bias = fit_classifier(vectors, labels, num_classes=3)
    >>> np.argmax(vectors @ kernel + bias, axis=1).tolist()
    [0, 0, 1]

    Args:
      embeddings: `[images, dim]`.
      labels: `[images]` class numbers.
      num_classes: number of classes. One without images gets a low bias and a kernel of zeros.
      weight_decay: λ; with 0, λ = 1 / (C · images) for C = `INVERSE_REGULARIZATION`.
      class_weights: weight of the cross-entropy of each class's images, `[num_classes]`; None for 1.

    Returns:
      W `[dim, num_classes]` and b `[num_classes]`, float32, with logits = embeddings · W + b.
    """
    kernel = np.zeros([embeddings.shape[1], num_classes])
    present = np.unique(labels)
    bias = np.zeros(num_classes)
    if len(present) > 1:
        strength = 1 / (weight_decay * len(labels)) if weight_decay else INVERSE_REGULARIZATION
        solver = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change nothing that is seen
            weights = None if class_weights is None else class_weights[labels]
            solver.fit(embeddings.astype(np.float64), labels, sample_weight=weights)
        weights, intercept = solver.coef_, solver.intercept_
        if len(present) == 2:  # one logit, of the second class against the first
            weights, intercept = np.concatenate([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2
        kernel[:, present], bias[present] = weights.T, intercept
    bias[np.setdiff1d(np.arange(num_classes), present)] = bias[present].min() - UNSEEN
    return kernel.astype(np.float32), bias.astype(np.float32)
