"""Supervised contrastive learning (Khosla et al., NeurIPS 2020, arXiv 2004.11362) in TensorFlow and Keras.

TensorFlow is imported when one of these names is first used:

>>> import supcon_tf
>>> supcon_tf.SupConLoss(temperature=0.1).temperature
0.1
"""

import importlib
import importlib.util
import os
import sys
from typing import Any, List

__version__ = "0.1.0"

_HOME = {
    "LARS": "optimizers",
    "Classifier": "models",
    "ContrastiveModel": "models",
    "NTXentLoss": "losses",
    "ProjectionHead": "models",
    "SupConLoss": "losses",
    "build_encoder": "models",
    "fit": "api",
    "supervised_contrastive_loss": "losses",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'supcon_tf' has no attribute '{name}'")
    return getattr(importlib.import_module(f"supcon_tf.{_HOME[name]}"), name)


def __dir__() -> List[str]:
    return sorted({*globals(), *_HOME})


def _choose_keras_2() -> None:
    """Makes TensorFlow 2.16 and later take Keras 2, from the package tf_keras, where it would take Keras 3.

    Does nothing if the user has chosen by the environment variable, or if it is too late.
    """
    variable = "TF_USE_LEGACY_KERAS"
    if variable in os.environ or "tensorflow" in sys.modules or importlib.util.find_spec("tf_keras") is None:
        return
    if importlib.util.find_spec("tensorflow") and _tensorflow_version() >= (2, 16):
        os.environ[variable] = "1"


def _tensorflow_version() -> "tuple[int, ...]":
    """Returns the major and minor version of the installed TensorFlow; it comes under several names."""
    import importlib.metadata  # takes a third of the time of importing the command line

    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-intel", "tf-nightly"):
        try:
            return tuple(map(int, importlib.metadata.version(name).split(".")[:2]))
        except importlib.metadata.PackageNotFoundError:
            continue
    return (0, 0)


_choose_keras_2()
