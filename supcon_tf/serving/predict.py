"""Classifies image files with an exported model: `python -m supcon_tf.serving.predict SAVED_MODEL IMAGE...`."""

import os
import sys
from typing import Iterator, List, Sequence, Tuple


class NotAnImage(ValueError):
    """A file is not an image that TensorFlow reads."""


def predict(saved_model: str, images: Sequence[str]) -> Iterator[Tuple[str, float]]:
    """Yields class name and probability of each file, in order. Needs only TensorFlow, not this project.

    Args:
      saved_model: folder of the SavedModel, or a gs:// address.
      images: paths or gs:// addresses of JPEG, PNG, GIF or BMP files.

    Raises:
      NotAnImage: a file is not such an image; names the file.
    """
    import tensorflow as tf

    model = tf.saved_model.load(saved_model)
    names = _read(os.path.join(saved_model, "assets", "classes.txt")).decode().splitlines()
    for image in images:
        try:
            answer = model.signatures["serve_encoded"](encoded=tf.constant([_read(image)]))
        except tf.errors.InvalidArgumentError:
            raise NotAnImage(f"{image}: is not a JPEG, PNG, GIF or BMP image that TensorFlow reads") from None
        yield names[int(answer["classes"][0])], float(tf.reduce_max(answer["probabilities"]))


def _read(path: str) -> bytes:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def main(argv: List[str]) -> int:
    """Prints a line for each image and returns the exit status."""
    if len(argv) < 3:
        print("usage: python -m supcon_tf.serving.predict SAVED_MODEL IMAGE...", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    saved_model, images = argv[1], argv[2:]
    for path in (os.path.join(saved_model, "saved_model.pb"), *images):
        if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
            print(f"predict: {path}: no such file", file=sys.stderr)
            return 2
    if not tf.io.gfile.exists(os.path.join(saved_model, "assets", "classes.txt")):
        print(f"predict: {saved_model}: was trained without classes and returns only embeddings", file=sys.stderr)
        return 2
    try:
        for image, (name, probability) in zip(images, predict(saved_model, images)):
            print(f"{image}: {name} ({probability:.1%})", flush=True)
    except NotAnImage as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
