import numpy as np
import pytest
from PIL import Image

from supcon_tf import picture

POLICIES = ("crop_flip", "simclr")


def image_of(seed):
    return np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_rows_are_policies_and_columns_the_images_with_their_views():
    images = [image_of(0), image_of(1)]
    drawn = picture.draw(images, POLICIES)
    step = picture.TILE + picture.GAP
    images_width = 2 * (1 + picture.VIEWS) * step + picture.BETWEEN_IMAGES
    assert drawn.size == (picture.LABEL_WIDTH + images_width, 2 * step + picture.GAP)

    pixels = np.asarray(drawn)
    first_row, second_row = pixels[picture.GAP : step], pixels[picture.GAP + step : 2 * step]
    originals = slice(picture.LABEL_WIDTH, picture.LABEL_WIDTH + picture.TILE)
    np.testing.assert_array_equal(first_row[:, originals], second_row[:, originals])
    assert (first_row[:, originals.stop :] != second_row[:, originals.stop :]).any()
    assert (first_row[:, : picture.LABEL_WIDTH] != second_row[:, : picture.LABEL_WIDTH]).any()


def test_same_seed_gives_same_picture_and_another_seed_another():
    images = [image_of(0)]
    first, again, other = (picture.draw(images, POLICIES[:1], seed).tobytes() for seed in (0, 0, 1))
    assert first == again != other


def test_command_writes_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr("supcon_tf.augment.views.POLICIES", {"crop_flip": ()})
    Image.fromarray(image_of(0)).save(tmp_path / "image.png")
    written = []
    for name in ("first.png", "second.png", "first.png"):
        assert picture.main(["picture", str(tmp_path / name), str(tmp_path / "image.png")]) == 0
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1] == written[2]


def test_file_that_is_not_an_image_is_named(tmp_path, capsys):
    (tmp_path / "image.png").write_text("no image")
    assert picture.main(["picture", str(tmp_path / "picture.png"), str(tmp_path / "image.png")]) == 2
    assert "image.png: cannot be read as an image" in capsys.readouterr().err


def test_help_is_help_and_no_file(capsys):
    assert picture.main(["picture", "--help"]) == 0 and picture.USAGE in capsys.readouterr().out
    assert picture.main(["picture"]) == 2 and picture.USAGE in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("photograph.jpg", "must end in .png"),
        ("photograph.png", "exists and is another file"),
        ("nowhere/picture.png", "its folder does not exist"),
    ],
)
def test_no_photograph_is_overwritten_and_no_folder_made(name, complaint, tmp_path, capsys):
    for photograph in ("photograph.jpg", "photograph.png"):
        Image.fromarray(image_of(0)).save(tmp_path / photograph)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert picture.main(["picture", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"picture: {tmp_path / name}: ") and complaint in line
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_photographs_of_scikit_learn_are_there():
    assert len(picture.photographs()) == 2
