import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.optimizers import LARS, WarmupThenDecay

SCHEDULE = WarmupThenDecay(2.0, 3, 20)


def transcribed(weight, gradients, rate, *, momentum=0.9, decay=0.0, trust=0.001, adapted=True):
    """Algorithm 1 of You et al. (2017) in float64, with the decay in the gradient and its norm."""
    weight = np.array(weight, np.float64)
    velocity = np.zeros_like(weight)
    for step, gradient in enumerate(gradients):
        gradient = gradient + decay * weight
        norms = np.linalg.norm(weight), np.linalg.norm(gradient)
        local = trust * norms[0] / norms[1] if adapted and min(norms) > 0 else 1.0
        velocity = momentum * velocity + rate(step) * local * gradient
        weight = weight - velocity
    return weight


def make_problem(seed=0, steps=6):
    rng = np.random.default_rng(seed)
    names = ("kernel", "bias", "gamma", "other")
    starts = [rng.normal(size=(4, 3)), np.zeros(3), np.ones(3), rng.normal(size=5)]
    gradients = [[rng.normal(size=start.shape) for start in starts] for _ in range(steps)]
    variables = [tf.Variable(start, dtype=tf.float32, name=name) for start, name in zip(starts, names)]
    return variables, starts, gradients


def make_optimizer():
    return LARS(
        SCHEDULE,
        momentum=0.8,
        weight_decay=0.1,
        trust_coefficient=0.01,
        exclude_from_weight_decay=["gamma:0", "other:0"],
        exclude_from_layer_adaptation=["gamma:0"],
    )


def apply(optimizer, gradients, variables):
    optimizer.apply_gradients([(tf.cast(g, tf.float32), v) for g, v in zip(gradients, variables)])


def expected(starts, gradients):
    rules = [{"decay": 0.1}, {"decay": 0.1}, {"adapted": False}, {}]
    return [
        transcribed(start, [step[i] for step in gradients], SCHEDULE_IN_FLOAT64, momentum=0.8, trust=0.01, **rules[i])
        for i, start in enumerate(starts)
    ]


def SCHEDULE_IN_FLOAT64(step):
    return 2.0 * step / 3 if step < 3 else 1.0 + np.cos(np.pi * (step - 3) / 17)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_follows_its_equations_for_each_kind_of_weight(jit_compile):
    variables, starts, gradients = make_problem()
    optimizer = make_optimizer()
    optimizer.build(variables)
    step = tf.function(lambda *step_gradients: apply(optimizer, step_gradients, variables), jit_compile=jit_compile)
    for step_gradients in gradients:
        step(*(tf.constant(g, tf.float32) for g in step_gradients))
    for variable, weight in zip(variables, expected(starts, gradients)):
        np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-5, atol=1e-6, err_msg=variable.name)


def test_a_gradient_of_zero_leaves_a_weight_that_does_not_decay():
    weight = tf.Variable([1.0, 2.0])
    LARS(0.1).apply_gradients([(tf.zeros(2), weight)])
    assert weight.numpy().tolist() == [1.0, 2.0]


def test_replicas_take_the_step_of_the_summed_gradient():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    _, starts, gradients = make_problem()
    with strategy.scope():
        optimizer = make_optimizer()
        names = ("kernel", "bias", "gamma", "other")
        variables = [tf.Variable(start, dtype=tf.float32, name=name) for start, name in zip(starts, names)]
        optimizer.build(variables)
    for step_gradients in gradients:
        strategy.run(
            lambda step_gradients=step_gradients: apply(optimizer, [0.5 * g for g in step_gradients], variables)
        )
    for variable, weight in zip(variables, expected(starts, gradients)):
        np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-5, atol=1e-6)


def test_a_loaded_optimizer_continues_from_its_state(tmp_path):
    def problem():
        dense = [keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(0)) for units in (3, 1)]
        model = keras.Sequential([dense[0], keras.layers.BatchNormalization(), dense[1]])
        model.build((None, 2))
        excluded = [weight.name for weight in model.layers[1].trainable_weights]
        model.compile(LARS(SCHEDULE, weight_decay=0.1, exclude_from_weight_decay=excluded), "mse")
        return model

    x = np.random.default_rng(0).normal(size=(8, 2))
    model = problem()
    model.fit(x, x[:, :1], epochs=5, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, LARS)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.fit(x, x[:, :1], epochs=3, batch_size=8, verbose=0)
    for weight, same in zip(loaded.get_weights(), model.get_weights()):
        np.testing.assert_allclose(weight, same, rtol=1e-5, atol=1e-6)


def test_float16_with_loss_scaling_takes_the_same_step():
    weight, other = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    scaled = keras.mixed_precision.LossScaleOptimizer(LARS(0.1), dynamic=False, initial_scale=128)
    LARS(0.1).apply_gradients([(tf.constant([0.5, -0.25]), weight)])
    gradients = scaled.get_unscaled_gradients([128 * tf.constant([0.5, -0.25])])
    scaled.apply_gradients(zip(gradients, [other]))
    np.testing.assert_array_equal(weight, other)
