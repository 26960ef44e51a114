"""Classifies image files with an exported model: `python -m supcon_tf.serving.predict SAVED_MODEL IMAGE...`."""

import os
import sys
from typing import Callable, List, Tuple

from supcon_tf.errors import UserError, first_line


def load_classifier(saved_model: str) -> Callable[[str], Tuple[str, float]]:
    """Returns a function that maps the path of an image file to the name and the probability of its class.

    The path may be a gs:// address, and the file a JPEG, PNG, GIF or BMP image. For any other file the function raises
    a UserError that names the file.

    >>> classify = load_classifier("runs/mine/saved_model")
    >>> classify("IMAGE.png")
    ('7', 0.98)

    Args:
      saved_model: folder of the SavedModel, or a gs:// address.

    Raises:
      UserError: there is no SavedModel, it is damaged, or it was trained without classes.
    """
    import tensorflow as tf

    if not tf.io.gfile.exists(os.path.join(saved_model, "saved_model.pb")):
        raise UserError(f"{saved_model}: holds no saved_model.pb; give the folder of a SavedModel")
    classes = os.path.join(saved_model, "assets", "classes.txt")
    if not tf.io.gfile.exists(classes):
        raise UserError(f"{saved_model}: was trained without classes and returns only embeddings")
    names = _read(classes).decode().splitlines()
    try:
        model = tf.saved_model.load(saved_model)
    except (OSError, IndexError, ValueError, tf.errors.OpError) as error:  # so TensorFlow reports damage
        raise UserError(f"{saved_model}: cannot be loaded ({first_line(error, 120)}); export it again") from error

    def classify(image: str) -> Tuple[str, float]:
        encoded = tf.constant([_read(image)])
        try:
            answer = model.signatures["serve_encoded"](encoded=encoded)
        except tf.errors.InvalidArgumentError:
            raise UserError(f"{image}: is not a JPEG, PNG, GIF or BMP image that TensorFlow reads") from None
        return names[int(answer["classes"][0])], float(tf.reduce_max(answer["probabilities"]))

    return classify


def _read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
      UserError: it cannot be read.
    """
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.NotFoundError:
        raise UserError(f"{path}: no such file") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error, 120)})") from None


def main(argv: List[str]) -> int:
    """Prints a line for each image, on stderr for one that cannot be classified.

    Args:
      argv: the program's name, the folder of the SavedModel, and the images.

    Returns:
      The exit status: 0 if all images were classified, else 2.
    """
    if len(argv) < 3:
        print("usage: python -m supcon_tf.serving.predict SAVED_MODEL IMAGE...", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides notices of TensorFlow's C++ part
    try:
        classify = load_classifier(argv[1])
    except UserError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    status = 0
    for image in argv[2:]:
        try:
            name, probability = classify(image)
        except UserError as error:
            print(f"predict: {error}", file=sys.stderr)
            status = 2
        else:
            print(f"{image}: {name} ({probability:.1%})", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
