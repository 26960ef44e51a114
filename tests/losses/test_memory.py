"""Tests the further contrasts from a memory, which every anchor is compared with in addition to the batch."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.losses import Memory, NTXentLoss, SupConLoss, reference
from tests.losses import oracle

VARIANTS = list(itertools.product(config.SUMMATIONS, config.DENOMINATORS))
FEW = [("out", "all"), ("in", "one_positive")]
FEW_FAST = [variant if variant in FEW else pytest.param(variant, marks=pytest.mark.slow) for variant in VARIANTS]
ONE_FAST = [FEW[0], pytest.param(FEW[1], marks=pytest.mark.slow)]
DIM = 5
ANY_SIZE = [
    tf.TensorSpec([None, None, DIM]),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None]),
    tf.TensorSpec([]),
    Memory(tf.TensorSpec([None, DIM]), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.bool)),
]


def random_batch(seed, batch=9, views=2, classes=3):
    rng = np.random.default_rng(seed)
    projections = oracle.normalized(rng.normal(size=(batch, views, DIM)))
    return projections, rng.integers(-1, classes, size=batch), rng.random(batch) / batch


def random_memory(seed, size=13, classes=3, valid=0.7):
    rng = np.random.default_rng(1000 + seed)
    projections = oracle.normalized(rng.normal(size=(size, DIM)))
    return Memory(projections, rng.integers(-1, classes, size=size), rng.random(size) < valid)


def tensors_of(memory):
    projections, labels, valid = memory
    return Memory(tf.constant(projections, tf.float32), tf.constant(labels, tf.int32), tf.constant(valid))


def exact(memory):
    """Casts a memory to the float64 of the reference."""
    return Memory(*map(tf.constant, memory))._replace(projections=tf.constant(memory.projections, tf.float64))


def tensors(projections, labels, weights, temperature, memory):
    given = (projections, tf.float32), (labels, tf.int32), (weights, tf.float32), (temperature, tf.float32)
    return (*(tf.constant(value, dtype) for value, dtype in given), tensors_of(memory))


def value_and_gradients(
    projections,
    labels,
    weights,
    temperature,
    memory,
    variant,
    fixed=None,
    normalize=False,
    tile_size=4,
    use_memory=True,
):
    """Returns each image's loss, and the gradients of their weighted sum; `fixed` is τ known at building time."""
    loss = SupConLoss(
        fixed or temperature,
        summation=variant[0],
        denominator=variant[1],
        normalize=normalize,
        tile_size=tile_size,
        memory=(lambda: memory) if use_memory else None,
    )
    with tf.GradientTape() as tape:
        tape.watch([projections, temperature])
        losses = loss.call(labels, projections)
        total = tf.reduce_sum(weights * losses)
    return losses, *tape.gradient(total, [projections, temperature], unconnected_gradients="zero")


@functools.cache
def compiled(variant, **options):
    """Compiles `value_and_gradients` for any sizes and temperature."""
    return tf.function(functools.partial(value_and_gradients, variant=variant, **options), input_signature=ANY_SIZE)


def expected_of(variant, projections, labels, weights, temperature, memory):
    """Returns losses and gradients of the reference in float64."""
    x, tau = tf.constant(projections, tf.float64), tf.constant(temperature, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([x, tau])
        losses = reference.supervised_contrastive_loss(
            labels, x, tau, summation=variant[0], denominator=variant[1], normalize=False, memory=exact(memory)
        )
        total = tf.reduce_sum(weights * losses)
    return losses, *tape.gradient(total, [x, tau])


def assert_equal(found, expected, error=1e-5, name=""):
    for ours, theirs in zip(found, expected):
        largest = max(np.abs(theirs).max(), 1e-3)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=error * largest, err_msg=name)


@pytest.mark.parametrize("variant", FEW_FAST, ids="-".join)
@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 9),
    views=st.integers(1, 3),
    classes=st.integers(1, 5),
    size=st.integers(1, 30),
    valid=st.sampled_from((0.0, 0.7, 1.0)),
    temperature=st.floats(0.01, 2.0),
)
def test_value_is_that_of_the_equation(variant, seed, batch, views, classes, size, valid, temperature):
    projections, labels, weights = random_batch(seed, batch, views, classes)
    memory = random_memory(seed, size, classes, valid)
    expected = oracle.contrastive(projections, labels, temperature, *variant, memory=memory).mean(axis=1)
    losses, _, _ = compiled(variant)(*tensors(projections, labels, weights, temperature, memory))
    np.testing.assert_allclose(losses, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("variant", FEW_FAST, ids="-".join)
def test_gradients_equal_finite_differences_of_the_equation(variant):
    projections, labels, weights = random_batch(3)
    memory = random_memory(3)

    def total(z, tau):
        return np.sum(weights * oracle.contrastive(z, labels, float(tau), *variant, memory=memory).mean(axis=1))

    _, projections_gradient, temperature_gradient = compiled(variant)(
        *tensors(projections, labels, weights, 0.3, memory)
    )
    expected = oracle.central_differences(lambda z: total(z, 0.3), projections)
    np.testing.assert_allclose(projections_gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    expected = oracle.central_differences(lambda tau: total(projections, tau), np.array(0.3))
    np.testing.assert_allclose(temperature_gradient, expected, rtol=1e-4)


@pytest.mark.slow
def test_xla_eager_and_graphs_of_known_or_unknown_shape_agree():
    variant = ("in", "one_positive")
    given = (*random_batch(9), 0.1, random_memory(9))
    expected = expected_of(variant, *given)
    function = functools.partial(value_and_gradients, variant=variant)
    ways = {
        "eager": function,
        "any size": compiled(variant),
        "static": tf.function(function),
        "xla, traced for any size": tf.function(function, jit_compile=True, input_signature=ANY_SIZE),
    }
    for name, way in ways.items():
        assert_equal(way(*tensors(*given)), expected, name=name)
    fixed = functools.partial(function, fixed=0.1, normalize=True)
    for name, way in {"fixed": tf.function(fixed), "fixed, xla": tf.function(fixed, jit_compile=True)}.items():
        np.testing.assert_allclose(way(*tensors(*given))[0], expected[0], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("variant", ONE_FAST, ids="-".join)
def test_float32_is_precise_to_its_rounding_in_a_large_memory(variant):
    projections, labels, weights = random_batch(11, batch=256, classes=20)
    memory = random_memory(11, size=2048, classes=20, valid=0.9)
    given = [np.float32(projections), labels, np.float32(weights), np.float32(0.1)]
    memory = memory._replace(projections=np.float32(memory.projections))
    expected = expected_of(variant, *given, memory)
    found = compiled(variant, tile_size=100)(*tensors(*given, memory))
    assert_equal(found[:2], expected[:2], error=2e-6)
    parts = np.abs(given[0] * expected[1]).sum() / 0.1  # whose sum the gradient of τ is, of either sign
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=4e-6 * parts)


@pytest.mark.slow  # tests/losses/test_engine.py has a fast one
@pytest.mark.parametrize("variant", FEW, ids="-".join)
def test_tiles_that_are_not_kept_are_computed_again(variant, monkeypatch):
    given = tensors(*random_batch(13), 0.1, random_memory(13))
    expected = compiled(variant)(*given)
    for kept_bytes in (0, 4 * 16 * 20):
        monkeypatch.setattr("supcon_tf.losses.tiles.KEPT_BYTES", kept_bytes)
        assert_equal(tf.function(functools.partial(value_and_gradients, variant=variant))(*given), expected, error=1e-6)


def test_the_memory_gets_no_gradient():
    projections, labels, _, _, memory = tensors(*random_batch(15), 0.1, random_memory(15))
    for way in (lambda f: f, tf.function):
        for variant in FEW:

            @way
            def gradients(variant=variant):
                with tf.GradientTape() as tape:
                    tape.watch([projections, memory.projections])
                    loss = SupConLoss(summation=variant[0], denominator=variant[1], memory=lambda: memory, tile_size=4)
                    total = loss(labels, projections)
                return tape.gradient(total, [projections, memory.projections])

            projections_gradient, memory_gradient = gradients()
            assert memory_gradient is None
            assert np.abs(projections_gradient).max() > 1e-3


@pytest.mark.parametrize("variant", FEW_FAST, ids="-".join)
def test_rows_that_are_not_valid_take_part_in_nothing(variant):
    batch, memory = (*random_batch(17), 0.1), random_memory(17)
    function = compiled(variant)
    only_valid = Memory(*(values[memory.valid] for values in memory))
    expected = function(*tensors(*batch, only_valid))
    assert 0 < len(only_valid.labels) < len(memory.labels)
    for filling in (0.0, -1.0, 1e30, np.inf, np.nan):
        projections = np.where(memory.valid[:, np.newaxis], memory.projections, filling)
        for label in (0, 1, -1):
            labels = np.where(memory.valid, memory.labels, label)
            found = function(*tensors(*batch, Memory(projections, labels, memory.valid)))
            assert_equal(found, expected, error=2e-6)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        *((variant, {}) for variant in FEW),  # the next test takes the same graphs
        pytest.param(FEW[0], {"fixed": 0.1}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_memory_without_a_valid_row_is_none(variant, options):
    given = tensors(*random_batch(19), 0.1, random_memory(19, valid=0.0))
    expected = compiled(variant, use_memory=False, **options)(*given)
    assert_equal(compiled(variant, **options)(*given), expected, error=1e-6)


def test_an_empty_memory_is_none():
    given = tensors(*random_batch(21), 0.1, random_memory(21, size=0))
    for variant in FEW:
        assert_equal(compiled(variant)(*given), compiled(variant, use_memory=False)(*given), error=1e-6)
        static = tf.function(functools.partial(value_and_gradients, variant=variant))
        assert_equal(static(*given), compiled(variant, use_memory=False)(*given), error=1e-6)


@pytest.mark.parametrize("variant", FEW_FAST, ids="-".join)
def test_projections_may_be_long_or_short_and_the_temperature_small(variant):
    projections, labels, weights = random_batch(23)
    memory = random_memory(23, size=20)
    labels[0] = memory.labels[0] = 7  # together alone in their class
    for batch_scale, memory_scale, temperature in (
        (30, 30, 0.1),
        (1, 300, 0.05),
        (300, 1, 0.05),
        (1, 1, 0.005),
        (0, 5, 1),
    ):
        given = [np.float32(batch_scale * projections), labels, np.float32(weights), np.float32(temperature)]
        long_memory = memory._replace(projections=np.float32(memory_scale * memory.projections))
        found = compiled(variant)(*tensors(*given, long_memory))
        for tensor in found:
            assert np.isfinite(tensor).all()
        assert_equal(found, expected_of(variant, *given, long_memory), error=3e-5)


@pytest.mark.parametrize("temperature", [0.1, pytest.param(0.01, marks=pytest.mark.slow)])
@pytest.mark.parametrize("variant", ONE_FAST, ids="-".join)
def test_the_memory_is_normalised_as_the_projections_are(variant, temperature):
    projections, labels, weights = random_batch(25)
    memory = random_memory(25)
    longer = memory._replace(projections=memory.projections * np.linspace(0.2, 50, len(memory.labels))[:, np.newaxis])
    found = compiled(variant, fixed=temperature, normalize=True)(*tensors(projections, labels, weights, 1.0, longer))
    expected = oracle.contrastive(projections, labels, temperature, *variant, memory=memory).mean(axis=1)
    np.testing.assert_allclose(found[0], expected, rtol=2e-5, atol=2e-5)
    assert np.isfinite(found[1]).all()


def test_one_anchor_is_the_first_view_against_all():
    projections, labels, _ = random_batch(27, views=3)
    memory = random_memory(27)
    loss = SupConLoss(0.2, anchors="one", memory=lambda: tensors_of(memory))
    expected = oracle.contrastive(projections, labels, 0.2, memory=memory)[:, 0]
    np.testing.assert_allclose(loss.call(tf.constant(labels), tf.constant(projections)), expected, rtol=1e-5)


def test_to_nt_xent_all_of_a_memory_are_negatives():
    projections, labels, _ = random_batch(29)
    memory = random_memory(29)
    ours = NTXentLoss(0.2, memory=lambda: tensors_of(memory)).call(tf.constant(labels), tf.constant(projections))
    unlabelled = memory._replace(labels=np.full_like(memory.labels, -1))
    expected = oracle.contrastive(projections, np.full_like(labels, -1), 0.2, memory=unlabelled).mean(axis=1)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_a_positive_in_the_memory_is_enough():
    projections, _, _ = random_batch(31, batch=2, views=1)
    memory = Memory(*(values[:2] for values in random_memory(31, valid=1.0)))._replace(labels=np.array([4, 5]))
    losses = SupConLoss(memory=lambda: tensors_of(memory)).call(tf.constant([4, 6]), tf.constant(projections))
    assert losses[0] > 0 and losses[1] == 0


def test_labels_of_the_memory_and_of_the_batch_may_be_of_different_types():
    projections, labels, _ = random_batch(33)
    memory = tensors_of(random_memory(33))
    far = 2**32

    def loss(scale, batch_scale, memory_scale):
        def scaled(values, dtype):
            values = tf.cast(values, dtype)
            return tf.where(values < 0, values, values * tf.cast(scale, dtype))

        with_labels = memory._replace(labels=scaled(memory.labels, memory_scale))
        return SupConLoss(memory=lambda: with_labels)(scaled(labels, batch_scale), tf.constant(projections))

    expected = loss(1, tf.int32, tf.int32)
    np.testing.assert_array_equal(loss(1, tf.int64, tf.int32), expected)
    np.testing.assert_array_equal(loss(1, tf.int32, tf.int64), expected)
    np.testing.assert_array_equal(loss(far, tf.int64, tf.int64), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_collapsed_loss_is_that_of_equal_projections_in_every_variant(variant):
    labels, projections = tf.constant([0, 0, 1, 2, -1]), tf.ones([5, 2, DIM])
    memory = Memory(tf.ones([6, DIM]), tf.constant([0, 1, -1, -1, 3, 0]), tf.constant([True] * 5 + [False]))
    for loss_class in (SupConLoss, NTXentLoss):
        loss = loss_class(0.1, summation=variant[0], denominator=variant[1], memory=lambda: memory)
        found = loss.diagnostics(labels, projections)["collapsed_loss"]
        np.testing.assert_allclose(found, loss(labels, projections), rtol=1e-5)


def test_diagnostics_count_the_valid_rows():
    labels, projections = tf.constant([0, 0, 1, 2, -1]), tf.ones([5, 1, DIM])
    memory = Memory(tf.ones([4, DIM]), tf.constant([1, 2, -1, 0]), tf.constant([True, False, True, True]))
    found = SupConLoss(memory=lambda: memory).diagnostics(labels, projections)
    np.testing.assert_allclose(found["images_with_classmates"], 3 / 4)
    np.testing.assert_allclose(found["anchors_with_positives"], 3 / 5)
    np.testing.assert_allclose(found["collapsed_loss"], np.log(4 + 3) * 3 / 5, rtol=1e-6)
    found = NTXentLoss(memory=lambda: memory).diagnostics(labels, projections)
    np.testing.assert_allclose(found["anchors_with_positives"], 0.0)


def test_what_does_not_fit_is_refused():
    memory, (projections, labels, _) = tensors_of(random_memory(35)), random_batch(35)
    with pytest.raises(ValueError, match="positives_cap=1: cannot be combined with a memory"):
        SupConLoss(positives_cap=1, memory=lambda: memory)
    with pytest.raises(ValueError, match="memory='Memory': must be a function"):
        SupConLoss(memory=memory)
    for other, message in (
        (memory._replace(projections=tf.ones([13, DIM + 1])), r"memory: its projections must be \[size, 5\]"),
        (memory._replace(labels=tf.zeros([12], tf.int32)), "labels: there are 12 for 13 images"),
        (memory._replace(valid=tf.ones([13])), "memory: its valid must be bool"),
        (memory._replace(valid=tf.ones([12], tf.bool)), "memory: its valid must be bool"),
    ):
        with pytest.raises(ValueError, match=message):
            SupConLoss(memory=lambda other=other: other)(tf.constant(labels), tf.constant(projections))


@pytest.mark.parametrize("loss_class", [SupConLoss, NTXentLoss])
def test_the_config_leaves_the_memory_out(loss_class):
    loss = loss_class(0.3, memory=lambda: tensors_of(random_memory(37)))
    assert loss.get_config() == loss_class(0.3).get_config()
    assert loss_class.from_config(loss.get_config()).memory is None


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow), {"run_eagerly": True}], ids=str
)
def test_a_model_sees_the_memory_as_it_is_at_each_step(options):
    projections, labels, _ = random_batch(39, batch=16, views=1)
    memory = random_memory(39, size=24, valid=0.0)
    held = Memory(*(tf.Variable(values, trainable=False) for values in tensors_of(memory)))
    model = keras.Sequential([keras.layers.Input([DIM]), keras.layers.Dense(DIM)])
    model.compile(keras.optimizers.SGD(0.1), SupConLoss(0.3, memory=lambda: held), **options)
    inputs = projections[:, 0].astype(np.float32)
    for valid in (memory.valid, ~memory.valid):
        held.valid.assign(valid)
        outputs = oracle.normalized(model.predict(inputs, verbose=0)[:, np.newaxis])
        expected = oracle.contrastive(outputs, labels, 0.3, memory=memory._replace(valid=valid)).mean()
        np.testing.assert_allclose(model.evaluate(inputs, labels, verbose=0), expected, rtol=1e-4)
        before = model.get_weights()[0]
        model.fit(inputs, labels, verbose=0)
        assert np.abs(model.get_weights()[0] - before).max() > 1e-5


@pytest.mark.parametrize("variant", FEW, ids="-".join)
def test_nothing_in_the_graph_grows_with_the_product_of_batch_and_memory(variant):
    rows, size = 8192, 65_536
    graph = (
        tf.function(functools.partial(value_and_gradients, variant=variant, tile_size=None))
        .get_concrete_function(
            tf.TensorSpec([rows // 2, 2, 128]),
            tf.TensorSpec([rows // 2], tf.int32),
            tf.TensorSpec([rows // 2]),
            tf.TensorSpec([]),
            Memory(tf.TensorSpec([size, 128]), tf.TensorSpec([size], tf.int32), tf.TensorSpec([size], tf.bool)),
        )
        .graph.as_graph_def(add_shapes=True)
    )
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    shapes = [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape if not shape.unknown_rank]
    sizes = [int(np.prod([axis.size for axis in shape.dim])) for shape in shapes]
    assert len(sizes) > 100
    assert max(sizes) <= 2 * size * 128
