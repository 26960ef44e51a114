"""Training sees smaller copies of large images; what is held out stays as it is."""

import io
import re

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from supcon_tf.data import folder, load, pixels
from supcon_tf.data.pixels import Converted

HEIGHT, WIDTH, FACTOR = 480, 640, 10
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
# A photograph has no sharp edges at the scale of a pixel.
SMOOTH = np.stack([COLUMNS * 0.3, ROWS * 0.5, 90 + 60 * np.sin(COLUMNS / 40)], axis=-1).astype(np.uint8)
AVERAGE = SMOOTH.reshape(HEIGHT // FACTOR, FACTOR, WIDTH // FACTOR, FACTOR, 3).mean(axis=(1, 3))


def content(kind, mode="RGB", scale=1, **options):
    stream = io.BytesIO()
    image = PIL.Image.fromarray(SMOOTH).convert(mode)
    image.resize((WIDTH // scale, HEIGHT // scale)).save(stream, kind, **options)
    return stream.getvalue()


def decoded(encoded):
    return pixels.decode_image(tf.constant(encoded), 3).numpy()


@pytest.mark.parametrize(
    "encoded, kind",
    [
        (content("JPEG", quality=95), pixels.JPEG),
        (content("JPEG", mode="CMYK", quality=95), pixels.JPEG),
        (content("PNG"), pixels.PNG),
    ],
)
def test_a_copy_has_the_averages_of_the_pixels_and_the_format(encoded, kind):
    copy = pixels.training_copy(Converted(encoded), WIDTH // FACTOR)
    assert copy.is_smaller and copy.content.startswith(kind)
    whole = decoded(encoded).reshape(HEIGHT // FACTOR, FACTOR, WIDTH // FACTOR, FACTOR, 3).mean(axis=(1, 3))
    found = decoded(copy.content).astype(float)
    inside = np.abs(found - whole)[1:-1, 1:-1]  # at the edge other pixels take part
    assert found.shape == AVERAGE.shape and inside.mean() < 1.5 and inside.max() < 8


def test_a_smaller_image_keeps_its_bytes():
    encoded = content("JPEG", scale=10)
    assert pixels.training_copy(Converted(encoded), 64) == Converted(encoded)


def test_a_jpeg_that_only_tensorflow_decodes_has_a_copy_too(monkeypatch):
    monkeypatch.setattr(PIL.Image.Image, "thumbnail", failing_once(PIL.Image.Image.thumbnail))
    assert max(decoded(pixels.training_copy(Converted(content("JPEG")), 64).content).shape) == 64


def failing_once(method):
    calls = []

    def fail_at_first(self, *args, **options):
        calls.append(self)
        if len(calls) == 1:
            raise OSError("image file is truncated")
        return method(self, *args, **options)

    return fail_at_first


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("large") / "pictures"
    for name in (
        "train/a/1.jpg",
        "train/a/2.png",
        "train/b/1.jpg",
        "train/b/small.jpg",
        "test/a/1.jpg",
        "test/b/1.jpg",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content("PNG" if name.endswith("png") else "JPEG", scale=20 if "small" in name else 1))
    return root


@pytest.fixture
def loaded(pictures):
    def loaded(**options):
        place = {"dataset": f"folder:{pictures}", "data_dir": str(pictures.parent / "data")}
        return load.DataOptions(**{**place, **options})

    return loaded


def sides_of(data, split):
    return sorted(max(image.shape) for image in data.builder.as_dataset(split=split).map(lambda e: e["image"]))


def test_only_images_to_train_on_are_made_smaller(pictures, loaded):
    data = load.load(loaded(image_size=32), labels=True)
    assert sides_of(data, "train") == [32, 128, 128, 128]
    said = "\n".join(load.findings(data))
    assert "made smaller, to at most 128 pixels a side: 3; held-out images stay" in said
    raw = {"image": tf.io.read_file(str(pictures / "test/a/1.jpg"))}
    examples = data.builder.as_dataset(split="test", decoders={"image": load.tfds.decode.SkipDecoding()})
    assert any((example["image"] == raw["image"]).numpy() for example in examples)


def test_image_sizes_share_copies_up_to_the_next_power_of_two(loaded):
    paths = [load.load(loaded(image_size=size), labels=True, prepare=False).builder.data_path for size in (32, 40, 48)]
    assert paths[0] == paths[1] != paths[2]
    assert re.search(r"-128px/", str(paths[0])) and re.search(r"-256px/", str(paths[2]))


@pytest.mark.parametrize(
    "options",
    [
        {"eval_split": "train[50%:]"},
        {"validation_split": "train[:25%]"},
        {"train_split": "train+test", "eval_split": "test"},
        {"train_split": "all", "eval_split": "test"},
        {"image_size": None},
    ],
    ids=str,
)
def test_images_that_may_be_held_out_are_not_made_smaller(loaded, options):
    data = load.load(loaded(**{"image_size": 32, **options}), labels=True, prepare=False)
    assert data.builder.builder_config.longest_side is None


@pytest.mark.parametrize("eval_split", [None, "train[50%:]"])
def test_images_without_labels_of_one_folder_are_those_of_one_copy(loaded, eval_split):
    options = loaded(image_size=32, eval_split=eval_split)
    options = load.dataclasses.replace(options, unlabelled=options.dataset)
    both = load.load(options, labels=True, prepare=False), load.load_unlabelled(options, prepare=False)
    assert both[0].builder.data_path == both[1].builder.data_path


def test_a_folder_is_listed_once(loaded, monkeypatch):
    data = load.load(loaded(), labels=True, prepare=False)
    monkeypatch.setattr(folder, "list_files", None)
    again = load.load(loaded(image_size=32), labels=True, builder=data.builder)
    assert again.builder.builder_config.longest_side == 128
