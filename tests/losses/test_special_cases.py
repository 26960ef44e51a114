"""The losses that Khosla et al. (2020) derive from theirs, and what they say of its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.addons import npairs_loss, tensorflow_addons
from supcon_tf.losses import NTXentLoss, SupConLoss
from tests.losses import oracle


def unit_vectors(seed, *shape):
    return oracle.normalized(np.random.default_rng(seed).normal(size=shape))


def triplets(seed, number):
    """Makes anchors, positives and negatives, `[number, 3, 6]`, and squared distances to the last two."""
    points = unit_vectors(seed, number, 3, 6)
    to_positive, to_negative = (((points[:, 0] - points[:, k]) ** 2).sum(-1) for k in (1, 2))
    return points, to_positive, to_negative


def triplet_values(temperature, points):
    """Returns L_i of the anchor, the positive and the negative of each triplet, one view each."""
    loss = SupConLoss(temperature, normalize=False)
    call = tf.function(lambda triplet: loss.call(tf.constant([0, 0, 1]), triplet))
    return np.stack([call(tf.constant(triplet, tf.float32)) for triplet in points])


# The supplementary material of the paper, "Triplet loss is a special case": with one positive and one negative,
#
#   L = log(1 + exp x) ≈ exp x ≈ 1 + x ∝ ‖a − p‖² − ‖a − n‖² + 2τ,    x = (a·n − a·p)/τ = (‖a − p‖² − ‖a − n‖²)/(2τ)
#
# The first ≈ is for x far below 0, the second for x near 0, where L is log 2 + x/2 to first order. So what is tested is
# the equality, each ≈ where it holds, and that the expansion at x = 0 is a triplet loss, with margin 4τ log 2.
def test_one_positive_and_one_negative_give_the_smooth_triplet_loss():
    points, to_positive, to_negative = triplets(1, 6)
    for temperature in (0.05, 0.5, 2.0):
        similarity = np.einsum("td,tkd->tk", points[:, 0], points)
        by_similarity = np.logaddexp(0.0, (similarity[:, 2] - similarity[:, 1]) / temperature)
        by_distance = np.logaddexp(0.0, (to_positive - to_negative) / (2 * temperature))
        found = triplet_values(temperature, points)[:, 0]
        for expected in (by_similarity, by_distance):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-7 / temperature)


def test_to_first_order_it_is_proportional_to_the_difference_of_squared_distances_and_a_margin():
    points, to_positive, to_negative = triplets(2, 6)
    temperature = 20.0
    x = (to_positive - to_negative) / (2 * temperature)
    triplet_loss = to_positive - to_negative + 4 * temperature * np.log(2)
    error = np.abs(triplet_values(temperature, points)[:, 0] - triplet_loss / (4 * temperature))
    assert (error <= x**2 / 8 + 1e-6).all()


def test_far_negatives_leave_the_exponential_of_the_difference():
    points, _, _ = triplets(3, 4)
    points[:, 1] = oracle.normalized(points[:, 0] + 0.3 * points[:, 1])
    points[:, 2] = oracle.normalized(points[:, 2] - 2.0 * points[:, 0])
    similarity = np.einsum("td,tkd->tk", points[:, 0], points)
    x = (similarity[:, 2] - similarity[:, 1]) / 0.25
    assert x.max() < -4
    np.testing.assert_allclose(triplet_values(0.25, points)[:, 0], np.exp(x), rtol=np.exp(x.max()), atol=1e-6)


@pytest.mark.skipif(tensorflow_addons() is None, reason="needs TensorFlow Addons")
def test_with_temperature_one_half_it_is_the_soft_triplet_loss_of_tensorflow_addons():
    points, _, _ = triplets(4, 4)
    ours = triplet_values(0.5, points)
    for triplet, losses in zip(points, ours):
        theirs = tensorflow_addons().losses.triplet_hard_loss(
            tf.constant([0, 0, 1]), tf.constant(triplet, tf.float32), soft=True, distance_metric="squared-L2"
        )
        # Theirs takes the negative, which is alone in its class, for a positive at distance 0 from itself.
        alone = np.log1p(np.exp(-min(((triplet[:2] - triplet[2]) ** 2).sum(-1))))
        np.testing.assert_allclose(losses[0] + losses[1], 3 * theirs - alone, rtol=1e-5)
        assert losses[2] == 0


def test_an_anchor_against_one_positive_of_each_class_has_the_n_pairs_loss():
    rng = np.random.default_rng(5)
    pairs, dim = 6, 4
    anchors, positives = rng.normal(size=(2, pairs, dim)).astype(np.float32)
    loss = SupConLoss(1.0, normalize=False)
    call = tf.function(lambda label, points: loss.call(tf.concat([[label], tf.range(pairs)], 0), points)[0])
    ours = [call(tf.constant(i), tf.concat([anchors[i : i + 1], positives], 0)) for i in range(pairs)]
    theirs = npairs_loss(tf.range(pairs), tf.constant(anchors @ positives.T))
    np.testing.assert_allclose(np.mean(ours), theirs, rtol=1e-5)


TEMPERATURE, LENGTH = 0.1, 3.0


def anchor_gradient(others, labels):
    """Returns ∂L_a/∂w of an anchor w = 3·e₁, z·z_j, and the softmax over the others."""
    w = np.zeros([1, 1, others.shape[1]], np.float32)
    w[..., 0] = LENGTH
    w = tf.constant(w)
    rest = tf.constant(others[:, np.newaxis], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(w)
        loss = SupConLoss(TEMPERATURE).call(tf.constant([0, *labels]), tf.concat([w, rest], 0))[0]
    similarity = others[:, 0]
    probability = np.exp(similarity / TEMPERATURE)
    return tape.gradient(loss, w)[0, 0].numpy(), similarity, probability / probability.sum()


def at_angle(angle, dim=4):
    vector = np.zeros(dim)
    vector[:2] = np.cos(angle), np.sin(angle)
    return vector


def gradients_at(angles, labels):
    """Returns the gradient at one other at each angle to the anchor, in the plane of e₁ and e₂; one of the other class
    lies along e₃.
    """
    norms = []
    for angle in angles:
        others = np.stack([at_angle(angle), np.eye(4)[2]])
        gradient, similarity, probability = anchor_gradient(others, labels)
        # Khosla et al., Eqs. 5 and 6: ∂L/∂w = Σ_j (z_j − (z·z_j) z)(P_j − X_j)/(τ‖w‖), X_j being 1/|P| of positives.
        tangential = others - similarity[:, np.newaxis] * np.eye(4)[0]
        excess = probability - (np.array(labels) == 0)
        expected = (excess[:, np.newaxis] * tangential).sum(0) / (TEMPERATURE * LENGTH)
        np.testing.assert_allclose(gradient, expected, atol=1e-5)
        norms.append(abs(gradient[1]))  # the other one's part lies along e₃
    return np.array(norms)


@pytest.mark.parametrize(
    ("labels", "easy", "hard"), [((0, 1), 0.0, np.pi / 2), ((1, 0), np.pi, np.pi / 2)], ids=["positive", "negative"]
)
def test_the_harder_a_pair_the_larger_its_gradient(labels, easy, hard):
    norms = gradients_at(np.linspace(easy, hard, 9), labels)
    assert (np.diff(norms) > 0).all()
    assert norms[0] < 1e-6
    np.testing.assert_allclose(norms[-1], 0.5 / (TEMPERATURE * LENGTH), rtol=1e-4)  # of two alike, each has half
    assert norms[1] < 0.01 * norms[-1]


def test_without_labels_it_is_the_loss_of_simclr():
    projections = tf.constant(np.random.default_rng(7).normal(size=[7, 2, 5]), tf.float32)
    expected = NTXentLoss(0.2).call(tf.constant([0, 0, 1, 1, 2, 2, 2]), projections)
    for labels in (tf.fill([7], -1), tf.range(7), tf.constant([6, 3, 4, 0, 1, 5, 2])):
        np.testing.assert_allclose(SupConLoss(0.2).call(labels, projections), expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_summation_inside_gives_at_most_what_summation_outside_does(temperature):
    """Jensen's inequality, for every anchor (Khosla et al., Sec. 3.2.2)."""
    rng = np.random.default_rng(8)
    projections = tf.constant(rng.normal(size=[12, 1, 5]), tf.float32)
    labels = tf.constant([0, 0, 0, 0, 1, 1, 1, 2, 2, 3, -1, -1])
    outside, inside = (SupConLoss(temperature, summation=s).call(labels, projections).numpy() for s in ("out", "in"))
    assert (inside <= outside + 1e-5).all()
    assert (inside[:7] < outside[:7] - 1e-4).all()  # strictly, with positives at different distances
    np.testing.assert_allclose(inside[7:], outside[7:], rtol=1e-5)  # one positive, or none
