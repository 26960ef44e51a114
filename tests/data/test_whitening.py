import numpy as np
import PIL.Image
import pytest

from supcon_tf import config
from supcon_tf.data import decoding, load, whitening
from supcon_tf.data.training_images import TrainingImages
from tests.data import numbered


def write_images(folder, pictures):
    for i, pixels in enumerate(pictures):
        path = folder / "train" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(path)
    for name in "ab":
        path = folder / "test" / name / "white.png"  # white, and not to be measured
        path.parent.mkdir(parents=True)
        PIL.Image.new("RGB", (5, 5), "white").save(path)


def measured(tmp_path, pictures, **options):
    write_images(tmp_path / "images", pictures)
    data_options = config.DataOptions(
        dataset=f"folder:{tmp_path / 'images'}", data_dir=str(tmp_path / "data"), **options
    )
    return whitening.measure(TrainingImages(load.load(data_options, labels=True)))


def random_pictures(sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, high, (*size, 3), dtype=np.uint8) for size, high in sizes]


def test_constants_are_numpys_with_all_images_counted_alike(tmp_path):
    pictures = random_pictures([((4, 6), 256), ((9, 5), 100), ((16, 12), 30), ((7, 7), 256)])
    mean, std = measured(tmp_path, pictures)
    scaled = [picture.reshape(-1, 3) / 127.5 - 1 for picture in pictures]
    means = np.mean([pixels.mean(axis=0) for pixels in scaled], axis=0)
    variances = np.mean([((pixels - means) ** 2).mean(axis=0) for pixels in scaled], axis=0)
    np.testing.assert_allclose(mean, means, atol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(variances), atol=1e-6)


def test_of_images_of_one_size_they_are_those_of_all_pixels(tmp_path):
    pictures = random_pictures([((6, 6), 256)] * 6)
    mean, std = measured(tmp_path, pictures)
    pixels = np.stack(pictures) / 127.5 - 1
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 1, 2)), atol=1e-6)


def test_a_limited_number_of_training_images_is_measured(tmp_path, monkeypatch):
    pictures = random_pictures([((6, 6), 256)] * 6)
    first = measured(tmp_path / "slice", pictures, train_split="train[:3]")
    assert measured(tmp_path / "whole", pictures) != first
    monkeypatch.setattr(whitening, "IMAGES", 3)
    assert measured(tmp_path / "limit", pictures) == first


def test_grey_images_have_one_constant(digits_dir):
    data = load.load(config.DataOptions(data_dir=digits_dir), labels=True)
    pixels = np.stack([example["image"] for example in data.builder.as_dataset(split="train").as_numpy_iterator()])
    mean, std = whitening.measure(TrainingImages(data))
    assert mean == pytest.approx([(pixels / 127.5 - 1).mean()], abs=1e-6)
    assert std == pytest.approx([(pixels / 127.5).std()], abs=1e-6)


def test_images_of_one_colour_do_not_divide_by_zero(tmp_path):
    mean, std = measured(tmp_path, [np.full((4, 4, 3), 51, np.uint8)] * 4)
    assert mean == pytest.approx([51 / 127.5 - 1] * 3) and std == pytest.approx([1 / 127.5] * 3, abs=1e-6)


def test_images_that_are_skipped_do_not_count(tmp_path):
    data = numbered.prepare(tmp_path, broken=(17, 60))
    bad_images = decoding.BadImages()
    mean, std = whitening.measure(TrainingImages(data, bad_images=bad_images))
    numbers = [number for number in numbered.stored_numbers(data) if number >= 0]
    pixels = np.array([[0, number] + [7] * 62 for number in numbers]) / 127.5 - 1
    assert len(bad_images) == 2
    assert mean == pytest.approx([pixels.mean()], abs=1e-6) and std == pytest.approx([pixels.std()], abs=1e-6)


def test_only_images_that_are_trained_on_are_measured(digits_dir):
    data = load.load(config.DataOptions(data_dir=digits_dir), labels=True)
    some = TrainingImages(data, max_examples=20)
    images = [example["image"] for example in data.builder.as_dataset(split="train").as_numpy_iterator()]
    pixels = np.stack([images[place] for place in some.kept]) / 127.5 - 1
    assert whitening.measure(some).mean == pytest.approx([pixels.mean()], abs=1e-6)
