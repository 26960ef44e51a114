"""Compares the streaming engine with the equations, for every variant, however the batch is cut into tiles."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.losses import reference
from supcon_tf.losses.engine import contrastive_losses
from supcon_tf.losses.variants import LossVariant
from tests.losses import oracle

VARIANTS = [
    LossVariant(positives_cap=0),
    *itertools.starmap(LossVariant, itertools.product(config.SUMMATIONS, config.DENOMINATORS, (None, 2))),
]
FEW = [LossVariant(), LossVariant("in"), LossVariant("out", "only_negatives"), LossVariant("in", "one_positive", 1)]
TWO = [FEW[0], FEW[3]]
# Every summation, denominator and cap but 0 once; the tests with these share their graphs.
FAST = [LossVariant(), LossVariant("in"), LossVariant("out", "only_negatives", 2), LossVariant("in", "one_positive", 2)]
DIM = 5
ANY_SIZE = [
    tf.TensorSpec([None, None, DIM]),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None, None]),
    tf.TensorSpec([]),
]


def named(variant):
    return "-".join(map(str, variant))


def slow_unless_fast(cases):
    """Marks the cases, which begin with a variant, as slow if it is not one of FAST."""
    return [pytest.param(*case, marks=() if case[0] in FAST else pytest.mark.slow) for case in cases]


def random_batch(seed, batch=9, views=2, classes=3, scale=1.0):
    rng = np.random.default_rng(seed)
    projections = scale * oracle.normalized(rng.normal(size=(batch, views, DIM)))
    return projections, rng.integers(-1, classes, size=batch), rng.random((batch, views)) / batch


def value_and_gradients(projections, labels, weights, temperature, variant, fixed=None, tile_size=4):
    """Returns L_i, and the gradients of Σ w_i L_i, with τ fixed while the graph is built, or as a tensor."""
    with tf.GradientTape() as tape:
        tape.watch([projections, temperature])
        losses = contrastive_losses(
            projections, labels, fixed or temperature, variant, unit_length=True, tile_size=tile_size
        )
        total = tf.reduce_sum(weights * losses)
    return losses, *tape.gradient(total, [projections, temperature], unconnected_gradients="zero")


def compiled(variant, fixed=None, tile_size=4):
    """Returns `value_and_gradients` as a graph for batches of any size, number of views and temperature."""
    return traced_once(variant, fixed, tile_size)


@functools.cache  # which takes arguments that are given by position, by name or by default for different ones
def traced_once(variant, fixed, tile_size):
    function = functools.partial(value_and_gradients, variant=variant, fixed=fixed, tile_size=tile_size)
    return tf.function(function, input_signature=ANY_SIZE)


def tensors(projections, labels, weights, temperature):
    return (
        tf.constant(projections, tf.float32),
        tf.constant(labels, tf.int32),
        tf.constant(weights, tf.float32),
        tf.constant(temperature, tf.float32),
    )


@pytest.mark.parametrize(("variant",), slow_unless_fast(zip(VARIANTS)), ids=named)
@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 9),
    views=st.integers(1, 3),
    classes=st.integers(1, 5),
    temperature=st.floats(0.01, 2.0),
)
def test_value_is_that_of_the_equation(variant, seed, batch, views, classes, temperature):
    projections, labels, weights = random_batch(seed, batch, views, classes)
    expected = oracle.contrastive(projections, labels, temperature, *variant)
    losses, _, _ = compiled(variant)(*tensors(projections, labels, weights, temperature))
    np.testing.assert_allclose(losses, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("variant", "fixed"),
    slow_unless_fast([*((variant, None) for variant in VARIANTS), *itertools.product(TWO, (0.3, 0.02))]),
    ids=str,
)
def test_gradients_equal_finite_differences_of_the_equation(variant, fixed):
    projections, labels, weights = random_batch(3)
    temperature = fixed or 0.3

    def total(z, tau):
        return np.sum(weights * oracle.contrastive(z, labels, float(tau), *variant))

    _, projections_gradient, temperature_gradient = compiled(variant, fixed)(
        *tensors(projections, labels, weights, temperature)
    )
    expected = oracle.central_differences(lambda z: total(z, temperature), projections)
    np.testing.assert_allclose(projections_gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    if fixed is None:
        expected = oracle.central_differences(lambda tau: total(projections, tau), np.array(temperature))
        np.testing.assert_allclose(temperature_gradient, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("variant", "tile_size"),
    [
        *slow_unless_fast([*((variant, 4) for variant in VARIANTS), *itertools.product(TWO, (31,))]),
        *(pytest.param(variant, 512, marks=pytest.mark.slow) for variant in TWO),  # all in one tile, as in a test below
    ],
    ids=str,
)
def test_gradients_equal_those_of_the_reference_for_any_tile(variant, tile_size):
    projections, labels, weights = random_batch(5, batch=37, views=2, classes=6)
    x, tau = tf.constant(projections), tf.constant(0.1, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([x, tau])
        losses = reference.losses_of_views(labels, x, tau, *variant)
        total = tf.reduce_sum(weights * losses)
    expected = tape.gradient(total, [x, tau])
    found = compiled(variant, tile_size=tile_size)(*tensors(projections, labels, weights, 0.1))
    np.testing.assert_allclose(found[0], losses, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], expected[0], atol=1e-6 * np.abs(expected[0]).max())
    np.testing.assert_allclose(found[2], expected[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("variant", "fixed"),
    [(TWO[0], None), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((TWO[1], None), (FEW[2], 0.02)))],
    ids=str,
)
def test_xla_eager_and_graphs_of_known_or_unknown_shape_agree(variant, fixed):
    batch = tensors(*random_batch(9), 0.1)
    function = functools.partial(value_and_gradients, variant=variant, fixed=fixed)
    expected = compiled(variant, fixed)(*batch)
    ways = {
        "eager": function,
        "static": tf.function(function),
        "xla, traced for any size": tf.function(function, jit_compile=True, input_signature=ANY_SIZE),
        "one tile": tf.function(functools.partial(function, tile_size=512)),
    }
    for name, way in ways.items():
        for ours, theirs in zip(way(*batch), expected):
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max(), err_msg=name)


def test_gradient_through_a_function_of_the_users_own():
    projections, labels, weights, temperature = tensors(*random_batch(11), 0.1)
    inner = tf.function(
        lambda z: contrastive_losses(z, labels, 0.1, LossVariant(), unit_length=True, tile_size=4), jit_compile=False
    )
    with tf.GradientTape() as tape:
        tape.watch(projections)
        total = tf.reduce_sum(weights * inner(projections))
    expected = compiled(LossVariant(), 0.1)(projections, labels, weights, temperature)[1]
    np.testing.assert_allclose(tape.gradient(total, projections), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kept_bytes", [pytest.param(0, marks=pytest.mark.slow), 4 * 16 * 7])
def test_tiles_that_are_not_kept_are_computed_again(kept_bytes, monkeypatch):
    batch = tensors(*random_batch(13), 0.1)
    for variant in (LossVariant(), LossVariant("in")):
        expected = compiled(variant, 0.1)(*batch)
        monkeypatch.setattr("supcon_tf.losses.tiles.KEPT_BYTES", kept_bytes)
        found = tf.function(functools.partial(value_and_gradients, variant=variant, fixed=0.1))(*batch)
        monkeypatch.undo()
        for ours, theirs in zip(found, expected):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def all_shapes(graph):
    """Returns the static shapes of everything that a graph and the functions that it calls compute."""
    definition = graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape if not shape.unknown_rank]


@pytest.mark.parametrize("variant", TWO, ids=named)
@pytest.mark.parametrize("fixed", [0.1, 0.01])
def test_nothing_in_the_graph_grows_with_the_square_of_the_batch(variant, fixed):
    rows, dim = 65_536, 128
    graph = (
        tf.function(functools.partial(value_and_gradients, variant=variant, fixed=fixed, tile_size=None))
        .get_concrete_function(
            tf.TensorSpec([rows // 2, 2, dim]),
            tf.TensorSpec([rows // 2], tf.int32),
            tf.TensorSpec([rows // 2, 2]),
            tf.TensorSpec([]),
        )
        .graph
    )
    sizes = [int(np.prod([axis.size for axis in shape.dim])) for shape in all_shapes(graph)]
    assert len(sizes) > 100
    assert max(sizes) <= rows * dim
