"""Starts the program, or says in one line which package is missing.

Imports nothing but the standard library at first, so that it also answers in a Python without the packages.
"""

import importlib
import importlib.util
import os
import signal
import sys
from typing import NoReturn, Optional, Sequence

TENSORFLOW = ("tensorflow", "tf_keras", "keras")
# The packages that this one imports; any other is one that a data set of TFDS, or a package of these, asks for.
REQUIRED = (
    *TENSORFLOW,
    *("absl", "etils", "h5py", "numpy", "PIL", "promise", "sklearn", "tensorboard", "tensorflow_datasets", "tqdm"),
)
PACKAGE_NAMES = {"bs4": "beautifulsoup4", "cv2": "opencv-python", "skimage": "scikit-image", "yaml": "pyyaml"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what the command line asks for; see `supcon_tf.cli.main`.

    Args:
      argv: the program's name and the flags; None for those of this process.

    Returns:
      The exit status, 2 if a package is missing, or 130 after Ctrl-C.

    Raises:
      SystemExit: with that status, where `argv` is None.
    """
    if argv is None:  # the installed command, which then ends
        leave(start("supcon_tf.cli.main", sys.argv))
    return start("supcon_tf.cli.main", argv)


def leave(status: int) -> NoReturn:
    """Ends the process. Ctrl-C then ends it at once, where it would only add a traceback of what cleans up."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


def start(command: str, argv: Sequence[str]) -> int:
    """Runs the function `main` of a module, or says which package is missing; returns the exit status."""
    try:
        return importlib.import_module(command).main(argv)
    except KeyboardInterrupt:  # while the module is imported; later ones get a line of their own
        print(f"\n{os.path.basename(argv[0])}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except ModuleNotFoundError as error:
        name = error.name or getattr(error.__cause__, "name", None)  # TFDS raises one without a name from one with it
        package = (name or "").partition(".")[0]
        if package in ("", "supcon_tf") or _is_installed(package):
            raise
        print(f"{os.path.basename(argv[0])}: {missing_text(package)}", file=sys.stderr)
        return 2


def missing_text(package: str, folder: Optional[str] = None) -> str:
    """Returns the line that says which package is missing and how to get it.

    Args:
      package: the name by which Python imports it.
      folder: the clone that holds this package; None to look for it.
    """
    if package not in REQUIRED:
        install = f"'{sys.executable} -m pip install {PACKAGE_NAMES.get(package, package)}'"
        return f"{sys.executable} lacks the package {package}, which a data set or another package needs; run {install}"
    folder = folder or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for name in (".venv", ".venv-addons", ".venv-current"):
        python = os.path.join(folder, name, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
        if os.path.exists(python) and not os.path.samefile(os.path.join(folder, name), sys.prefix):
            return f"{sys.executable} lacks the package {package}; use {python}"
    if os.path.exists(os.path.join(folder, "pyproject.toml")):
        advice = f"run 'make demo' or '{os.path.basename(sys.executable)} tools/setup.py demo' in {folder}"
    elif package in TENSORFLOW:
        wanted = "tensorflow==2.15.*" if sys.version_info < (3, 12) else "tensorflow==2.21.*"
        advice = f"run '{sys.executable} -m pip install {wanted}'"
    else:
        advice = "install supcon_tf again"
    return f"{sys.executable} lacks the package {package}; {advice}"


def _is_installed(package: str) -> bool:
    """Tells whether the package is there, so that only a part of it is missing."""
    return importlib.util.find_spec(package) is not None
