"""Classifies image files with an exported model: `python -m supcon_tf.serving.predict SAVED_MODEL IMAGE...`."""

import os
import pathlib
import sys
from typing import List, Sequence, Tuple


def predict(saved_model: str, images: Sequence[str]) -> List[Tuple[str, float]]:
    """Class name and probability for each file; needs TensorFlow and nothing of this project.

    Args:
      saved_model: folder of the SavedModel.
      images: paths of JPEG or PNG files.
    """
    import tensorflow as tf

    model = tf.saved_model.load(saved_model)
    names = pathlib.Path(saved_model, "assets", "classes.txt").read_text().splitlines()
    contents = [pathlib.Path(image).read_bytes() for image in images]
    answer = model.signatures["serve_encoded"](encoded=tf.constant(contents))
    probabilities = tf.reduce_max(answer["probabilities"], axis=1)
    return [(names[i], float(p)) for i, p in zip(answer["classes"].numpy(), probabilities.numpy())]


def main(argv: List[str]) -> int:
    """Prints a line for each image; returns the exit status."""
    if len(argv) < 3:
        print("usage: python -m supcon_tf.serving.predict SAVED_MODEL IMAGE...", file=sys.stderr)
        return 2
    saved_model, images = argv[1], argv[2:]
    for path in (os.path.join(saved_model, "assets", "classes.txt"), *images):
        if not os.path.isfile(path):
            print(f"predict: {path}: no such file", file=sys.stderr)
            return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for image, (name, probability) in zip(images, predict(saved_model, images)):
        print(f"{image}: {name} ({probability:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
