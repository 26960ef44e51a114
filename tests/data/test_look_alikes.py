"""Held-out images that look like training images are found; others are not."""

import io

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
import sklearn.datasets

from supcon_tf.data import load, look_alikes
from supcon_tf.data.look_alikes import Thumbnail

SIDE = 213


def parts():
    """Returns twelve square parts of two photographs, which show different things."""
    photographs = [PIL.Image.fromarray(pixels) for pixels in sklearn.datasets.load_sample_images().images]
    corners = [(x, y) for x in (0, SIDE, 2 * SIDE) for y in (0, SIDE)]
    return [image.crop((x, y, x + SIDE, y + SIDE)) for image in photographs for x, y in corners]


PARTS = parts()


def compressed(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return PIL.Image.open(stream)


def thumbnails(images, change=lambda image: image):
    return [Thumbnail(str(i), look_alikes.thumbnail(change(image))) for i, image in enumerate(images)]


@pytest.mark.parametrize(
    "change",
    [
        compressed,
        lambda image: image.resize((106, 106)),
        lambda image: image.resize((70, 70), PIL.Image.Resampling.BICUBIC),
        lambda image: PIL.ImageEnhance.Contrast(image).enhance(1.2),
        lambda image: PIL.ImageEnhance.Brightness(image).enhance(0.85),
    ],
)
def test_a_changed_image_looks_like_its_original_and_like_no_other(change, monkeypatch):
    monkeypatch.setattr(look_alikes, "TILE", 5)
    found = look_alikes.look_alikes(thumbnails(PARTS, change), thumbnails(PARTS))
    assert found == {str(i): str(i) for i in range(len(PARTS))}
    assert look_alikes.look_alikes(thumbnails(PARTS[:6], change), thumbnails(PARTS[6:])) == {}


def test_flat_images_look_like_nothing():
    flat = [PIL.Image.new("RGB", (30, 30), colour) for colour in ("white", "black", (0, 0, 9))]
    assert look_alikes.look_alikes(thumbnails(flat), thumbnails(flat)) == {}


def test_too_many_pairs_are_not_compared(monkeypatch):
    monkeypatch.setattr(look_alikes, "MOST_PAIRS", 143)
    assert look_alikes.look_alikes(thumbnails(PARTS), thumbnails(PARTS)) == {}


def test_digits_do_not_look_alike():
    images = [PIL.Image.fromarray((16 * image).astype(np.uint8)) for image in sklearn.datasets.load_digits().images]
    assert look_alikes.look_alikes(thumbnails(images[:600]), thumbnails(images[600:])) == {}


def test_they_are_counted_when_a_folder_is_prepared(tmp_path):
    for i, image in enumerate(PARTS[:8]):
        for split, change in (("train", lambda image: image), ("test", compressed if i == 5 else None)):
            path = tmp_path / "pictures" / split / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            other = PARTS[8 + i % 4].rotate(10 * i + 20) if change is None else change(image)
            other.save(path)
    options = load.DataOptions(dataset=f"folder:{tmp_path / 'pictures'}", data_dir=str(tmp_path / "data"))
    for _ in range(2):  # now, and from the prepared data
        said = "\n".join(load.findings(load.load(options, labels=True)))
        assert "look like training images: 1, e.g. test/b/5.png like train/b/5.png; if they show the same" in said
