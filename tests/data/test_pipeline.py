import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.data import load, memory, pipeline, records, sampling, training_images, training_order
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from tests import voc
from tests.data import numbered


@pytest.fixture
def digits(digits_dir):
    return load.load(config.DataOptions(dataset="digits", data_dir=digits_dir), labels=True)


def image_and_seed(image, seed):
    """Returns a 'view' of 64 pixels and the 2 numbers of the seed, which show the image and the seed."""
    pixels = tf.reshape(tf.cast(image, tf.int64), [64])
    view = tf.concat([pixels, tf.cast(seed, tf.int64)], axis=0)
    return {"views": tf.ensure_shape(view, [66])}


def batches(digits, epochs, **options):
    """Returns batches of a data set, or of `TrainingImages`."""
    options = {"seed": 3, **options}
    images = digits if isinstance(digits, TrainingImages) else TrainingImages(digits)
    return [
        (batch["views"].numpy(), batch["labels"].numpy())
        for batch in pipeline.training_batches(images, image_and_seed, epochs, **options)
    ]


EPOCHS = StepSchedule(batch_size=256, images=1197, epochs=2)


def test_each_pass_shows_each_image_once_in_an_order_of_its_own(digits):
    seen = batches(digits, EPOCHS)
    assert len(seen) == 9 and all(len(views) == 256 for views, _ in seen)
    views = np.concatenate([views for views, _ in seen])
    first, second = views[:1197], views[1197:]
    assert len(np.unique(first[:, 65])) == 1197  # the last number of a seed is the example
    assert len(np.unique(second[:, 65])) == len(second) == 9 * 256 - 1197
    assert np.any(first[: len(second), 65] != second[:, 65])
    assert np.all(first[:, 64] != second[0, 64])  # the first one changes with the pass


def test_labels_stay_with_their_images(digits):
    as_stored = {}
    for features in digits.builder.as_dataset(split="train").as_numpy_iterator():
        as_stored.setdefault(features["image"].tobytes(), features["label"])
    for views, labels in batches(digits, EPOCHS)[:2]:
        for view, label in zip(views, labels):
            assert as_stored[view[:64].astype(np.uint8).tobytes()] == label


@pytest.mark.parametrize("start", [1, 4, 5, 6])
def test_a_run_that_starts_in_the_middle_sees_what_an_undisturbed_one_sees_there(digits, start):
    whole = batches(digits, EPOCHS)
    rest = batches(digits, EPOCHS, start_step=start)
    assert len(rest) == len(whole) - start
    for (views, labels), (expected_views, expected_labels) in zip(rest, whole[start:]):
        np.testing.assert_array_equal(views, expected_views)
        np.testing.assert_array_equal(labels, expected_labels)


def test_seeds_differ_in_order_and_in_randomness(digits):
    one, other = batches(digits, EPOCHS)[0][0], batches(digits, EPOCHS, seed=4)[0][0]
    assert np.any(one[:, 65] != other[:, 65])
    assert one[0, 64] != other[0, 64]


def order(seed, epoch, examples=100):
    """Returns the order of an epoch, drawn inside a graph as training draws it."""
    epochs = tf.data.Dataset.range(epoch, epoch + 1)
    shuffled = epochs.flat_map(lambda e: sampling.shuffled(tf.data.Dataset.range(examples), examples, seed, e))
    return tuple(shuffled.as_numpy_iterator())


def test_no_two_pairs_of_seed_and_epoch_share_an_order():
    pairs = [(seed, epoch) for seed in (0, 1, 2, 3, 2**31 - 1) for epoch in range(8)]
    assert len({order(*pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("epoch", [0, 1, 9])
def test_the_order_of_seed_0_is_that_of_version_0_1(epoch):
    epochs = tf.data.Dataset.range(epoch, epoch + 1)
    shuffled = epochs.flat_map(
        lambda e: tf.data.Dataset.range(100).shuffle(100, seed=e, reshuffle_each_iteration=False)
    )
    assert order(0, epoch) == tuple(shuffled.as_numpy_iterator())


@pytest.mark.parametrize("worker", [0, 1, 2])
def test_workers_resume_exactly_where_the_training_images_are_several_slices(digits_dir, monkeypatch, worker):
    monkeypatch.setattr(training_order, "SMALL_BYTES", 0)
    slices = "train[:100]+train[200:311]+validation[:50]"  # their remainders by 3 add up
    options = config.DataOptions(
        dataset="digits", data_dir=digits_dir, train_split=slices, eval_split="test", validation_split="none"
    )
    images = TrainingImages(load.load(options, labels=True), cache="off")
    epochs, context = StepSchedule(30, images.size, 3), tf.distribute.InputContext(3, worker, 3)

    def seen(start):
        examples = training_order.in_training_order(images, epochs, 0, start, context)
        return [(int(epoch), int(index)) for epoch, index, _, _ in examples.as_numpy_iterator()]

    whole = seen(0)
    assert seen(17) == whole[170:]
    pass_size = images.size // 3
    assert {index for _, index in whole[:pass_size]} == set(range(worker * pass_size, (worker + 1) * pass_size))


@pytest.mark.parametrize("pipelines, replicas", [(2, 2), (2, 4)])
def test_workers_share_the_images_of_each_step_of_one_worker(digits, pipelines, replicas):
    alone = batches(digits, EPOCHS)
    shares = [
        batches(digits, EPOCHS, context=tf.distribute.InputContext(pipelines, index, replicas))
        for index in range(pipelines)
    ]
    per_step = replicas // pipelines
    for step, (views, _) in enumerate(alone):
        together = [share[step * per_step + i][0] for share in shares for i in range(per_step)]
        assert all(len(part) == 256 // replicas for part in together)
        np.testing.assert_array_equal(np.concatenate(together), views)


@pytest.mark.parametrize("pipelines", [1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_of_data_too_large_for_memory_each_worker_reads_its_own_part(digits, pipelines, monkeypatch):
    monkeypatch.setattr(training_order, "SMALL_BYTES", 0)
    epochs = StepSchedule(batch_size=240, images=1197, epochs=2)
    index_of = {}
    for index, features in enumerate(digits.builder.as_dataset(split="train").as_numpy_iterator()):
        index_of.setdefault(features["image"].tobytes(), set()).add(index)
    parts = []
    for worker in range(pipelines):
        context = tf.distribute.InputContext(pipelines, worker, pipelines)
        seen = batches(digits, epochs, context=context)
        assert len(seen) == 9 and all(len(views) == 240 // pipelines for views, _ in seen)
        for views, _ in seen:  # an image's randomness follows from its place in the whole split
            assert all(view[65] in index_of[view[:64].astype(np.uint8).tobytes()] for view in views)
        numbers, pass_size = np.concatenate([views[:, 65] for views, _ in seen]), 1197 // pipelines
        assert len(set(numbers[:pass_size])) == pass_size
        assert len(set(numbers[pass_size:])) == len(numbers) - pass_size
        assert list(numbers[:100]) != list(numbers[pass_size:][:100])
        parts.append({*numbers})
        rest = batches(digits, epochs, context=context, start_step=5)
        for (views, _), (expected, _) in zip(rest, seen[5:]):
            np.testing.assert_array_equal(views, expected)
        assert len(rest) == 4
    assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A data set whose images show their numbers, in several files."""
    return numbered.prepare(tmp_path_factory.mktemp("files"), size=230, files=6)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Another such data set."""
    return numbered.prepare(tmp_path_factory.mktemp("others"), size=70, files=2)


def numbers_and_seeds(seen):
    """Returns for each batch the numbers that its images show, and the examples in their seeds."""
    numbers = [[numbered.number_of(view[:64]) for view in views] for views, _ in seen]
    return numbers, [views[:, 65].tolist() for views, _ in seen]


SHORT = StepSchedule(batch_size=40, images=230, epochs=3)
BALANCED = dataclasses.replace(SHORT, images=200, classes_per_batch=4)
HALF = StepSchedule(batch_size=40, images=230, epochs=2, unlabelled=16)
BALANCED_HALF = dataclasses.replace(HALF, images=216, classes_per_batch=3)


def same(seen, expected):
    """Asserts that batches are equal."""
    assert len(seen) == len(expected)
    for (views, labels), (expected_views, expected_labels) in zip(seen, expected):
        np.testing.assert_array_equal(views, expected_views)
        np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize(
    "small, epochs, options, pipelines",
    [(True, SHORT, {}, 1), (True, SHORT, {"max_examples": 210}, 1), (True, BALANCED, {}, 1), (False, SHORT, {}, 2)],
    ids=["all", "subset", "balanced", "large"],
)
def test_cache_changes_nothing(files, small, epochs, options, pipelines, monkeypatch):
    monkeypatch.setattr(records, "BLOCK", 4)
    if not small:
        monkeypatch.setattr(training_order, "SMALL_BYTES", 0)
        monkeypatch.setattr(training_order, "SHUFFLE_BYTES", 0)
    context = tf.distribute.InputContext(pipelines, pipelines - 1, pipelines)
    in_memory = batches(TrainingImages(files, cache="memory", **options), epochs, context=context)
    same(batches(TrainingImages(files, cache="off", **options), epochs, context=context), in_memory)


def test_memory_holds_what_takes_a_quarter_of_what_is_available(files, monkeypatch):
    images = TrainingImages(files)
    assert images.bytes == files.builder.info.dataset_size
    for available, fits in ((4 * images.bytes + 4, True), (4 * images.bytes - 1, False)):
        monkeypatch.setattr(memory, "available_bytes", lambda available=available: available)
        assert images.in_memory(230) is fits and images.in_memory(100)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert images.in_memory(230)
    monkeypatch.setattr(training_images, "CACHE_BYTES", 0)
    assert not images.in_memory(230)
    assert TrainingImages(files, cache="memory").in_memory(230)
    assert not TrainingImages(files, cache="off").in_memory(1)


@pytest.mark.parametrize("cache", ["memory", "off"])
@pytest.mark.parametrize("small", [True, False])
def test_an_image_comes_with_the_seed_of_its_place_in_the_split(files, cache, small, monkeypatch):
    if not small:
        monkeypatch.setattr(training_order, "SMALL_BYTES", 0)
    stored = numbered.stored_numbers(files)
    seen = batches(TrainingImages(files, cache=cache), SHORT)
    numbers, examples = numbers_and_seeds(seen)
    assert [[stored[example] for example in batch] for batch in examples] == numbers
    assert [labels.tolist() for _, labels in seen] == [[number % 5 for number in batch] for batch in numbers]


def test_large_data_are_read_from_their_files_in_an_order_of_each_epoch(files, monkeypatch):
    monkeypatch.setattr(training_order, "SMALL_BYTES", 0)
    monkeypatch.setattr(training_order, "SHUFFLE_BYTES", 0)
    monkeypatch.setattr(records, "FILES_AT_A_TIME", 1)
    file_of = [number for number, part in enumerate(records.file_parts(files, "train")) for _ in range(part.take)]
    epochs = StepSchedule(batch_size=10, images=230, epochs=3)
    _, examples = numbers_and_seeds(batches(TrainingImages(files, cache="off"), epochs))
    first_files = {frozenset(file_of[example] for example in examples[step]) for step in (0, 23, 46)}
    assert len(first_files) > 1
    for start in (0, 23, 46):
        assert len({example for batch in examples[start : start + 23] for example in batch}) == 230


def test_a_subset_keeps_the_classes_shares_and_the_images_seeds(files):
    stored = numbered.stored_numbers(files)
    images = TrainingImages(files, max_examples=50)
    assert images.size == 50
    numbers, examples = numbers_and_seeds(batches(images, StepSchedule(25, 50, 2)))
    for epoch in (numbers[:2], numbers[2:]):
        flat = [number for batch in epoch for number in batch]
        expected = [n for c in range(5) for n in [number for number in stored if number % 5 == c][:10]]
        assert sorted(flat) == sorted(expected)
    assert [[stored[example] for example in batch] for batch in examples] == numbers


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_of_images_with_several_classes_a_subset_is_the_first_ones(voc_dir, cache):
    data = load.load(config.DataOptions(dataset="voc/2007", data_dir=voc_dir), labels=True)

    def number(image, seed):
        return {"views": tf.ensure_shape(tf.shape(image)[1] - voc.LEAST_WIDTH, [])}

    images = TrainingImages(data, max_examples=6, cache=cache)
    first = data.builder.as_dataset(split="train[:6]").as_numpy_iterator()
    (batch,) = pipeline.training_batches(images, number, StepSchedule(6, 6, 1), seed=1)
    numbers = batch["views"].numpy()
    assert sorted(numbers) == sorted(voc.number_of(example["image"]) for example in first)
    np.testing.assert_array_equal(batch["labels"] == 1, [voc.marks(number) == 1 for number in numbers])
    np.testing.assert_array_equal(batch["weights"], [voc.marks(number) != 0 for number in numbers])


def test_a_subset_of_all_is_all(files):
    same(batches(TrainingImages(files, max_examples=1000), SHORT), batches(files, SHORT))


def test_wrong_labels_stay_wrong_and_images_stay_as_they_are(files):
    seen, right = batches(TrainingImages(files, label_noise=0.4, seed=1), SHORT), batches(files, SHORT)
    label_of = {}
    for (views, labels), (same_views, _) in zip(seen, right):
        np.testing.assert_array_equal(views, same_views)
        for view, label in zip(views, labels):
            assert label_of.setdefault(numbered.number_of(view[:64]), label) == label
    wrong = np.mean([label != number % 5 for number, label in label_of.items()])
    assert 0.3 < wrong < 0.5 and set(label_of.values()) == {0, 1, 2, 3, 4}
    other = batches(TrainingImages(files, label_noise=0.4, seed=2), SHORT)
    assert any(np.any(labels != other_labels) for (_, labels), (_, other_labels) in zip(seen, other))


@pytest.mark.parametrize("label_noise", [0.0, 0.4])
def test_images_have_the_weight_of_the_class_that_training_sees(files, label_noise):
    images = TrainingImages(files, label_noise=label_noise, max_examples=47)
    weights = images.class_weights(0.99)
    assert images.class_weights(0.0) is None and len(set(weights.tolist())) > 1
    sizes = images.classes[1]
    np.testing.assert_allclose(np.sum(weights * sizes), sizes.sum(), rtol=1e-5)
    seen = pipeline.training_batches(images, image_and_seed, StepSchedule(8, 47, 1), seed=0, class_weights=weights)
    for batch in seen.take(5).as_numpy_iterator():
        np.testing.assert_array_equal(batch["weights"], weights[batch["labels"]])


@pytest.mark.parametrize("label_noise", [0.0, 0.4])
def test_batches_are_balanced_by_the_labels_that_training_sees(files, label_noise):
    seen = batches(TrainingImages(files, label_noise=label_noise), BALANCED)
    assert len(seen) == 15
    for views, labels in seen:
        assert sorted(np.bincount(labels, minlength=5)) == [0, 10, 10, 10, 10]
        assert len({numbered.number_of(view[:64]) for view in views}) == 40
    assert len({frozenset(labels) for _, labels in seen}) == 5


@pytest.mark.parametrize("small", [True, False])
def test_unlabelled_images_take_their_share_of_each_batch(files, others, small, monkeypatch):
    if not small:
        monkeypatch.setattr(training_order, "SMALL_BYTES", 0)
    seen = batches(files, HALF, unlabelled=TrainingImages(others))
    assert len(seen) == 19
    stored = numbered.stored_numbers(others)
    passed = []
    for views, labels in seen:
        unlabelled = views[labels < 0]
        assert len(unlabelled) == 16
        places = unlabelled[:, 65] - (1 << 40)  # so that they share no seed with the labelled ones
        assert [stored[place] for place in places] == [numbered.number_of(view[:64]) for view in unlabelled]
        assert np.all(views[labels >= 0][:, 65] < 230)
        passed.append(places.tolist())
    # Passes over these 70 are their own, whatever the pass of the labelled ones.
    places = [place for batch in passed for place in batch]
    assert all(len(set(places[start : start + 70])) == 70 for start in (0, 70, 140, 210))
    alone = batches(files, StepSchedule(24, 230, 2))
    for (views, labels), (expected, expected_labels) in zip(seen, alone):
        np.testing.assert_array_equal(views[labels >= 0], expected)
        np.testing.assert_array_equal(labels[labels >= 0], expected_labels)


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_images_that_are_labelled_or_evaluated_on_can_be_kept_from_the_unlabelled(others, cache):
    splits = {"train_split": "train[10:60]", "validation_split": "train[60:63]", "eval_split": "train[65:]"}
    images = TrainingImages(dataclasses.replace(others, **splits), max_examples=20)
    unlabelled = TrainingImages(others, left_out=images.taken("train").tolist(), cache=cache)
    assert unlabelled.size == 42
    seen = batches(images, StepSchedule(30, 20, 2, unlabelled=21), unlabelled=unlabelled)
    shown = {numbered.number_of(view[:64]) for views, labels in seen for view in views[labels < 0]}
    labelled = {numbered.number_of(view[:64]) for views, labels in seen for view in views[labels >= 0]}
    held_out = set(numbered.stored_numbers(others)[60:63] + numbered.stored_numbers(others)[65:])
    assert len(labelled) == 20 and shown == set(range(70)) - labelled - held_out


@pytest.mark.parametrize(
    "epochs, start, pipelines",
    [pytest.param(BALANCED, 7, 4, marks=pytest.mark.slow), (HALF, 13, 2), (BALANCED_HALF, 3, 4)],
    ids=["balanced", "unlabelled", "both"],
)
def test_workers_share_and_restarts_repeat_sampled_batches(files, others, epochs, start, pipelines):
    options = {"unlabelled": TrainingImages(others) if epochs.unlabelled else None}
    images = TrainingImages(files, label_noise=0.2)
    alone = batches(images, epochs, **options)
    contexts = [tf.distribute.InputContext(pipelines, number, pipelines) for number in range(pipelines)]
    shares = [batches(images, epochs, context=context, start_step=start, **options) for context in contexts]
    together = [tuple(map(np.concatenate, zip(*step_parts))) for step_parts in zip(*shares)]
    same(together, alone[start:])


def view(image):
    return tf.ensure_shape(image, [8, 8, 1])


@pytest.mark.parametrize("batch_size, pipelines", [(256, 1), (7, 1), (400, 2), (64, 2)])
def test_evaluation_counts_each_image_once(digits, batch_size, pipelines):
    stored = [features["image"].tobytes() for features in digits.builder.as_dataset(split="test").as_numpy_iterator()]
    counted = []
    for index in range(pipelines):
        context = tf.distribute.InputContext(pipelines, index, pipelines)
        dataset = pipeline.evaluation_batches(digits, "test", view, batch_size, context)
        assert len(list(dataset)) == pipeline.number_of_batches(digits.num_examples("test"), batch_size)
        for batch in dataset.as_numpy_iterator():
            assert batch["views"].shape == (batch_size // pipelines, 1, 8, 8, 1)
            counted += [view.tobytes() for view, weight in zip(batch["views"], batch["weights"]) if weight == 1]
    assert sorted(counted) == sorted(stored)


def test_evaluation_of_images_with_several_classes_gives_difficult_ones_and_filling_no_weight(voc_dir):
    data = load.load(config.DataOptions(dataset="voc/2007", data_dir=voc_dir), labels=True)

    def number(image):
        return tf.ensure_shape(tf.shape(image)[1] - voc.LEAST_WIDTH, [])

    found = {}
    for batch in pipeline.evaluation_batches(data, "test", number, 8).as_numpy_iterator():
        numbers, labels, weights = batch["views"][:, 0], batch["labels"], batch["weights"]
        assert labels.shape == weights.shape == (8, 20)
        found.update({n: (row, weight) for n, row, weight in zip(numbers, labels, weights) if weight.any()})
    assert sorted(found) == list(range(22, 42))
    for n, (row, weight) in found.items():
        np.testing.assert_array_equal(weight, voc.marks(n) != 0)
        np.testing.assert_array_equal(row, voc.marks(n) == 1)


@pytest.mark.parametrize("keep, limit, passes", [(True, 1 << 28, 1), (True, 1000, 2), (False, 1 << 28, 2)])
def test_few_views_are_kept_for_the_next_pass(digits, monkeypatch, keep, limit, passes):
    monkeypatch.setattr(pipeline, "KEPT_BYTES", limit)
    seen = []

    def make_view(image):
        tf.py_function(lambda: seen.append(1), [], [])
        return tf.ensure_shape(image, [8, 8, 1])

    held_out = pipeline.evaluation_batches(digits, "test", make_view, 300, keep=keep)
    first, again = list(held_out.as_numpy_iterator()), list(held_out.as_numpy_iterator())
    for batch, other in zip(first, again):
        for name in ("views", "labels", "weights"):
            np.testing.assert_array_equal(batch[name], other[name])
    assert len(first) == 2 and len(seen) == passes * 600


def test_filling_the_last_batch_decodes_no_image_again(tmp_path, monkeypatch):
    for number, label in enumerate("aabb"):
        path = tmp_path / "pictures" / ("train" if number % 2 else "test") / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        tf.io.write_file(str(path), tf.io.encode_png(tf.fill([20, 30, 3], tf.cast(50 + number, tf.uint8))))
    (tmp_path / "pictures/train/a/9.png").write_bytes((tmp_path / "pictures/train/a/1.png").read_bytes())
    options = config.DataOptions(dataset=f"folder:{tmp_path / 'pictures'}", data_dir=str(tmp_path / "data"))
    data = load.load(options, labels=True)
    sizes = []

    def make_view(image):
        tf.py_function(lambda shape: sizes.append(tuple(shape.numpy())), [tf.shape(image)], [])
        return tf.image.resize(image, [4, 4])

    (batch,) = pipeline.evaluation_batches(data, "test", make_view, 16).as_numpy_iterator()
    assert batch["weights"].tolist() == [1.0] * 2 + [0.0] * 14
    assert sorted(sizes) == [(1, 1, 3)] * 14 + [(20, 30, 3)] * 2
