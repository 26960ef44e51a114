import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.addons import tensorflow_addons
from supcon_tf.errors import ArgumentError
from supcon_tf.optimizers import LAMB, LARS, OPTIMIZERS, AdamW, make_optimizer

DECAYING = [name for name, optimizer in OPTIMIZERS.items() if optimizer.decays]


def constant(rate):
    return keras.optimizers.schedules.PolynomialDecay(rate, 1, rate)


def updated(name, variable, gradients, **options):
    optimizer = make_optimizer(name, constant(0.1), **options)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


def test_momentum_and_nesterov_keep_the_rate_outside_the_velocity():
    rates, gradients = [1.0, 0.5, 0.1], [1.0, 2.0, -1.0]
    for name in ("sgd", "nesterov"):
        weight, velocity = 1.0, 0.0
        for rate, gradient in zip(rates, gradients):
            velocity = 0.8 * velocity + gradient
            weight -= rate * (gradient + 0.8 * velocity if name == "nesterov" else velocity)
        variable = tf.Variable(1.0)
        optimizer = make_optimizer(name, keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], rates), momentum=0.8)
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        np.testing.assert_allclose(variable, weight, rtol=1e-6)


def test_at_a_constant_rate_momentum_equals_that_of_keras():
    gradients = [[0.3, -1.0], [2.0, 0.1], [-0.4, 0.5]]
    for name in ("sgd", "nesterov"):
        variable = tf.Variable([1.0, 2.0])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=name == "nesterov")
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        np.testing.assert_allclose(updated(name, tf.Variable([1.0, 2.0]), gradients), variable, rtol=1e-6)


def test_rmsprop_equals_that_of_tensorflow_1():
    gradients = [[0.3, -1.0], [2.0, 0.1], [-0.4, 0.5]]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weight = tf.compat.v1.get_variable("weight", initializer=[1.0, 2.0])
        fed = tf.compat.v1.placeholder(tf.float32, [2])
        optimizer = tf.compat.v1.train.RMSPropOptimizer(0.1, decay=0.9, momentum=0.8, epsilon=0.001)
        step = optimizer.apply_gradients([(fed, weight)])
        session.run(tf.compat.v1.global_variables_initializer())
        for gradient in gradients:
            session.run(step, {fed: gradient})
        expected = session.run(weight)
    got = updated("rmsprop", tf.Variable([1.0, 2.0]), gradients, momentum=0.8)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("name", DECAYING)
def test_undecayed_weights_do_not_decay(name, told):
    def ends(decay):
        scale = tf.Variable([3.0, -1.0], name="layer/scale")
        other = tf.Variable([3.0, -1.0], name="another_layer/scale")  # its name ends like the first one's
        optimizer = make_optimizer(name, constant(0.1), weight_decay=decay, undecayed=[scale] if told else [])
        optimizer.apply_gradients([(tf.constant([0.5, 0.1]), weight) for weight in (scale, other)])
        return [scale.numpy(), other.numpy()]

    decayed = [bool(np.any(a != b)) for a, b in zip(ends(0.0), ends(0.5))]
    assert decayed == [not told, True]


@pytest.mark.parametrize("name", DECAYING)
def test_a_weight_with_the_same_name_as_an_undecayed_one_decays(name):
    spared, twin = tf.Variable([3.0, -1.0], name="scale"), tf.Variable([3.0, -1.0], name="scale")
    optimizer = make_optimizer(name, constant(0.1), weight_decay=0.5, undecayed=[spared])
    optimizer.apply_gradients([(tf.constant([0.0, 0.0]), weight) for weight in (spared, twin)])
    np.testing.assert_array_equal(spared, [3.0, -1.0])
    assert np.all(spared.numpy() != twin.numpy())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "lars" else pytest.mark.slow) for name in DECAYING]
)
def test_a_saved_model_keeps_which_weights_do_not_decay_and_all_slots(name, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 3)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    layers = [keras.layers.Dense(4, name="a"), keras.layers.LayerNormalization(name="b"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input([3]), *layers])
    spared = layers[1].trainable_weights
    model.compile(make_optimizer(name, constant(0.1), weight_decay=0.5, undecayed=spared, unadapted=spared), "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for later in (model, loaded):
        later.fit(x, y, epochs=3, shuffle=False, verbose=0)
    for weight, expected in zip(loaded.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(weight, expected)
    for slot, expected in zip(loaded.optimizer.variables, model.optimizer.variables):
        np.testing.assert_array_equal(slot, expected)


@pytest.mark.parametrize("name", DECAYING)
def test_positions_among_other_weights_are_rejected(name):
    def weights(*shapes):
        return [tf.Variable(tf.ones(shape), name=f"w{number}") for number, shape in enumerate(shapes)]

    optimizer = make_optimizer(name, constant(0.1), weight_decay=0.5, undecayed=["w1"])
    optimizer.build(weights([2, 3], [3], [4]))
    again = type(optimizer).from_config(optimizer.get_config())
    again.build(weights([2, 3], [3], [4]))
    assert again.get_config()["exclude_from_weight_decay"] == [1]
    for shapes, problem in (
        (([2, 3], [3]), "among 3 weights, but 2 are trained"),
        (([2, 3], [4], [3]), r"weight 1 had \(3,\), now \(4,\)"),
    ):
        with pytest.raises(ArgumentError, match=rf"^exclude_from_weight_decay=\[1\]: .*{problem}"):
            type(optimizer).from_config(again.get_config()).build(weights(*shapes))


@pytest.mark.parametrize("name", DECAYING)
def test_settings_without_chosen_weights_serve_any_weights(name):
    optimizer = make_optimizer(name, constant(0.1), weight_decay=0.5)
    optimizer.build([tf.Variable([1.0, 2.0], name="kernel"), tf.Variable([1.0], name="bias")])
    type(optimizer).from_config(optimizer.get_config()).build([tf.Variable([1.0], name="bias")])


@pytest.mark.skipif(tensorflow_addons() is None, reason="needs TensorFlow Addons")
def test_lamb_equals_that_of_tensorflow_addons():
    rng = np.random.default_rng(0)
    starts = {"kernel": rng.normal(size=(4, 3)), "scale": np.ones(3), "dense/bias": np.zeros(3), "zero": np.zeros(2)}
    gradients = [[rng.normal(size=start.shape) for start in starts.values()] for _ in range(20)]
    ends = []
    for addons in (False, True):
        weights = [tf.Variable(start, dtype=tf.float64, name=name) for name, start in starts.items()]
        if addons:
            excluded = ["bias", "scale"]
            optimizer = tensorflow_addons().optimizers.LAMB(0.1, weight_decay=0.2, exclude_from_weight_decay=excluded)
        else:
            optimizer = make_optimizer("lamb", constant(0.1), weight_decay=0.2, undecayed=[weights[1]])
        for step_gradients in gradients:
            optimizer.apply_gradients(zip(map(tf.constant, step_gradients), weights))
        ends.append([weight.numpy() for weight in weights])
    for got, expected in zip(*ends):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-9)  # there β₂ = 0.999 has 7 digits


def test_lamb_follows_its_equations_in_float64():
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=(4, 3)), rng.normal(size=(8, 4, 3))
    weight, m, v = start.copy(), np.zeros((4, 3)), np.zeros((4, 3))
    for step, gradient in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        update = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-6) + 0.2 * weight
        weight = weight - 0.125 * np.linalg.norm(weight) / np.linalg.norm(update) * update
    variable, optimizer = tf.Variable(start), make_optimizer("lamb", constant(0.125), weight_decay=0.2)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    np.testing.assert_allclose(variable, weight, rtol=1e-12)


@pytest.mark.parametrize("name", DECAYING)
def test_a_choice_that_is_none_of_the_weights_is_rejected(name):
    make = {"lars": LARS, "adamw": AdamW, "lamb": LAMB}[name]
    for choice in ("kernal", 3):
        with pytest.raises(ArgumentError, match=f"exclude_from_weight_decay={choice!r}: is none of the 1 weights"):
            make(exclude_from_weight_decay=[choice]).build([tf.Variable(1.0, name="kernel")])
    with pytest.raises(ArgumentError, match="exclude_from_weight_decay='kernel:0': is none of the 1 weights"):
        other = tf.Variable(1.0, name="kernel")
        make(exclude_from_weight_decay=[other]).build([tf.Variable(1.0, name="kernel")])
    make(exclude_from_weight_decay=["kernel"]).build([tf.Variable(1.0, name="kernel")])


@pytest.mark.parametrize("name", ("adamw", "lamb"))
def test_adamw_and_lamb_never_decay_biases(name):
    ends = [updated(name, tf.Variable([3.0], name="dense/bias"), [[0.5]], weight_decay=decay) for decay in (0.0, 0.5)]
    np.testing.assert_array_equal(*ends)


def test_lars_scales_the_rate_except_for_unadapted_weights():
    for told in (False, True):
        variable = tf.Variable([3.0, -4.0], name="kernel")
        optimizer = make_optimizer("lars", constant(1.0), unadapted=[variable] if told else [])
        optimizer.apply_gradients([(tf.constant([0.0, 10.0]), variable)])
        np.testing.assert_allclose(variable, [3.0, -14.0 if told else -4.005], rtol=1e-6)


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_gradients_are_clipped_by_their_common_norm(name):
    for clip, lengths in ((None, (30.0, 40.0)), (1.0, (0.6, 0.8))):
        variables = [tf.Variable([1.0, 1.0]), tf.Variable([1.0])]
        optimizer = make_optimizer(name, constant(0.01), clip_norm=clip)
        optimizer.apply_gradients([(tf.constant([30.0, 0.0]), variables[0]), (tf.constant([40.0]), variables[1])])
        same = [tf.Variable([1.0, 1.0]), tf.Variable([1.0])]
        optimizer = make_optimizer(name, constant(0.01))
        optimizer.apply_gradients([(tf.constant([lengths[0], 0.0]), same[0]), (tf.constant([lengths[1]]), same[1])])
        for variable, expected in zip(variables, same):
            np.testing.assert_allclose(variable, expected, rtol=1e-5)


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_every_name_goes_downhill(name):
    variable = tf.Variable([2.0, -3.0])
    optimizer = make_optimizer(name, constant(0.01), weight_decay=0.01)
    for _ in range(20):
        optimizer.apply_gradients([(2 * variable, variable)])
    assert np.all(np.abs(variable.numpy()) < [2.0, 3.0])


def test_every_choice_of_the_option_is_an_optimizer():
    assert tuple(OPTIMIZERS) == config.OPTIMIZERS


def test_an_unknown_name_is_rejected():
    with pytest.raises(ArgumentError, match="^name='larz': must be one of sgd, .*; did you mean lars?"):
        make_optimizer("larz", constant(0.1))


def test_optimizers_that_decay_by_themselves_are_marked():
    decays = []
    for name in config.OPTIMIZERS:
        got = [
            updated(name, tf.Variable([3.0, -1.0], name="kernel"), [[0.5, 0.1]], weight_decay=decay)
            for decay in (0, 0.5)
        ]
        decays += [name] if np.any(got[0] != got[1]) else []
    assert decays == [name for name, optimizer in OPTIMIZERS.items() if optimizer.decays]
