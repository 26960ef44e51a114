"""Classifies image files with an exported model: `python -m supcon_tf.cli.predict SAVED_MODEL IMAGE...`."""

import argparse
import os
import sys
import warnings
from typing import Any, Callable, Dict, NoReturn, Optional, Sequence, Tuple

if __name__ == "__main__" and not __package__:  # run by its path
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from supcon_tf.cli import entry, surroundings
from supcon_tf.cli.forms import PREDICT
from supcon_tf.cli.guard import guarded
from supcon_tf.cli.versions import versions_text
from supcon_tf.errors import UserError, printable

TO_SAVE_MEMORY = UserError("give smaller images, or a machine with more memory")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prints a line for each image, on stderr for one that cannot be classified.

    Args:
      argv: the program's name, the folder of the SavedModel, and the images; None for those of this process.

    Returns:
      The exit status: 0 if all images were classified, else 2, or that of a signal.

    Raises:
      SystemExit: after printing the help.
    """
    return guarded(
        ["predict", *(sys.argv if argv is None else argv)[1:]], _run, _as_typed, to_save_memory=TO_SAVE_MEMORY
    )


def _run(argv: Sequence[str]) -> int:
    parser = _Parser(PREDICT, description="Classifies image files with an exported model.", allow_abbrev=False)
    parser.add_argument("saved_model", metavar="SAVED_MODEL", help="folder of the SavedModel, or a gs:// address")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image file")
    trust = "run a model whose operations may touch files, the network or other programs"
    parser.add_argument("--trust_model", action="store_true", help=trust)
    parser.add_argument("--version", action="store_true", help="print the versions of what matters, and stop")
    if "--version" in argv[1:]:
        print(versions_text(), flush=True)
        return 0
    for argument in argv[1:]:
        if argument.partition("=")[0] in ("--model", "--saved_model", "--image", "--images"):
            raise UserError(f"{argument}: no such option; write {PREDICT} SAVED_MODEL IMAGE...")
    asked = parser.parse_args(argv[1:])
    _check_model(asked.saved_model, asked.images)
    unusable = {image: reason for image in asked.images if (reason := _why_unusable(image))}
    if all(image in unusable for image in asked.images):
        return _print_classes(lambda image: ("", 0.0), asked.images, unusable)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides notices of TensorFlow's C++ part
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images
        with surroundings.native_notices_hidden():
            from supcon_tf.serving.predict import load_classifier

        return _print_classes(load_classifier(asked.saved_model, trust_model=asked.trust_model), asked.images, unusable)


def _check_model(saved_model: str, images: Sequence[str]) -> None:
    """Raises UserError unless this is the folder of a SavedModel, or an address, which TensorFlow checks."""
    if "://" in saved_model or os.path.exists(os.path.join(saved_model, "saved_model.pb")):
        return
    if not os.path.exists(saved_model):
        raise UserError(f"{saved_model}: there is no such folder; give that of the SavedModel, such as RUN/saved_model")
    if not os.path.isdir(saved_model):
        models = [image for image in images if os.path.exists(os.path.join(image, "saved_model.pb"))]
        advice = f"the model comes first: {PREDICT} {models[0]} {saved_model}" if models else "give the model first"
        raise UserError(f"{saved_model}: is a file, not the folder of a SavedModel; {advice}")
    below = os.path.join(saved_model, "saved_model")
    if os.path.exists(os.path.join(below, "saved_model.pb")):
        raise UserError(f"{saved_model}: holds no saved_model.pb; did you mean {below}?")
    if os.path.exists(os.path.join(saved_model, "config.json")):
        raise UserError(f"{saved_model}: is a run without an exported model; run its command with --stages=export")
    raise UserError(f"{saved_model}: holds no saved_model.pb; give the folder of a SavedModel")


def _why_unusable(image: str) -> str:
    """Returns why an image cannot be read, '' if nothing seems wrong. Imports no TensorFlow."""
    if image.startswith(("http://", "https://")):
        return "is an address; download it first"
    if os.path.isdir(image):
        return f"is a folder; give {os.path.join(image, '*')}"
    return "" if "://" in image or os.path.exists(image) or os.path.islink(image) else "no such file"


class _Parser(argparse.ArgumentParser):
    """Parses arguments, and answers a mistake with one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help says more")


def _as_typed(name: str, value: Any) -> str:
    """Names an argument the way the user types it."""
    return "--trust_model" if name == "trust_model" else str(value)


def _print_classes(
    classify: Callable[[str], Tuple[str, float]], images: Sequence[str], unusable: Dict[str, str]
) -> int:
    """Prints a line for each image; returns the exit status.

    Args:
      classify: returns the class and its probability.
      images: the paths.
      unusable: image → why it cannot be read, for some.
    """
    status = 0
    for image in images:
        try:
            if image in unusable:
                raise UserError(f"{image}: {unusable[image]}")
            name, probability = classify(image)
        except UserError as error:
            print(printable(f"predict: {error}"), file=sys.stderr)
            status = 2
        else:
            print(printable(f"{image}: {name} ({probability:.1%})"), flush=True)
    return status


if __name__ == "__main__":
    entry.leave(entry.start("supcon_tf.cli.predict", ["predict", *sys.argv[1:]]))
