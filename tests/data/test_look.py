"""What is seen of the images before training."""

import numpy as np
import PIL.Image
import pytest

from supcon_tf.config import DataOptions
from supcon_tf.data import load
from supcon_tf.data.look import look_at


def make_folder(path, sizes, paint):
    for number, size in enumerate(sizes):
        for name in ("cat", "dog"):
            file = path / "train" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(paint(size)).save(file)
    for name in ("cat", "dog"):
        file = path / "test" / name / "0.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(paint(sizes[0])).save(file)
    return path


def noise(size):
    return np.random.default_rng(size).integers(0, 256, (size, size // 2, 3)).astype(np.uint8)


def flat(size):
    image = np.full((size, size // 2, 3), 255, np.uint8)
    image[: size // 4] = 0
    return image


def looked_at(path, **options):
    data = load.load(DataOptions(dataset=f"folder:{path}", data_dir=str(path / "data")), labels=True, prepare=False)
    return look_at(data, data.num_examples("train"), **options)


def test_sides_are_those_of_the_files(tmp_path):
    look = looked_at(make_folder(tmp_path, [20, 40, 30], noise))
    assert (look.images, look.class_sizes, look.side, look.smallest, look.largest) == (6, (3, 3), 30, 20, 40)
    assert look.kind == "tiny"


@pytest.mark.parametrize("paint, kind", [(noise, "photograph"), (flat, "drawn")])
def test_drawings_are_told_from_photographs(tmp_path, paint, kind):
    assert looked_at(make_folder(tmp_path, [200, 300], paint)).kind == kind


def test_a_file_that_is_no_image_is_left_to_preparation(tmp_path):
    make_folder(tmp_path, [100], noise)
    (tmp_path / "train/cat/broken.png").write_bytes(b"\x89PNG nothing")
    assert looked_at(tmp_path).side == 100


def test_a_data_set_of_one_size_has_that_size(digits_dir):
    data = load.load(DataOptions(data_dir=digits_dir), labels=True)
    assert look_at(data, 1000)[:5] == (1000, (), 8, 8, 8)
