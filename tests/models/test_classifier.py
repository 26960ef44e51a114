import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.models import Accuracy, Classifier, CrossEntropy, HitAtOne, SigmoidCrossEntropy
from tests.models.tiny import tiny_encoder

SHAPE = (8, 8, 1)


def make_classifier(classes=4, **options):
    return Classifier(tiny_encoder(SHAPE), classes, **options)


def make_batch():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, size=(16, *SHAPE)).astype(np.uint8))
    return images, tf.constant(rng.integers(0, 4, size=16))


@pytest.mark.parametrize("freeze", [True, False])
def test_training_moves_the_encoder_only_if_it_is_not_frozen(freeze):
    model = make_classifier(freeze_encoder=freeze)
    before = [w.numpy() for w in model.encoder.weights]  # moving averages of batch normalisation included
    linear = model.linear.kernel.numpy()
    model.compile(keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(*make_batch())
    moved = any(np.any(a != b.numpy()) for a, b in zip(before, model.encoder.weights))
    assert moved == (not freeze)
    assert np.any(linear != model.linear.kernel.numpy())


def test_a_classifier_takes_images_and_views_in_turn():
    images, labels = make_batch()
    model = make_classifier(freeze_encoder=True)
    model.compile(keras.optimizers.SGD(0.0), CrossEntropy())
    logs = [
        (model.fit(x, labels, verbose=0).history["loss"][0], model.evaluate(x, labels, verbose=0))
        for x in (images, images[:, tf.newaxis], images)
    ]
    np.testing.assert_allclose(logs, logs[0][0], rtol=1e-5)


def test_frozen_encoder_answers_the_same_in_training_and_after():
    model = make_classifier(freeze_encoder=True)
    images, _ = make_batch()
    np.testing.assert_array_equal(model(images, training=True), model(images, training=False))


def test_a_frozen_encoder_drops_nothing_in_training():
    images = keras.Input((4, 4, 1))
    encoder = keras.Model(images, keras.layers.Dropout(0.5)(keras.layers.Flatten()(images)))
    model = Classifier(encoder, 2, freeze_encoder=True)
    batch = tf.ones([3, 4, 4, 1])
    np.testing.assert_array_equal(model(batch, training=True), model(batch, training=False))


@pytest.mark.parametrize("normalize", [True, False])
def test_embedding_is_normalised_if_asked(normalize):
    model = make_classifier(freeze_encoder=True, normalize_embedding=normalize)
    lengths = tf.norm(model.embed(make_batch()[0]), axis=-1)
    assert np.allclose(lengths, 1.0, rtol=1e-5) == normalize


def test_weight_decay_is_of_what_is_trained():
    frozen = make_classifier(freeze_encoder=True, weight_decay=0.3)
    assert frozen.decaying_weights == [frozen.linear.kernel, frozen.linear.bias]
    free = make_classifier(freeze_encoder=False, weight_decay=0.3)
    assert {weight.name.split("/")[-1] for weight in free.decaying_weights} == {"kernel:0", "bias:0"}
    squares = sum(np.sum(weight.numpy().astype(np.float64) ** 2) for weight in free.decaying_weights)
    np.testing.assert_allclose(sum(free.losses), 0.15 * squares, rtol=1e-5)
    assert make_classifier(freeze_encoder=False).losses == []


def test_saved_and_loaded_classifier_answers_the_same(tmp_path):
    model = make_classifier(freeze_encoder=True)
    images, _ = make_batch()
    expected = model(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Classifier": Classifier})
    np.testing.assert_allclose(loaded(images), expected, atol=1e-6)


def test_label_smoothing_is_that_of_keras_for_both_kinds_of_labels():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5)).astype(np.float32), rng.integers(0, 5, 6)
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(np.eye(5)[labels], logits)
    logits = tf.constant(logits)
    np.testing.assert_allclose(CrossEntropy(label_smoothing=0.1)(tf.constant(labels), logits), expected, rtol=1e-6)
    one_hot = tf.one_hot(labels, 5)
    np.testing.assert_allclose(CrossEntropy(label_smoothing=0.1)(one_hot, logits), expected, rtol=1e-6)
    assert float(CrossEntropy(label_smoothing=0.1)(tf.zeros([1, 5]), logits[:1])) == 0.0  # of an unlabelled image


@pytest.mark.parametrize("initializer", [keras.initializers.Zeros(), keras.initializers.Ones()])
def test_the_classifier_begins_as_told(initializer):
    kernel = make_classifier(freeze_encoder=True, initializer=initializer).linear.kernel
    np.testing.assert_array_equal(kernel, initializer(kernel.shape))


def test_classes_are_trained_as_binary_classifiers_by_themselves():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 3)).astype(np.float32), rng.integers(0, 2, size=(6, 3))
    weights = rng.integers(0, 2, size=(6, 3)).astype(np.float32)
    probabilities = 1 / (1 + np.exp(-logits))
    expected = -(weights * np.log(np.where(labels == 1, probabilities, 1 - probabilities))).sum(axis=1).mean()
    given = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = SigmoidCrossEntropy()(labels, given, sample_weight=weights)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, given), weights * (probabilities - labels) / 6, atol=1e-6)


def test_one_class_is_trained_as_a_binary_classifier():
    images, _ = make_batch()
    labels, weights = np.arange(16)[:, np.newaxis] % 2, np.ones((16, 1), np.float32)
    weights[12:] = 0
    model = make_classifier(freeze_encoder=True, classes=1)
    model.compile(keras.optimizers.SGD(0.1), SigmoidCrossEntropy(), weighted_metrics=[HitAtOne("present")])
    logits = model.predict(images, verbose=0)
    expected = np.mean(np.log1p(np.exp(np.where(labels == 1, -logits, logits))) * weights)
    found = model.evaluate(images, labels, sample_weight=weights, batch_size=16, verbose=0)
    assert found == pytest.approx([expected, 0.5], rel=1e-5)
    model.fit(images, labels, sample_weight=weights, batch_size=16, verbose=0)
    assert model.evaluate(images, labels, sample_weight=weights, batch_size=16, verbose=0)[0] < found[0]


def test_a_hit_is_a_likeliest_class_that_is_there_and_what_is_not_known_counts_nothing():
    metric = HitAtOne("hit_at_1")
    logits = tf.constant([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    labels, weights = tf.constant([[1, 0], [0, 1], [0, 1], [0, 0]]), tf.constant([[1.0, 1], [1, 1], [1, 1], [1, 0]])
    metric.update_state(labels, logits, sample_weight=weights)
    assert float(metric.result()) == pytest.approx(2 / 3)


def test_unlabelled_images_count_nothing_in_training_and_evaluation():
    images, labels = make_batch()
    labels = tf.where(tf.range(16) < 10, labels, -1)
    logs = []
    for given in ((images, labels), (images[:10], labels[:10])):
        model = make_classifier(freeze_encoder=True)
        model.compile(keras.optimizers.SGD(0.0), CrossEntropy(), weighted_metrics=[Accuracy("top1")])
        trained = model.train_on_batch(*given, return_dict=True)
        logs.append([trained, model.evaluate(*given, verbose=0, return_dict=True)])
    for all_images, labelled in zip(*logs):
        assert all_images["top1"] == pytest.approx(labelled["top1"])
        assert all_images["loss"] * 16 == pytest.approx(labelled["loss"] * 10, rel=1e-5)  # Keras divides by all images


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_every_form_of_labels_has_the_same_cross_entropy_and_accuracy(smoothing):
    labels = tf.constant([0, 2, -1, 1])
    logits = tf.constant(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    expected = CrossEntropy(smoothing, reduction="none")(labels, logits)
    assert float(expected[2]) == 0.0
    accuracy = float(tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == [0, 2, -1, 1], tf.float32)) * 4 / 3)
    one_hot = tf.one_hot(labels, 3)
    for form in (labels[:, tf.newaxis], tf.cast(labels, tf.int64), one_hot, tf.cast(one_hot, tf.int32)):
        np.testing.assert_allclose(CrossEntropy(smoothing, reduction="none")(form, logits), expected, rtol=1e-6)
        metric = Accuracy()
        metric.update_state(form, logits)
        assert float(metric.result()) == pytest.approx(accuracy)


def test_hits_need_no_weights():
    metric = HitAtOne("hit_at_1")
    metric.update_state(tf.constant([[1, 0], [0, 1]]), tf.constant([[2.0, 1.0], [2.0, 1.0]]))
    assert float(metric.result()) == 0.5


def test_a_batch_is_finished_by_the_augmentation_before_the_step():
    images, labels = make_batch()
    logs = []
    for augmentation, given in ((lambda batch: {**batch, "views": 255 - batch["views"]}, images), (None, 255 - images)):
        model = make_classifier(freeze_encoder=False, augmentation=augmentation)
        model.compile(keras.optimizers.SGD(0.1), CrossEntropy())
        logs.append(model.train_on_batch(given, labels, return_dict=True))
    assert logs[0] == logs[1]
    assert "augmentation" not in model.get_config()


def test_labels_below_minus_one_are_refused():
    images, labels = make_batch()
    model = make_classifier(freeze_encoder=True)
    model.compile("sgd", CrossEntropy(), weighted_metrics=[Accuracy("top1")])
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must not be below -1"):
            step(images, labels - 3)
    logits = tf.zeros([16, 4])
    for door in (CrossEntropy(), Accuracy("top1")):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must not be below -1"):
            door(labels - 3, logits)


def test_float_labels_in_mixed_precision_do_not_merge_classes():
    with pytest.raises(ValueError, match="labels: must not be bfloat16: it merges classes"):
        CrossEntropy()(tf.cast([256, 257], tf.bfloat16), tf.zeros([2, 300], tf.bfloat16))


def test_float_labels_of_one_column_are_class_numbers():
    """`image_dataset_from_directory(label_mode="binary")` gives these."""
    images, labels = make_batch()
    logs = []
    for given in (labels, tf.cast(labels, tf.float32)[:, tf.newaxis]):
        model = make_classifier(freeze_encoder=True)
        model.compile("sgd", CrossEntropy(), weighted_metrics=[Accuracy("top1")])
        logs.append(model.train_on_batch(images, given, return_dict=True))
    assert logs[0] == logs[1]
