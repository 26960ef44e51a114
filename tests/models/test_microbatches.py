"""A step in microbatches, against a step with the whole batch at once."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.losses import SupConLoss
from supcon_tf.models import ContrastiveModel, ProjectionHead
from supcon_tf.models.replay import make_replayable, replayed
from tests.models.tiny import tiny_encoder

SHAPE = (8, 8, 3)
IMAGES = 16


def plain_encoder():
    """Returns an encoder without batch normalisation, in which an embedding depends on its image alone."""
    images = keras.Input(SHAPE)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    for seed in (1, 2):
        initializer = keras.initializers.GlorotUniform(seed)
        x = keras.layers.Conv2D(6, 3, activation="relu", kernel_initializer=initializer)(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def norm_encoder(sync=False):
    return tiny_encoder(SHAPE, synchronized=sync)


def make_model(encoder, **options):
    return ContrastiveModel(encoder, ProjectionHead((12, 8)), num_classes=3, weight_decay=1e-3, **options)


def make_batch():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 200, size=(IMAGES, 2, 1, 1, 3))  # far apart, so that the projections are
    images = (colours + rng.integers(0, 56, size=(IMAGES, 2, *SHAPE))).astype(np.uint8)
    return images, rng.integers(-1, 3, size=IMAGES).astype(np.int32)


def step(make_encoder, order=slice(None), *, replicas=1, known=True, jit_compile=False, rate=10.0, **options):
    """Takes one step of SGD on the batch in this order; returns weights before and after, and the logs."""
    strategy = tf.distribute.get_strategy()
    if replicas > 1:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    with strategy.scope():
        model = make_model(make_encoder(), learned_temperature=0.2, **options)
        optimizer = keras.optimizers.SGD(rate)
        if keras.mixed_precision.global_policy().compute_dtype == "float16":
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer, dynamic=False, initial_scale=128)
        model.compile(optimizer, SupConLoss(model.temperature), jit_compile=jit_compile)
    before = model.get_weights()
    views, labels = make_batch()
    data = tf.data.Dataset.from_tensors((views[order], labels[order])).unbatch()
    logs = model.fit(data.batch(IMAGES, drop_remainder=known), verbose=0).history
    weights = [weight for weight in model.weights if "total" not in weight.name and "count" not in weight.name]
    names = [weight.name for weight in weights]
    return dict(enumerate(zip(names, before, [weight.numpy() for weight in weights]))), logs


def assert_same_step(found, expected, tolerance=1e-5):
    """Asserts equal steps, relative to the largest entry of each weight's step, and equal figures."""
    (found, found_logs), (expected, expected_logs) = found, expected
    assert found.keys() == expected.keys()
    moved = 0
    for index, (name, before, after) in expected.items():
        wanted = after - before
        got = found[index][2] - found[index][1]
        rounding = 2e-7 * np.abs(after).max()  # of the weights themselves
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max() + rounding, err_msg=name)
        moved += np.abs(wanted).max() > 1e-4
    assert moved > 5
    for name, values in expected_logs.items():
        np.testing.assert_allclose(found_logs[name], values, rtol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def whole():
    return step(plain_encoder)


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_gradient_is_that_of_the_whole_batch(size, whole):
    assert_same_step(step(plain_encoder, microbatch_size=size), whole)


@pytest.mark.parametrize("replicas", [1, 2])
def test_gradient_with_joint_cross_entropy_is_that_of_the_whole_batch(replicas):
    whole = step(plain_encoder, joint_ce=0.5)
    assert_same_step(step(plain_encoder, joint_ce=0.5, microbatch_size=4, replicas=replicas), whole)


def test_a_last_microbatch_may_be_smaller_where_the_batch_is_not_known_in_advance(whole):
    assert_same_step(step(plain_encoder, microbatch_size=5, known=False), whole)


@pytest.mark.slow
def test_gradient_is_that_of_the_whole_batch_under_xla(whole):
    assert_same_step(step(plain_encoder, microbatch_size=4, jit_compile=True), whole)


@pytest.mark.parametrize("replicas, size", [(2, 4), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_gradient_is_that_of_the_whole_batch_on_several_replicas(replicas, size, whole):
    assert_same_step(step(plain_encoder, microbatch_size=size, replicas=replicas), whole)


@pytest.fixture(scope="module")
def normalised():
    return step(norm_encoder, microbatch_size=4)


def test_with_batch_normalisation_statistics_are_those_of_a_microbatch(normalised):
    """The reference is one tape over all microbatches, each of which passes the encoder alone."""
    found, _ = normalised
    model = make_model(norm_encoder(), learned_temperature=0.2)
    views, labels = make_batch()
    before = model.get_weights()
    with tf.GradientTape() as tape:
        projections = tf.concat([model(views[k : k + 4], training=True) for k in range(0, IMAGES, 4)], axis=0)
        objective = SupConLoss(model.temperature)(labels, projections) + tf.add_n(model.losses)
    trained = model.encoder.trainable_variables + model.projection_head.trainable_variables
    gradients = {id(w): g.numpy() for w, g in zip(trained, tape.gradient(objective, trained))}
    compared = 0
    for index, weight in enumerate(model.weights):
        if id(weight) in gradients:
            name, start, end = found[index]
            np.testing.assert_array_equal(start, before[index])
            wanted = gradients[id(weight)]
            atol = 2e-5 * np.abs(wanted).max() + 1e-6
            np.testing.assert_allclose((start - end) / 10, wanted, rtol=0, atol=atol, err_msg=name)
            compared += 1
    assert compared == len(trained)


def test_moving_averages_move_once_by_the_mean_over_the_microbatches(normalised):
    found, _ = normalised
    views, _ = make_batch()
    ends = []
    for k in range(0, IMAGES, 4):
        model = make_model(norm_encoder(), learned_temperature=0.2)
        model(views[k : k + 4], training=True)
        ends.append(model.get_weights())
    averages = [index for index, weight in enumerate(model.weights) if "moving" in weight.name]
    assert len(averages) == 4
    for index in averages:
        wanted = np.mean([end[index] for end in ends], axis=0)
        np.testing.assert_allclose(found[index][2], wanted, rtol=1e-5, atol=1e-6, err_msg=found[index][0])


@pytest.mark.slow
def test_statistics_of_all_replicas_are_those_of_one_with_their_microbatches_together():
    # Two replicas have the first and the second half; one gets those of both halves that meet in a microbatch.
    meeting = np.arange(IMAGES).reshape(2, -1, 4).transpose(1, 0, 2).reshape(-1)
    one = step(lambda: norm_encoder(sync=True), meeting, microbatch_size=8)
    two = step(lambda: norm_encoder(sync=True), microbatch_size=4, replicas=2)
    assert_same_step(two, one, tolerance=2e-4)


def test_a_size_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match="microbatch_size=5: must divide the batch of 16 images"):
        step(plain_encoder, microbatch_size=5)


@pytest.mark.slow
def test_mixed_precision_gives_nearly_the_same_step(whole):
    keras.mixed_precision.set_global_policy("mixed_float16")
    at_once, in_parts = step(plain_encoder), step(plain_encoder, microbatch_size=4)
    assert_same_step(in_parts, at_once, tolerance=2e-2)


def random_encoder():
    """Returns an encoder with dropout, noise, random flips, and stochastic depth as EfficientNet has it."""
    images = keras.Input(SHAPE)
    x = keras.layers.RandomFlip("horizontal")(images)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = keras.layers.Conv2D(6, 3, padding="same", kernel_initializer=keras.initializers.GlorotUniform(1))(x)
    residual = keras.layers.GaussianNoise(0.3)(x)
    residual = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1))(residual)
    x = keras.layers.Add()([x, residual])
    return keras.Model(images, keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x)))


def seed_of(k, iterations=0, replica=0):
    step = tf.random.experimental.stateless_fold_in(tf.constant([0, iterations]), replica)
    return lambda: tf.random.experimental.stateless_fold_in(step, k)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_random_layers_give_the_gradient_of_one_pass_with_the_same_numbers(jit_compile):
    found, _ = step(random_encoder, microbatch_size=4, jit_compile=jit_compile)
    model = make_model(random_encoder(), learned_temperature=0.2)
    make_replayable([model.encoder])
    views, labels = make_batch()

    trained = model.encoder.trainable_variables + model.projection_head.trainable_variables

    def projected(k):
        with replayed(seed_of(k)):
            return model(tf.constant(views[4 * k : 4 * k + 4]), training=True)

    @tf.function(jit_compile=jit_compile)  # XLA draws other numbers from a seed
    def gradients():
        with tf.GradientTape() as tape:
            projections = tf.concat([projected(k) for k in range(4)], axis=0)
            objective = SupConLoss(model.temperature)(labels, projections) + tf.add_n(model.losses)
        return tape.gradient(objective, trained)

    wanted = np.concatenate([gradient.numpy().ravel() for gradient in gradients()])
    places = {id(weight): index for index, weight in enumerate(model.weights)}
    moved = [found[places[id(weight)]] for weight in trained]
    got = np.concatenate([(before - after).ravel() / 10 for _, before, after in moved])
    assert got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted) > 1 - 1e-5
    np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())


def test_random_numbers_differ_between_microbatches_steps_and_replicas():
    model = make_model(random_encoder())
    make_replayable([model.encoder])
    views = tf.constant(make_batch()[0][:4])
    drawn = []
    for place in ((0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        with replayed(seed_of(*place)):
            drawn.append(model(views, training=True).numpy())
    np.testing.assert_array_equal(drawn[0], drawn[1])
    for k in range(1, 5):
        assert all(np.abs(drawn[k] - other).max() > 0.01 for other in drawn[k + 1 :])
    outside = [model(views, training=True).numpy() for _ in range(2)]
    assert np.abs(outside[0] - outside[1]).max() > 0.01


class OwnDropout(keras.layers.Layer):
    def call(self, x, training=False):
        return x * tf.round(tf.random.uniform(tf.shape(x))) if training else x


class OwnNoise(keras.layers.Layer):
    def call(self, x):
        noise = tf.numpy_function(lambda x: np.random.normal(size=x.shape).astype(np.float32), [x], tf.float32)
        return x + tf.reshape(noise, tf.shape(x))


class OwnPenalty(keras.layers.Layer):
    def call(self, x):
        self.add_loss(tf.reduce_mean(x))
        return x


class OwnCounter(keras.layers.Layer):
    def build(self, shape):
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return x * tf.random.stateless_uniform(tf.shape(x), tf.stack([1, tf.cast(self.calls, tf.int32)]))


class HalfOfThem:
    def __call__(self, x):
        return tf.nn.dropout(x, 0.5)


LAST_LAYERS = {
    "a counter": (OwnCounter(name="mine"), "changes its variable '.*calls:0' in a call"),
    "of the user": (OwnDropout(), "draws random numbers that cannot be drawn again"),
    "a function": (
        keras.layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x))),
        "draws random numbers that cannot be drawn again",
    ),
    "an activation": (
        keras.layers.Dense(4, activation=lambda x: tf.nn.dropout(x, 0.5)),
        "draws random numbers that cannot be drawn again",
    ),
    "an activation with its arguments": (
        keras.layers.Activation(functools.partial(tf.nn.dropout, rate=0.5)),
        "draws random numbers that cannot be drawn again",
    ),
    "an activation that is an object": (
        keras.layers.Activation(HalfOfThem()),
        "draws random numbers that cannot be drawn again",
    ),
    "Python code": (OwnNoise(), "draws random numbers that cannot be drawn again"),
    "a loss of a call": (OwnPenalty(name="mine"), "layer 'mine' adds a loss of its activations"),
    "a regulariser": (
        keras.layers.Dense(4, activity_regularizer="l2", name="last"),
        "layer 'last' adds a loss of its activations",
    ),
}


@pytest.mark.parametrize("kind", LAST_LAYERS)
def test_what_microbatches_would_get_wrong_is_refused(kind):
    layer, complaint = LAST_LAYERS[kind]
    encoder = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten(), layer])
    with pytest.raises(ArgumentError, match=f"^microbatch_size=4: .*{complaint}"):
        make_model(encoder, microbatch_size=4)


def test_a_layer_of_the_users_that_draws_nothing_trains_in_microbatches():
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    encoder = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten(), Twice(), keras.layers.Dropout(0.1)])
    model = make_model(encoder, microbatch_size=4)
    model.compile("sgd", SupConLoss())
    assert np.isfinite(model.train_on_batch(*make_batch(), return_dict=True)["loss"])
