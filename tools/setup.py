"""Makes the environment on any system, with or without make: `python tools/setup.py demo`.

  runtime  makes the environment that `app.py` needs
  dev      adds what tests and checks need
  demo     trains on small images of digits that come with the environment
  test     runs the tests that take ten minutes

Run it with a Python from 3.9 to 3.13. It makes nothing again that is there already.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]
OLDEST, NEWEST, CURRENT = (3, 9), (3, 13), (3, 12)
RUNTIME = ("requirements-base.txt", "requirements.txt", "requirements-cpu.txt")
DEV = "requirements-dev.txt"
PIP = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", "-r")
TESTS = ("-m", "pytest", "-n", "logical", "--maxprocesses=4", "--dist=loadscope", "--no-loadscope-reorder")


def python_in(environment: pathlib.Path) -> str:
    """Returns the path of the Python of a virtual environment."""
    return str(environment / "Scripts" / "python.exe" if os.name == "nt" else environment / "bin" / "python")


def has_gpu() -> bool:
    """Tells whether the machine has an NVIDIA GPU."""
    command = shutil.which("nvidia-smi")
    return command is not None and "GPU" in subprocess.run([command, "-L"], capture_output=True, text=True).stdout


def is_done(stamp: pathlib.Path, requirements: Sequence[str]) -> bool:
    """Tells whether an installation ended after its requirements were last changed.

    Args:
      stamp: the file that the installation makes last, so that an interrupted one is not taken as done.
      requirements: names of the requirements files.
    """
    return stamp.exists() and all(stamp.stat().st_mtime >= (ROOT / name).stat().st_mtime for name in requirements)


def make_runtime(environment: pathlib.Path, python: str) -> None:
    """Makes the environment. It is made again if the requirements have changed.

    Raises:
      SystemExit: no environment can be made with this Python.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(f"{python}: is Python {sys.version_info[0]}.{sys.version_info[1]}; TensorFlow needs 3.9 to 3.13")
    if environment.is_symlink():
        sys.exit(f"{environment}: is a link; remove it, so that the environment it leads to is not replaced")
    wanted = "requirements.txt" if has_gpu() else "requirements-cpu.txt"
    current = sys.version_info[:2] >= CURRENT
    lane = "2.21" if current else "2.15 with TensorFlow Addons"
    print(f"Python {sys.version_info[0]}.{sys.version_info[1]}: TensorFlow {lane}")
    print(f"Installing {wanted} into {environment.name} (a minute or more) ...", flush=True)
    # tensorflow and tensorflow-cpu must never be in it together, so it is cleared.
    subprocess.run([python, "-m", "venv", "--clear", str(environment)], check=True)
    subprocess.run([python_in(environment), *PIP, wanted], check=True, cwd=ROOT)
    (environment / "runtime").touch()


def make_dev(environment: pathlib.Path) -> None:
    """Adds what tests and checks need."""
    print(f"Installing {DEV} into {environment.name} ...", flush=True)
    subprocess.run([python_in(environment), *PIP, DEV], check=True, cwd=ROOT)
    (environment / "dev").touch()


def main(argv: Sequence[str]) -> int:
    """Does the job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("runtime", "dev", "demo", "test"))
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path(".venv"), help="folder of the environment")
    parser.add_argument(
        "--python", default=getattr(sys, "_base_executable", sys.executable), help="Python to make it with"
    )
    asked = parser.parse_args(argv[1:])
    environment = ROOT / asked.venv
    try:
        if not is_done(environment / "runtime", RUNTIME):
            make_runtime(environment, asked.python)
        if asked.job in ("dev", "test") and not is_done(environment / "dev", (DEV,)):
            make_dev(environment)
    except subprocess.CalledProcessError as error:
        return error.returncode
    commands = {"demo": ("app.py", "--mode=supcon", "--dataset=digits"), "test": TESTS}
    if asked.job not in commands:
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return subprocess.run([python_in(environment), *commands[asked.job]], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv))
