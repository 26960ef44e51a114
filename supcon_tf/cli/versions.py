"""The text of `--version`: what a report of a bug needs."""

import platform

import supcon_tf

# Packages whose versions change results or errors; of the names of TensorFlow at most one or two are installed.
PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "tf_keras",
    "tensorflow-addons",
    "tensorflow-datasets",
    "numpy",
    "pillow",
    "absl-py",
)


def versions_text() -> str:
    """Returns one line for each of: this package, Python, the system, and the packages that are installed."""
    import importlib.metadata  # takes a third of the time of importing the command line

    lines = [
        f"supcon_tf {supcon_tf.__version__}",
        f"Python {platform.python_version()} ({platform.python_implementation()})",
        f"{platform.system()} {platform.release()} {platform.machine()}",
    ]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return "\n".join(lines)
