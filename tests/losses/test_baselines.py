import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import NPairsLoss, TripletLoss
from tests.losses import oracle


def random_batch(seed, batch=8, views=2, dim=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, views, dim)).astype(np.float32), rng.integers(-1, 3, size=batch)


def same_class(labels):
    return np.array([[oracle.in_one_class(labels, a, b) for b in range(len(labels))] for a in range(len(labels))])


def n_pairs(projections, labels, temperature):
    z = oracle.normalized(projections)
    s = z[:, 0] @ z[:, 1].T / temperature
    log_probability = s - np.logaddexp.reduce(s, axis=1, keepdims=True)
    same = same_class(labels)
    return -np.mean((same * log_probability).sum(1) / same.sum(1))


def soft_triplet(projections, labels):
    batch, views, dim = projections.shape
    z = oracle.normalized(projections).reshape(batch * views, dim)
    distance = np.linalg.norm(z[:, None] - z, axis=-1)
    same = np.kron(same_class(labels), np.ones((views, views), bool))
    hardest_positive = np.where(same, distance, 0).max(axis=1)
    hardest_negative = np.where(same, np.inf, distance).min(axis=1)
    return np.mean(np.log1p(np.exp(hardest_positive - hardest_negative)))


def test_n_pairs_is_what_its_equation_says():
    projections, labels = random_batch(0)
    ours = NPairsLoss(0.5)(tf.constant(labels), tf.constant(projections))
    np.testing.assert_allclose(ours, n_pairs(projections, labels, 0.5), rtol=1e-5)


def test_triplet_is_what_its_equation_says():
    projections, labels = random_batch(1)
    ours = TripletLoss()(tf.constant(labels), tf.constant(projections))
    np.testing.assert_allclose(ours, soft_triplet(projections, labels), rtol=1e-5)


def test_n_pairs_needs_two_views():
    with pytest.raises(ValueError, match=r"must be \[batch, 2, dim\]"):
        NPairsLoss()(tf.constant([0, 1]), tf.ones([2, 3, 4]))


def test_n_pairs_can_learn_its_temperature():
    projections, labels = random_batch(3)
    temperature = tf.Variable(0.5)
    loss = NPairsLoss(temperature)
    with tf.GradientTape() as tape:
        value = loss(tf.constant(labels), tf.constant(projections))
    expected = (n_pairs(projections, labels, 0.501) - n_pairs(projections, labels, 0.499)) / 0.002
    np.testing.assert_allclose(tape.gradient(value, temperature), expected, rtol=1e-3)
    assert loss.get_config()["temperature"] == 0.5


@pytest.mark.parametrize("loss", [NPairsLoss(0.5), TripletLoss()], ids=["npairs", "triplet"])
def test_two_replicas_have_the_loss_and_the_gradient_of_one(loss):
    projections, labels = random_batch(2)
    labels = tf.constant(labels, tf.int32)

    def value_and_gradient(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_mean(loss.call(y, x)) / tf.distribute.get_strategy().num_replicas_in_sync
        return value, tape.gradient(value, x)

    value, gradient = value_and_gradient(tf.constant(projections), labels)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    @tf.function
    def share():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return value_and_gradient(tf.constant(projections)[replica * 4 :][:4], labels[replica * 4 :][:4])

    values, gradients = (strategy.experimental_local_results(part) for part in strategy.run(share))
    np.testing.assert_allclose(sum(float(v) for v in values), value, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate(gradients), gradient, atol=1e-7)


@pytest.mark.parametrize("loss", [NPairsLoss(0.5, name="a"), TripletLoss(normalize=False, name="b")])
def test_config_gives_back_the_same_loss(loss):
    assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()
