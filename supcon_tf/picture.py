"""Draws the views of each augmentation policy: `python -m supcon_tf.picture PICTURE.png [IMAGE...]`."""

import functools
import os
import sys
from typing import Any, List, Optional, Sequence

import numpy as np

from supcon_tf.errors import UserError

USAGE = "usage: python -m supcon_tf.picture PICTURE.png [IMAGE...]"

SEED = 2
VIEWS = 3  # views of each image
VIEW_SIDE = 224  # side of the views, in pixels; the same as in training on ImageNet
TILE = 120  # side of a view in the picture, in pixels
GAP = 4
BETWEEN_IMAGES = 16
LABEL_WIDTH = 180
FONT_SIZE = 15


def draw(images: Sequence[np.ndarray], policies: Sequence[str], seed: int = SEED) -> Any:
    """Returns one row for each policy: its name and, for each image, its central square and `VIEWS` views.

    Args:
      images: uint8 `[height, width, 3]` each.
      policies: names from `supcon_tf.augment.views.POLICIES`.
      seed: seed of the views, together with the number of the image.

    Returns:
      A `PIL.Image.Image`. Equal arguments give equal pictures.
    """
    import tensorflow as tf
    from PIL import Image, ImageDraw, ImageFont

    from supcon_tf.augment import augmented_views, evaluation_view
    from supcon_tf.config import AugmentOptions

    signature = (tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int64))
    step = TILE + GAP
    image_width = (1 + VIEWS) * step + BETWEEN_IMAGES
    size = (LABEL_WIDTH + len(images) * image_width - BETWEEN_IMAGES, len(policies) * step + GAP)
    picture = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_SIZE)
    for row, policy in enumerate(policies):
        make_views = functools.partial(
            augmented_views,
            num_views=VIEWS,
            image_size=VIEW_SIDE,
            options=AugmentOptions(augment=(policy,)),
            flip=True,
        )
        views_of = tf.function(make_views, input_signature=signature, autograph=False)
        top = GAP + row * step
        pen.text((GAP, top + TILE // 2), policy, fill="black", font=font, anchor="lm")
        for number, image in enumerate(images):
            views = views_of(image, [seed, number])
            left = LABEL_WIDTH + number * image_width
            for view in (evaluation_view(image, VIEW_SIDE, 1.0), *views):
                tile = Image.fromarray(view.numpy()).resize((TILE, TILE), Image.Resampling.LANCZOS)
                picture.paste(tile, (left, top))
                left += step
    return picture


def photographs() -> List[np.ndarray]:
    """Returns the two photographs that scikit-learn ships."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


def main(argv: List[str]) -> int:
    """Writes the picture; returns the exit status."""
    if {"-h", "--help"} & set(argv[1:]):
        print(USAGE)
        return 0
    if len(argv) < 2:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        write(argv[1], argv[2:])
    except UserError as error:
        print(f"picture: {error}", file=sys.stderr)
        return 2
    return 0


def write(path: str, images: Sequence[str]) -> None:
    """Writes the picture of the files `images`, or of the photographs without files, to the file `path`.

    Raises:
      UserError: a file cannot be read or written, or `path` is not the name of a picture.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from PIL import Image

    from supcon_tf.augment.views import POLICIES

    if not path.endswith(".png"):
        raise UserError(f"{path}: the picture comes first and must end in .png; {USAGE}")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise UserError(f"{path}: its folder does not exist")
    if os.path.exists(path) and _mode(path) != "P":  # photographs have no palette
        raise UserError(f"{path}: exists and is another file; delete it first, or give another name")
    originals = [_read(image) for image in images] or photographs()
    picture = draw(originals, tuple(POLICIES))
    # A palette takes a third of the bytes, and dithering keeps the sky smooth.
    dithered = picture.quantize(palette=picture.quantize(), dither=Image.Dither.FLOYDSTEINBERG)
    try:
        dithered.save(path, "PNG", optimize=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _read(path: str) -> np.ndarray:
    """Returns the pixels of an image file, as in training."""
    from supcon_tf.data import pixels

    try:
        with open(path, "rb") as file:
            content = pixels.encode(file.read())
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise UserError(f"{path}: cannot be read as an image: {pixels.reason(error)}") from error
    return pixels.decode_image(content, 3, checked=False).numpy()


def _mode(path: str) -> Optional[str]:
    """Returns Pillow's name of the pixel format; None for a file that is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.mode)
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv))
