"""Classifies image files with an exported model: `python -m supcon_tf.cli.predict SAVED_MODEL IMAGE...`."""

import argparse
import os
import sys
import warnings
from typing import Any, Callable, NoReturn, Optional, Sequence, Tuple

from supcon_tf.cli import entry, surroundings
from supcon_tf.cli.guard import guarded
from supcon_tf.errors import UserError, printable


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prints a line for each image, on stderr for one that cannot be classified.

    Args:
      argv: the program's name, the folder of the SavedModel, and the images; None for those of this process.

    Returns:
      The exit status: 0 if all images were classified, else 2, or that of a signal.

    Raises:
      SystemExit: after printing the help.
    """
    return guarded(["predict", *(sys.argv if argv is None else argv)[1:]], _run, _as_typed)


def _run(argv: Sequence[str]) -> int:
    parser = _Parser("predict", description="Classifies image files with an exported model.", allow_abbrev=False)
    parser.add_argument("saved_model", metavar="SAVED_MODEL", help="folder of the SavedModel, or a gs:// address")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image file")
    trust = "run a model whose operations may touch files, the network or other programs"
    parser.add_argument("--trust_model", action="store_true", help=trust)
    asked = parser.parse_args(argv[1:])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides notices of TensorFlow's C++ part
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images
        with surroundings.native_notices_hidden():
            from supcon_tf.serving.predict import load_classifier

        return _print_classes(load_classifier(asked.saved_model, trust_model=asked.trust_model), asked.images)


class _Parser(argparse.ArgumentParser):
    """Parses arguments, and answers a mistake with one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help says more")


def _as_typed(name: str, value: Any) -> str:
    """Names an argument the way the user types it."""
    return "--trust_model" if name == "trust_model" else str(value)


def _print_classes(classify: Callable[[str], Tuple[str, float]], images: Sequence[str]) -> int:
    """Prints a line for each image; returns the exit status."""
    status = 0
    for image in images:
        try:
            name, probability = classify(image)
        except UserError as error:
            print(printable(f"predict: {error}"), file=sys.stderr)
            status = 2
        else:
            print(printable(f"{image}: {name} ({probability:.1%})"), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(entry.start("supcon_tf.cli.predict", ["predict", *sys.argv[1:]]))
