"""Classifies image files with an exported model."""

import os
from typing import Any, Callable, Dict, Optional, Tuple

from supcon_tf.errors import ArgumentError, UserError, first_line, is_utf8

OUTPUTS = {"classes", "probabilities", "valid"}  # of the signature `serve_encoded`


def load_classifier(saved_model: str, *, trust_model: bool = False) -> Callable[[str], Tuple[str, float]]:
    """Returns a function that maps the path of an image file to the name and the probability of its class.

    The path may be a gs:// address. The file may have any format that training reads, and its pixels are the same as in
    training. For any other file the function raises a UserError that names the file.

    For example, `load_classifier("runs/mine/saved_model")("IMAGE.png")` returns `("7", 0.98)`.

    Args:
      saved_model: folder of the SavedModel, or a gs:// address.
      trust_model: whether to run a model whose operations may touch files, the network or other programs.

    Raises:
      UserError: there is no SavedModel, it is damaged, or it was trained without classes.
      ArgumentError: the model is not trusted and could do more than compute.
    """
    import tensorflow as tf

    from supcon_tf.data.decoder_messages import libjpeg_warnings

    if not is_utf8(saved_model):
        raise UserError(f"{saved_model}: the path is not UTF-8, which TensorFlow needs; rename it")
    if not tf.io.gfile.exists(os.path.join(saved_model, "saved_model.pb")):
        raise UserError(f"{saved_model}: holds no saved_model.pb; give the folder of a SavedModel")
    classes = os.path.join(saved_model, "assets", "classes.txt")
    if not tf.io.gfile.exists(classes):
        raise UserError(f"{saved_model}: was trained without classes and returns only embeddings")
    if not trust_model:
        _check_operations(saved_model)
    names = _read(classes).decode(errors="replace").splitlines()
    try:
        # The signatures live no longer than the model.
        model = tf.saved_model.load(saved_model)
        serve = model.signatures["serve_encoded"]
    except Exception as error:  # its type depends on which file is damaged
        raise UserError(f"{saved_model}: cannot be loaded ({first_line(error, 120)}); export it again") from None
    if not serve.structured_outputs.keys() >= OUTPUTS:
        raise UserError(f"{saved_model}: comes from another version or another program; export it again")
    if serve.structured_outputs["probabilities"].shape[1] not in (None, len(names)):
        raise UserError(f"{classes}: has {len(names):,} lines, which is not the model's number of classes")

    def answer_to(content: bytes) -> Optional[Dict[str, Any]]:
        """Returns the model's answer; None if it cannot decode the image."""
        answer = {name: value.numpy()[0] for name, value in serve(encoded=tf.constant([content])).items()}
        return answer if answer["valid"] else None

    def classify(image: str) -> Tuple[str, float]:
        assert model is not None
        content = _read(image)
        with libjpeg_warnings():  # which do not name the image
            answer = answer_to(content) or answer_to(_convert(image, content))
        if answer is None:
            raise UserError(f"{image}: is an image that the model cannot decode")
        return names[int(answer["classes"])], float(answer["probabilities"].max())

    return classify


def _check_operations(saved_model: str) -> None:
    """Raises ArgumentError if a model could do more than compute."""
    from supcon_tf.models.graph_ops import unsafe_operations

    operations = unsafe_operations(saved_model)
    if operations:
        problem = (
            f"contains {', '.join(operations)}, which can touch files, the network or other programs; if you trust its "
            "source, add {trust_model}"
        )
        raise ArgumentError("saved_model", saved_model, problem, trust_model=True)


def _convert(image: str, content: bytes) -> bytes:
    """Returns a JPEG or PNG with the pixels that training sees.

    Raises:
      UserError: the content is not an image that training reads.
    """
    from supcon_tf.data import pixels

    try:
        return pixels.encode(content)
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise UserError(f"{image}: cannot be read as an image ({pixels.reason(error)})") from None


def _read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
      UserError: it cannot be read.
    """
    import tensorflow as tf

    if not is_utf8(path):
        raise UserError(f"{path}: the path is not UTF-8, which TensorFlow needs; rename it")
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):  # /dev/stdin, read once
            with open(path, "rb") as stream:
                return stream.read()
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except tf.errors.NotFoundError:
        raise UserError(f"{path}: no such file") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error, 120)})") from None
