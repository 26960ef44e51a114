import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.addons import tensorflow_addons
from supcon_tf.errors import ArgumentError
from supcon_tf.losses import MixedSupConLoss, NTXentLoss, SupConLoss
from supcon_tf.models import Accuracy, Classifier, ContrastiveModel, CrossEntropy, ProjectionHead, build_encoder
from tests.models.tiny import tiny_encoder

SHAPE = (8, 8, 3)


def make_model(seed=0, sync=False, **options):
    encoder = tiny_encoder(SHAPE, synchronized=sync, seed=seed)
    head = ProjectionHead((16, 8), seed=seed)
    return ContrastiveModel(encoder, head, num_classes=3, weight_decay=1e-3, seed=seed, **options)


def make_batch(seed=0, batch=12, views=2):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, size=(batch, views, *SHAPE)).astype(np.uint8)
    return tf.constant(images), tf.constant(rng.integers(0, 3, size=batch), tf.int32)


def test_projections_keep_images_and_views_apart():
    model = make_model()
    views, _ = make_batch()
    projections = model(views)
    assert projections.shape == [12, 2, 8]
    alone = model(views[5:6, 1:2])
    np.testing.assert_allclose(projections[5, 1], alone[0, 0], atol=1e-5)
    np.testing.assert_allclose(tf.norm(projections, axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_embedding_is_normalised_if_asked(normalize):
    model = make_model(normalize_embedding=normalize)
    lengths = tf.norm(model.embed(make_batch()[0][:, 0]), axis=-1)
    assert np.allclose(lengths, 1.0, rtol=1e-5) == normalize


def test_step_follows_the_gradient_of_loss_and_weight_decay():
    model = make_model()
    views, labels = make_batch()
    with tf.GradientTape() as tape:
        objective = SupConLoss(0.1)(labels, model(views, training=True)) + tf.add_n(model.losses)
    kernel = model.encoder.get_layer("stem_conv").kernel
    gradient = tape.gradient(objective, kernel)
    fresh = make_model()
    fresh.compile(keras.optimizers.SGD(1.0), SupConLoss(0.1))
    before = fresh.encoder.get_layer("stem_conv").kernel.numpy()
    fresh.train_on_batch(views, labels)
    after = fresh.encoder.get_layer("stem_conv").kernel.numpy()
    np.testing.assert_allclose(before - after, gradient, atol=1e-5)


@pytest.mark.parametrize("soft", [False, True])
def test_joint_step_follows_the_gradient_of_both_losses(soft):
    model = make_model(joint_ce=0.5)
    views, labels = make_batch()
    labels = tf.concat([labels[:-1], [-1]], 0)  # the last image has no label
    targets = tf.one_hot(labels, 3)
    if soft:
        targets = 0.75 * targets + 0.25 * tf.roll(targets, 1, axis=1)
        targets *= tf.cast(labels >= 0, tf.float32)[:, tf.newaxis]
    contrastive = MixedSupConLoss(0.1) if soft else SupConLoss(0.1)
    given = targets if soft else labels
    with tf.GradientTape() as tape:
        embeddings = model.encoder(tf.reshape(views, [24, *SHAPE]), training=True)  # one batch for its statistics
        embeddings = tf.math.l2_normalize(tf.reshape(embeddings, [12, 2, -1]), axis=-1)
        logits = embeddings @ model.online_classifier.kernel + model.online_classifier.bias
        cross_entropy = -tf.reduce_sum(targets[:, tf.newaxis] * tf.math.log_softmax(logits)) / (2 * 11)
        objective = 0.5 * cross_entropy
        kernels = [model.encoder.get_layer("stem_conv").kernel, model.online_classifier.kernel]
    of_cross_entropy = tape.gradient(objective, kernels)
    steps = []
    for weight in (0.0, 0.5):
        fresh = make_model(joint_ce=weight)
        fresh.compile(keras.optimizers.SGD(1.0), contrastive)
        weights = [fresh.encoder.get_layer("stem_conv").kernel, fresh.online_classifier.kernel]
        before = [w.numpy() for w in weights]
        fresh.train_on_batch(views, given)
        steps.append([b - w.numpy() for b, w in zip(before, weights)])
    np.testing.assert_allclose(steps[1][0] - steps[0][0], of_cross_entropy[0], atol=1e-5)
    np.testing.assert_allclose(steps[1][1], of_cross_entropy[1], atol=1e-5)


@pytest.mark.parametrize("views", [1, 2])
def test_evaluate_refuses_a_label_that_is_no_class(views):
    model = make_model()
    model.compile("sgd", SupConLoss())
    images, labels = make_batch(views=views)
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be below 3, the number of classes"):
        model.evaluate(images, labels + 1, verbose=0)


def test_joint_cross_entropy_needs_classes_and_is_saved():
    with pytest.raises(ArgumentError, match="joint_ce=0.5: needs the number of classes"):
        ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((16, 8)), joint_ce=0.5)
    config = make_model(joint_ce=0.5).get_config()
    assert ContrastiveModel.from_config(config).online_classifier.joint_ce == 0.5


def test_online_classifier_learns_and_teaches_the_encoder_nothing():
    views, labels = make_batch()
    with_labels, without = make_model(), make_model()
    for model, its_labels in ((with_labels, labels), (without, tf.fill([12], -1))):
        model.compile(keras.optimizers.SGD(0.5), NTXentLoss(0.2))  # which does not look at the labels
        model.train_on_batch(views, its_labels)
    for a, b in zip(with_labels.encoder.weights, without.encoder.weights):
        np.testing.assert_array_equal(a, b)
    assert np.any(with_labels.online_classifier.kernel.numpy() != without.online_classifier.kernel.numpy())


def test_metrics_tell_loss_unscaled_loss_and_online_accuracy():
    views, labels = make_batch()
    model = make_model()
    expected = SupConLoss(0.1)(labels, model(views, training=True))
    model = make_model()
    model.compile(keras.optimizers.SGD(0.0), SupConLoss(0.1, scale_by_temperature=True))
    logs = model.train_on_batch(views, labels, return_dict=True)
    np.testing.assert_allclose(logs["loss"], 0.1 * expected, rtol=1e-5)
    np.testing.assert_allclose(logs["unscaled_loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(logs["collapsed_loss"], np.log(23), rtol=1e-6)
    assert 0 <= logs["online_accuracy"] <= 1


@pytest.mark.parametrize("in_a_list", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_unscaled_loss_is_without_temperature_and_weight(in_a_list):
    found = {}
    for weight in (None, 10.0):
        model = make_model()
        loss = SupConLoss(0.1, scale_by_temperature=weight is not None)
        weights = [weight] if in_a_list and weight else weight
        model.compile(keras.optimizers.SGD(0.0), loss, loss_weights=weights)
        found[weight] = model.train_on_batch(*make_batch(), return_dict=True)
    np.testing.assert_allclose(found[10.0]["unscaled_loss"], found[None]["unscaled_loss"], rtol=1e-5)
    np.testing.assert_allclose(found[10.0]["loss"], 10 * 0.1 * found[None]["loss"], rtol=1e-3)


def test_any_keras_loss_on_projections_will_do():
    model = make_model()
    model.compile("sgd", Spread())
    logs = model.train_on_batch(*make_batch(), return_dict=True)
    assert set(logs) == {"loss", "online_accuracy"} and np.isfinite(logs["loss"])


def test_evaluation_on_plain_images_gives_online_accuracy_of_the_weighted_ones():
    model = make_model()
    model.compile("sgd", SupConLoss())
    views, labels = make_batch()
    model.train_on_batch(views, labels)
    images = views[:, 0]
    predicted = tf.argmax(model.online_classifier(model.embed(images)), axis=1)
    labels = tf.where(tf.range(12) < 6, predicted, (predicted + 1) % 3)
    weights = tf.cast(tf.range(12) < 8, tf.float32)
    logs = model.evaluate(tf.data.Dataset.from_tensors((images, labels, weights)), verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["online_accuracy"], 6 / 8)
    assert "loss" not in logs


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_model_takes_views_and_images_in_turn(replicas):
    """Keras alone would trace the second as data of unknown rank."""
    views, labels = make_batch()
    images = views[:, 0]
    with tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)]).scope():
        model = make_model(sync=True)
        model.compile(keras.optimizers.SGD(0.0), SupConLoss(0.1))
    for x in (views, images, views):
        projections = make_model()(views if x is views else views[:, :1], training=True)
        logs = model.fit(x, labels, batch_size=12, verbose=0).history
        np.testing.assert_allclose(logs["loss"], SupConLoss(0.1)(labels, projections), rtol=1e-4)
    for x in (views, images, views):
        logs = model.evaluate(x, labels, batch_size=12, verbose=0, return_dict=True)
        assert ("loss" in logs) == (x is views) and 0 <= logs["online_accuracy"] <= 1


def test_first_step_on_two_replicas_equals_that_on_one():
    views, labels = make_batch(batch=16)
    loss, weights = {}, {}
    for replicas in (1, 2):
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
        with strategy.scope():
            model = make_model(sync=True)
            model.compile(keras.optimizers.SGD(1.0), SupConLoss(0.1))
        dataset = tf.data.Dataset.from_tensor_slices((views, labels)).batch(16)
        history = model.fit(dataset, verbose=0).history
        loss[replicas] = {name: values[0] for name, values in history.items()}
        weights[replicas] = [w.numpy() for w in model.trainable_variables]
    assert loss[1].keys() == loss[2].keys()
    for name in loss[1]:
        np.testing.assert_allclose(loss[2][name], loss[1][name], rtol=1e-5, err_msg=name)
    start = [w.numpy() for w in make_model().trainable_variables]
    for first, one, two in zip(start, weights[1], weights[2]):
        scale = np.abs(one - first).max() or 1.0
        np.testing.assert_allclose((two - first) / scale, (one - first) / scale, atol=2e-4)


def test_a_step_is_traced_once_although_the_optimizer_has_no_variables_yet():
    views, labels = make_batch()
    traced = []

    class Counted(ContrastiveModel):
        def train_step(self, data):
            traced.append("contrastive")
            return super().train_step(data)

    class CountedClassifier(Classifier):
        def train_step(self, data):
            traced.append("classifier")
            return super().train_step(data)

    model = Counted(tiny_encoder(SHAPE), ProjectionHead((8, 4)), num_classes=3)
    model.compile(keras.optimizers.Adam(), SupConLoss())
    model.fit(views, labels, batch_size=6, verbose=0)
    classifier = CountedClassifier(model.encoder, 3, freeze_encoder=False)
    classifier.compile(keras.optimizers.Adam(), CrossEntropy(), weighted_metrics=[Accuracy()])
    classifier.fit(views[:, 0], labels, batch_size=6, verbose=0)
    assert traced == ["contrastive", "classifier"]


@pytest.mark.slow
def test_temperature_is_learned_by_its_own_gradient_on_several_replicas():
    views, labels = make_batch(batch=16)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = make_model(sync=True, learned_temperature=0.2)
        model.compile(keras.optimizers.SGD(0.05), SupConLoss(model.temperature))
    projections = make_model(sync=True)(views, training=True)
    step = 1e-2
    up, down = (float(SupConLoss(0.2 * np.exp(change))(labels, projections)) for change in (step, -step))
    logs = model.fit(tf.data.Dataset.from_tensors((views, labels)).unbatch().batch(16), verbose=0).history
    np.testing.assert_allclose(logs["temperature"], 0.2, rtol=1e-6)
    moved = float(model.log_temperature.numpy()) - np.log(0.2)
    np.testing.assert_allclose(moved, -0.05 * (up - down) / (2 * step), rtol=1e-2)


@pytest.mark.parametrize(("rate", "bound"), [(1e3, 1.0), (-1e3, 0.01)])
def test_learned_temperature_keeps_within_bounds(rate, bound):
    model = make_model(learned_temperature=0.2)
    model.compile(keras.optimizers.SGD(rate), SupConLoss(model.temperature))
    views, labels = make_batch()
    sign = np.sign(learned_temperature_gradient(views, labels))
    model.optimizer.learning_rate = -rate * sign
    model.train_on_batch(views, labels)
    np.testing.assert_allclose(model.temperature(), bound, rtol=1e-5)


def learned_temperature_gradient(views, labels):
    temperature = tf.Variable(0.2)
    with tf.GradientTape() as tape:
        value = SupConLoss(temperature)(labels, make_model()(views, training=True))
    return float(tape.gradient(value, temperature))


@pytest.mark.slow
def test_step_compiles_with_xla():
    views, labels = make_batch()
    results = []
    for jit_compile in (False, True):
        model = make_model()
        model.compile(keras.optimizers.SGD(0.1), SupConLoss(0.1), jit_compile=jit_compile)
        results.append(model.train_on_batch(views, labels, return_dict=True))
    for name in results[0]:
        np.testing.assert_allclose(results[1][name], results[0][name], rtol=1e-4, err_msg=name)


def test_saved_and_loaded_model_projects_the_same(tmp_path):
    model = make_model()
    views, _ = make_batch()
    expected = model(views)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(views), expected, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        pytest.param(
            "lamb",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(tensorflow_addons() is None, reason="needs TensorFlow Addons"),
            ],
        ),
    ],
)
def test_compiled_model_is_saved_and_loaded_with_its_loss(tmp_path, optimizer):
    model = make_model()
    made = optimizer if optimizer == "sgd" else tensorflow_addons().optimizers.LAMB(0.01)
    model.compile(made, SupConLoss(0.3, summation="in", positives_cap=2))
    views, labels = make_batch()
    model.train_on_batch(views, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    expected = model.evaluate(views, labels, verbose=0, return_dict=True)
    found = loaded.evaluate(views, labels, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)


class Spread(keras.losses.Loss):
    """A foreign loss: it only has `call`, and keeps the labels that it was given."""

    def call(self, y_true, y_pred):
        self.labels = y_true
        return tf.reduce_sum(tf.reduce_mean(y_pred, axis=1) ** 2, axis=-1)


class SharpSpread(Spread):
    """A foreign loss that divides by a temperature."""

    def __init__(self, temperature, **arguments):
        super().__init__(**arguments)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) / self.temperature()


@pytest.mark.parametrize("size", [None, 4])
def test_a_foreign_loss_trains_with_a_learned_temperature(size):
    model = make_model(learned_temperature=0.2, microbatch_size=size)
    model.compile(keras.optimizers.SGD(0.1), SharpSpread(model.temperature))
    before = model.encoder.get_layer("stem_conv").kernel.numpy()
    logs = model.train_on_batch(*make_batch(), return_dict=True)
    assert set(logs) == {"loss", "temperature", "online_accuracy"}
    assert logs["temperature"] == pytest.approx(0.2)
    assert float(model.temperature()) != pytest.approx(0.2, rel=1e-5)
    assert np.any(before != model.encoder.get_layer("stem_conv").kernel.numpy())


@pytest.mark.parametrize(
    "loss",
    [Spread(), SharpSpread(0.2), SupConLoss(0.2), SupConLoss(make_model(learned_temperature=0.2).temperature), "mse"],
    ids=["no temperature", "a number", "our loss with a number", "another model's", "the name of a loss"],
)
def test_a_loss_that_leaves_the_learned_temperature_unread_is_refused(loss):
    complaint = (
        r"^loss='\w+': does not read the temperature that the model learns; .* must be model.temperature, as in "
    )
    with pytest.raises(ArgumentError, match=complaint):
        make_model(learned_temperature=0.2).compile("sgd", loss)


def test_a_loaded_model_connects_its_loss_with_the_learned_temperature(tmp_path):
    model = make_model(learned_temperature=0.2)
    model.compile(keras.optimizers.SGD(0.1), SupConLoss(model.temperature))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.train_on_batch(*make_batch())
    assert float(loaded.temperature()) != pytest.approx(0.2, rel=1e-5)


def test_the_mixed_loss_trains_its_learned_temperature():
    model = make_model(learned_temperature=0.2)
    model.compile(keras.optimizers.SGD(0.1), MixedSupConLoss(model.temperature))
    views, _ = make_batch()
    labels = tf.random.stateless_uniform([12, 3], seed=[0, 0])
    logs = model.train_on_batch(views, labels / tf.reduce_sum(labels, axis=1, keepdims=True), return_dict=True)
    assert np.isfinite(logs["loss"])
    assert float(model.temperature()) != pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize(
    "form",
    [
        lambda labels: tf.one_hot(labels, 3),
        lambda labels: labels[:, tf.newaxis],
        lambda labels: tf.cast(labels, tf.float32),
        lambda labels: tf.cast(labels, tf.int64),
    ],
    ids=["one-hot", "column", "float", "int64"],
)
def test_every_form_of_labels_reaches_loss_and_classifier_as_class_numbers(form):
    views, labels = make_batch()
    model = make_model()
    model.compile(keras.optimizers.SGD(0.1), Spread(), run_eagerly=True)
    logs = model.train_on_batch(views, form(labels), return_dict=True)
    np.testing.assert_array_equal(model.loss.labels, labels)
    expected = make_model()
    expected.compile(keras.optimizers.SGD(0.1), Spread(), run_eagerly=True)
    assert logs == expected.train_on_batch(views, labels, return_dict=True)
    np.testing.assert_array_equal(model.online_classifier.kernel, expected.online_classifier.kernel)


@pytest.mark.parametrize("distributions", [False, True])
def test_a_dict_with_labels_of_any_form_trains_like_a_tuple(distributions):
    views, labels = make_batch()
    given = {"views": views, "labels": tf.one_hot(labels, 3), "weights": tf.ones([12, 1])}

    def trained(train):
        encoder = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4)])
        encoder.set_weights([np.full([192, 4], 0.01) * np.arange(4), np.ones(4)])
        queue_size = 0 if distributions else 8  # the queue takes class numbers only
        model = ContrastiveModel(encoder, ProjectionHead((4,)), num_classes=3, queue_size=queue_size)
        loss = MixedSupConLoss(0.1) if distributions else SupConLoss(0.1, memory=model.memory)
        model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
        logs = train(model)
        return {name: float(np.ravel(value)[0]) for name, value in logs.items()}, model.projection_head.get_weights()

    expected, kernels = trained(lambda model: model.train_step((views, given["labels"], given["weights"])))
    for train in (
        lambda model: model.train_step(given),
        lambda model: model.fit(tf.data.Dataset.from_tensors(given), verbose=0).history,
        lambda model: model.fit(given, batch_size=12, shuffle=False, verbose=0).history,
    ):
        logs, found = trained(train)
        assert logs == pytest.approx(expected)
        np.testing.assert_allclose(found, kernels, rtol=1e-5)


def test_sample_weights_weigh_the_online_classifier_in_training_too():
    """An image of weight 0 has the same effect as an unlabelled one."""
    views, labels = make_batch()
    weights = tf.cast(tf.range(12) < 8, tf.float32)
    kernels, logs = [], []
    for given in ((labels, weights), (tf.where(weights > 0, labels, -1), None)):
        model = make_model()
        model.compile(keras.optimizers.SGD(0.5), NTXentLoss(0.2))
        logs.append(model.train_on_batch(views, given[0], sample_weight=given[1], return_dict=True))
        kernels.append(model.online_classifier.kernel.numpy())
    np.testing.assert_allclose(*kernels, atol=1e-6)
    assert np.any(np.abs(kernels[0] - make_model().online_classifier.kernel.numpy()) > 1e-3)
    np.testing.assert_allclose(*(single_log["online_accuracy"] for single_log in logs))


def test_a_batch_is_finished_by_the_augmentation_before_the_step():
    views, labels = make_batch()
    negative = make_model(augmentation=lambda batch: {**batch, "views": 255 - batch["views"]})
    negative.compile("sgd", SupConLoss(0.1))
    plain = make_model()
    plain.compile("sgd", SupConLoss(0.1))
    found = negative.train_on_batch(views, labels, return_dict=True)
    assert found == plain.train_on_batch(255 - views, labels, return_dict=True)
    assert "augmentation" not in negative.get_config()


@pytest.mark.parametrize("loss", [SupConLoss(), NTXentLoss(), Spread()], ids=lambda loss: loss.name)
def test_labels_below_minus_one_are_refused(loss):
    views, labels = make_batch()
    model = make_model()
    model.compile("sgd", loss)
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must not be below -1"):
            step(views, labels - 3)


@pytest.mark.parametrize("classes", [3, pytest.param(None, marks=pytest.mark.slow)])
def test_float_labels_of_one_column_train_like_integers(classes):
    """`image_dataset_from_directory(label_mode="binary")` gives these."""
    views, labels = make_batch()
    logs = []
    for given in (labels, tf.cast(labels, tf.float32)[:, tf.newaxis]):
        model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((8, 4)), num_classes=classes)
        model.compile("sgd", SupConLoss())
        logs.append(model.train_on_batch(views, given, return_dict=True))
    assert logs[0] == logs[1]


def foreign_encoder(synchronized):
    norm = keras.layers.BatchNormalization(synchronized=synchronized)
    layers = [keras.layers.Input(SHAPE), keras.layers.Conv2D(4, 3), norm, keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.layers.Input(SHAPE), keras.Sequential(layers)])


@pytest.mark.parametrize(
    "foreign, synchronized",
    [(True, True), (True, False), (False, True), pytest.param(False, False, marks=pytest.mark.slow)],
)
def test_synchronised_batch_normalisation_stays_so_in_a_loaded_model(tmp_path, foreign, synchronized):
    own = build_encoder("small", SHAPE, width=0.25, synchronized_batch_norm=synchronized)
    encoder = foreign_encoder(synchronized) if foreign else own
    head = ProjectionHead((8, 4), batch_norm=True, synchronized_batch_norm=synchronized)
    saved = [ContrastiveModel(encoder, head), Classifier(encoder, 3, freeze_encoder=False)]
    for index, model in enumerate(saved if foreign else [*saved, encoder]):
        model.save(tmp_path / f"{index}.keras")
        loaded = keras.models.load_model(tmp_path / f"{index}.keras")
        for one in (model, loaded):
            layers = [part for part in one.submodules if isinstance(part, keras.layers.BatchNormalization)]
            assert layers and {part.synchronized for part in layers} == {synchronized}


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_figures_of_uneven_batches_are_means_over_images(replicas):
    """There are 9 images in batches of 4: in the last batch one of two replicas has none."""
    views, labels = make_batch(batch=9)
    with tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)]).scope():
        layers = [keras.layers.Input(SHAPE), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
        model = ContrastiveModel(keras.Sequential([*layers, keras.layers.Dense(6)]), ProjectionHead((8, 4)))
        model.compile(keras.optimizers.SGD(0.0), SupConLoss(0.1))
    history = model.fit(tf.data.Dataset.from_tensor_slices((views, labels)).batch(4), verbose=0).history
    logs = {name: values[0] for name, values in history.items()}
    assert logs["unscaled_loss"] == pytest.approx(logs["loss"], rel=1e-5)
    assert logs["collapsed_loss"] == pytest.approx((8 * np.log(7) + np.log(1)) / 9, rel=1e-5)
    assert logs["anchors_with_positives"] == 1


@pytest.mark.parametrize("value", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_an_image_that_is_not_finite_makes_the_loss_nan(value):
    views, labels = make_batch()
    spoilt = tf.cast(views, tf.float32).numpy()
    spoilt[3, 0, 2, 2, 1] = value
    for loss in (SupConLoss(0.1), NTXentLoss(0.1), MixedSupConLoss(0.1)):
        model = make_model()
        model.compile("sgd", loss)
        given = tf.one_hot(labels, 3) if isinstance(loss, MixedSupConLoss) else labels
        assert np.isnan(model.train_on_batch(spoilt, given))[0]


def test_metrics_of_the_user_are_reported():
    class Length(keras.metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(tf.norm(y_pred, axis=-1))

    model = make_model()
    model.compile("sgd", SupConLoss(), metrics=[Length("length")])
    assert model.train_on_batch(*make_batch(), return_dict=True)["length"] == pytest.approx(1.0, rel=1e-5)
    with pytest.raises(ArgumentError, match="metrics='accuracy': needs scores of classes"):
        model.compile("sgd", SupConLoss(), metrics=["accuracy"])


class Batches(keras.utils.Sequence):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(x.numpy()[6 * index : 6 * index + 6] for x in make_batch())


@pytest.mark.slow
def test_a_sequence_and_a_generator_train_like_arrays():
    losses = []
    views, labels = make_batch()
    for data in (Batches(), (Batches()[i] for i in range(2)), tf.data.Dataset.from_tensor_slices((views, labels))):
        model = make_model()
        model.compile(keras.optimizers.SGD(0.0), SupConLoss())
        data = data.batch(6) if isinstance(data, tf.data.Dataset) else data
        losses.append(model.fit(data, shuffle=False, verbose=0).history["loss"][0])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


class Subclassed(keras.Model):
    def call(self, x):
        return tf.reduce_mean(tf.cast(x, tf.float32), axis=[1, 2])


def test_what_cannot_train_or_be_saved_is_refused_in_one_sentence(tmp_path):
    views, labels = make_batch()
    model = make_model()
    model.compile("sgd", SupConLoss())
    with pytest.raises(ArgumentError, match="encoder='subclassed': is a subclassed model.*give keras.Model"):
        ContrastiveModel(Subclassed(name="subclassed"), ProjectionHead((8, 4)))
    with pytest.raises(ArgumentError, match="encoder='subclassed': is a subclassed model.*give keras.Model"):
        Classifier(Subclassed(name="subclassed"), 3, freeze_encoder=False)
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    with pytest.raises(ArgumentError, match="has no shapes yet; let keras.Sequential begin with keras.Input"):
        ContrastiveModel(keras.Sequential(layers), ProjectionHead((8, 4)))
    with pytest.raises(ArgumentError, match=r"returns \(None, 6, 6, 4\).*end it with .*GlobalAveragePooling2D"):
        Classifier(keras.Sequential([keras.Input(SHAPE), layers[0]]), 3, freeze_encoder=False)
    with pytest.raises(ArgumentError, match=r"x: must be views \[batch, views, height, width, channels\]"):
        model.predict(views[:, 0], verbose=0)
    with pytest.raises(ArgumentError, match="saved to .keras files only"):
        model.save(tmp_path / "folder")
    without = ContrastiveModel(model.encoder, ProjectionHead((8, 4)))
    without.compile("sgd", SupConLoss())
    with pytest.raises(ArgumentError, match="x: has one view of each image: needs two for the loss"):
        without.evaluate(views[:, 0], labels, verbose=0)
    for data, complaint in (
        (views, "y=None: must hold a label for each image"),
        (tf.data.Dataset.from_tensors({"image": views, "label": labels}), "needs 'views' and 'labels'"),
        (tf.data.Dataset.from_tensors(((views[:, 0], views[:, 1]), labels)), "must be one tensor; tf.stack"),
    ):
        with pytest.raises(ArgumentError, match=complaint):
            model.fit(data, verbose=0)
    symbolic = keras.Input([4])
    with pytest.raises(ArgumentError, match="a symbolic Keras tensor has no loss"):
        SupConLoss()(keras.Input([], dtype=tf.int32), symbolic)


@pytest.mark.parametrize(
    "labels, is_warned_of",
    [(np.arange(12), True), pytest.param(np.arange(12) % 11, False, marks=pytest.mark.slow)],
)
def test_a_batch_without_positives_is_warned_of_once(labels, is_warned_of):
    images = make_batch()[0][:, 0]
    model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((8, 4)))
    model.compile("sgd", SupConLoss())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            model.fit(images, labels, verbose=0)
    assert sum("no anchor of the first batch has a positive" in str(one.message) for one in caught) == is_warned_of


@pytest.mark.parametrize("shape", [(4, 8), (4, 1, 8)])
def test_the_loss_without_labels_refuses_one_view(shape):
    with pytest.raises(ArgumentError, match="y_pred: needs two views of each image"):
        NTXentLoss()(tf.zeros([4]), tf.ones(shape))
    model = make_model()
    model.compile("sgd", NTXentLoss())
    views, labels = make_batch()
    with pytest.raises(ArgumentError, match="needs two views of each image"):
        model.fit(views[:, 0], labels, verbose=0)


def test_a_queue_follows_an_encoder_that_is_frozen_later():
    model = make_model(queue_size=24)
    model.encoder.trainable = False
    model.compile("sgd", SupConLoss(memory=model.memory))
    assert np.isfinite(model.train_on_batch(*make_batch(), return_dict=True)["loss"])
