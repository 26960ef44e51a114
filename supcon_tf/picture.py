"""A picture of what each policy makes of an image: `python -m supcon_tf.picture PICTURE.png [IMAGE...]`."""

import functools
import os
import sys
from typing import Any, List, Sequence

import numpy as np

SEED = 2
VIEWS = 3  # of each image
VIEW_SIDE = 224  # as training on ImageNet sees them
TILE = 120  # pixels, of a view in the picture
GAP = 4
BETWEEN_IMAGES = 16
LABEL_WIDTH = 180
FONT_SIZE = 15


def draw(images: Sequence[np.ndarray], policies: Sequence[str], seed: int = SEED) -> Any:
    """One row for each policy: its name and, for each image, its middle and `VIEWS` views.

    Args:
      images: uint8 `[height, width, 3]` each.
      policies: of `supcon_tf.augment.views.POLICIES`.
      seed: what the views follow from, with the number of the image.

    Returns:
      A `PIL.Image.Image`; the same for the same arguments.
    """
    import tensorflow as tf
    from PIL import Image, ImageDraw, ImageFont

    from supcon_tf.augment import augmented_views, evaluation_view
    from supcon_tf.config import AugmentOptions

    signature = (tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int64))
    step = TILE + GAP
    of_image = (1 + VIEWS) * step + BETWEEN_IMAGES
    size = (LABEL_WIDTH + len(images) * of_image - BETWEEN_IMAGES, len(policies) * step + GAP)
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
        of_any_image = tf.function(make_views, input_signature=signature, autograph=False)
        top = GAP + row * step
        pen.text((GAP, top + TILE // 2), policy, fill="black", font=font, anchor="lm")
        for number, image in enumerate(images):
            views = of_any_image(image, [seed, number])
            left = LABEL_WIDTH + number * of_image
            for view in (evaluation_view(image, VIEW_SIDE, 1.0), *views):
                tile = Image.fromarray(view.numpy()).resize((TILE, TILE), Image.Resampling.LANCZOS)
                picture.paste(tile, (left, top))
                left += step
    return picture


def photographs() -> List[np.ndarray]:
    """The two that scikit-learn ships."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


def main(argv: List[str]) -> int:
    """Writes the picture; returns the exit status."""
    if len(argv) < 2:
        print("usage: python -m supcon_tf.picture PICTURE.png [IMAGE...]", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from PIL import Image

    from supcon_tf.augment.views import POLICIES

    images = []
    for path in argv[2:]:
        try:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
        except OSError as error:
            print(f"picture: {path}: is not an image that can be read: {error}", file=sys.stderr)
            return 2
    picture = draw(images or photographs(), tuple(POLICIES))
    # With a palette it takes a third of the bytes, and dithered no sky looks posterized.
    dithered = picture.quantize(palette=picture.quantize(), dither=Image.Dither.FLOYDSTEINBERG)
    dithered.save(argv[1], "PNG", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
