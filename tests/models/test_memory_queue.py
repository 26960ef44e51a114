import collections

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.losses import MixedSupConLoss, SupConLoss
from supcon_tf.models import ContrastiveModel, ProjectionHead
from tests.losses import oracle
from tests.models.tiny import tiny_encoder

SHAPE = (8, 8, 3)
IMAGES, VIEWS, DIM = 8, 2, 6


def make_model(queue_size=20, momentum=0.9, sync=False, **options):
    encoder = tiny_encoder(SHAPE, synchronized=sync)
    return ContrastiveModel(
        encoder,
        ProjectionHead((12, DIM)),
        num_classes=3,
        weight_decay=1e-3,
        queue_size=queue_size,
        momentum_encoder=momentum,
        **options,
    )


def compiled(strategy=None, rate=0.1, jit_compile=False, run_eagerly=False, **options):
    with (strategy or tf.distribute.get_strategy()).scope():
        model = make_model(**options)
        loss = SupConLoss(0.1, memory=model.memory)
        model.compile(keras.optimizers.SGD(rate), loss, jit_compile=jit_compile, run_eagerly=run_eagerly)
    return model


def batches(steps, images=IMAGES):
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, size=(steps, images, VIEWS, *SHAPE)).astype(np.uint8)
    return views, rng.integers(-1, 3, size=(steps, images)).astype(np.int32)


def train(model, steps):
    model.fit(tf.data.Dataset.from_tensor_slices(batches(steps)), verbose=0)


def contents(model):
    return [x.numpy() for x in model.queue.contents()]


@pytest.mark.parametrize("size", [3, 16, 20, 100])
def test_queue_holds_the_newest_in_order(size):
    queue = make_model(size).queue
    rng = np.random.default_rng(0)
    expected = collections.deque(maxlen=size)
    for _ in range(4):
        projections = rng.normal(size=(IMAGES, VIEWS, DIM)).astype(np.float32)
        labels = rng.integers(-1, 5, size=IMAGES)
        queue.push(tf.constant(projections), tf.constant(labels))
        expected.extend(zip(projections.reshape(-1, DIM).tolist(), np.repeat(labels, VIEWS).tolist()))
        found, its_labels, valid = (x.numpy() for x in queue.contents())
        assert found.shape == (size, DIM) and valid.sum() == len(expected)
        np.testing.assert_array_equal(found[valid], np.float32([projection for projection, _ in expected]))
        assert its_labels[valid].tolist() == [label for _, label in expected]


def test_momentum_encoder_starts_equal_and_follows_slowly():
    model = compiled(momentum=0.9)
    trained = model.encoder.trainable_weights + model.projection_head.trainable_weights
    following = model.queue.encoder.trainable_weights + model.queue.projection_head.trainable_weights
    expected = [weight.numpy().astype(np.float64) for weight in trained]
    for weight, start in zip(following, expected):
        np.testing.assert_array_equal(weight, start)
    views, labels = batches(3)
    for step in range(3):
        model.train_on_batch(views[step], labels[step])
        expected = [0.9 * old + 0.1 * weight.numpy() for old, weight in zip(expected, trained)]
    for weight, wanted in zip(following, expected):
        np.testing.assert_allclose(weight, wanted, rtol=1e-5, atol=1e-7)
    assert any(np.abs(w.numpy() - t.numpy()).max() > 1e-4 for w, t in zip(following, trained))


def test_what_is_pushed_are_the_momentum_encoders_projections_of_the_batch():
    model = compiled(queue_size=100, rate=0.0, run_eagerly=True)  # to save time
    views, labels = batches(2)
    for step in range(2):
        model.train_on_batch(views[step], labels[step])
    found, its_labels, valid = contents(model)
    expected = np.concatenate([make_model()(views[step], training=True).numpy() for step in range(2)])
    np.testing.assert_allclose(found[valid], expected.reshape(-1, DIM), atol=1e-5)
    np.testing.assert_array_equal(its_labels[valid], np.repeat(labels.reshape(-1), VIEWS))
    np.testing.assert_array_equal(np.flatnonzero(valid), np.arange(100 - 2 * IMAGES * VIEWS, 100))


def test_loss_of_a_step_is_the_papers_with_the_queue_as_further_contrasts():
    model = compiled(queue_size=24, rate=0.0)
    views, labels = batches(3)
    for step in range(3):
        before = contents(model)
        logs = model.train_on_batch(views[step], labels[step], return_dict=True)
        projections = make_model()(views[step], training=True).numpy()
        expected = oracle.contrastive(oracle.normalized(projections), labels[step], 0.1, memory=before).mean()
        np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


def test_nothing_of_it_is_trained_by_the_optimizer_or_decays():
    with_queue, without = make_model(20), make_model(0)
    assert [w.shape for w in with_queue.trainable_variables] == [w.shape for w in without.trainable_variables]
    np.testing.assert_allclose(tf.add_n(with_queue.losses), tf.add_n(without.losses))
    assert len(with_queue.weights) == len(without.weights)


@pytest.mark.slow
def test_every_replica_has_the_queue_and_momentum_encoder_of_one():
    expected = compiled(sync=True)
    train(expected, 3)
    model = compiled(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), sync=True)
    model.fit(tf.data.Dataset.from_tensor_slices(batches(3)), verbose=0)
    local = model.distribute_strategy.experimental_local_results
    for variables in zip(*(local(v) for v in (model.queue.projections, model.queue.labels, model.queue.filled))):
        projections, labels, filled = variables
        np.testing.assert_allclose(projections, expected.queue.projections, atol=2e-4)
        np.testing.assert_array_equal(labels, expected.queue.labels)
        assert int(filled) == 20
    for weight, wanted in zip(model.queue.encoder.trainable_weights, expected.queue.encoder.trainable_weights):
        for replica_weight in local(weight):
            np.testing.assert_allclose(replica_weight, wanted, atol=2e-4)


@pytest.mark.parametrize(
    "options", [{"jit_compile": True}, pytest.param({"microbatch_size": 4}, marks=pytest.mark.slow)]
)
def test_queue_works_with_xla_and_microbatches(options):
    model, expected = compiled(**options), compiled()
    for one in (model, expected):
        train(one, 2)
    if options.get("microbatch_size") == 4:  # batch statistics are others
        assert contents(model)[2].sum() == 20
        np.testing.assert_array_equal(contents(model)[1], contents(expected)[1])
        return
    for found, wanted in zip(contents(model), contents(expected)):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize(
    "loss",
    [SupConLoss(0.1), SupConLoss(0.1, memory=lambda: None), MixedSupConLoss(0.1), "mse"],
    ids=["without a memory", "another memory", "takes no memory", "the name of a loss"],
)
def test_a_loss_that_does_not_read_the_queue_is_refused(loss):
    complaint = r"^loss='\w+': does not read the model's queue; .* must be model.memory, as in SupConLoss\(memory="
    with pytest.raises(ArgumentError, match=complaint):
        make_model().compile("sgd", loss)


def test_a_loss_of_soft_labels_is_refused_with_a_queue():
    model = make_model()
    loss = SupConLoss(0.1, memory=model.memory)
    loss.takes_distributions = True
    with pytest.raises(ArgumentError, match="takes soft labels, but the model's queue keeps class numbers"):
        model.compile("sgd", loss)


@pytest.mark.parametrize("saved_by", ["checkpoint", "keras"])
def test_it_is_saved_and_loaded_with_the_model(saved_by, tmp_path):
    model = compiled(run_eagerly=True)  # to save time
    train(model, 2)
    if saved_by == "checkpoint":
        path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
        loaded = compiled(run_eagerly=True)
        tf.train.Checkpoint(model=loaded).restore(path).assert_existing_objects_matched()
    else:
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.loss.memory is not None
    for found, wanted in zip(loaded.queue.get_weights(), model.queue.get_weights()):
        np.testing.assert_array_equal(found, wanted)
    views, labels = batches(1)
    logs = [one.evaluate(views[0], labels[0], verbose=0, return_dict=True)["loss"] for one in (loaded, model)]
    np.testing.assert_allclose(*logs, rtol=1e-5)


FORMS = {
    "one-hot": lambda labels: tf.one_hot(labels, 3),
    "column": lambda labels: labels[:, tf.newaxis],
    "float": lambda labels: tf.cast(labels, tf.float32),
    "int64": lambda labels: tf.where(labels < 0, -1, tf.cast(labels, tf.int64) + 2**33),
}


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=() if form == "one-hot" else pytest.mark.slow) for form in FORMS]
)
def test_queue_and_labels_keep_step_in_every_form_of_labels(form):
    model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((12, DIM)), queue_size=24)
    model.compile(keras.optimizers.SGD(0.0), SupConLoss(0.1, memory=model.memory))
    views, labels = batches(2)
    for step in range(2):
        model.train_on_batch(views[step], FORMS[form](tf.constant(labels[step])))
    found, its_labels, valid = contents(model)
    assert valid.all() and np.all(np.linalg.norm(found, axis=1) > 0.9)
    expected = labels.reshape(-1).astype(np.int64)
    if form == "int64":
        expected = np.where(expected < 0, -1, expected + 2**33)
    np.testing.assert_array_equal(its_labels, np.repeat(expected, VIEWS)[-24:])


def test_labels_that_are_no_class_numbers_are_refused():
    with pytest.raises(ArgumentError, match=r"labels: must be class numbers \[batch\]"):
        make_model().queue.push(tf.zeros([4, VIEWS, DIM]), tf.one_hot([0, 1, 2, 0], 3))


def test_no_variable_of_a_step_is_bound_to_the_host_memory():
    """TensorFlow keeps int32 variables in host memory, where XLA on a GPU cannot use them."""
    model = compiled(run_eagerly=True)  # to save time; the variables are the same
    train(model, 1)
    variables = [*model.variables, *model.queue.variables, *model.optimizer.variables]
    assert variables and all(variable.dtype != tf.int32 for variable in variables)
