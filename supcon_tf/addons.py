"""Imports TensorFlow Addons, here only, and suppresses its notice about the end of development."""

import types
import warnings


def tensorflow_addons() -> types.ModuleType:
    """Returns the package, which is imported at the first call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons \(TFA\) has ended development")
        import tensorflow_addons

    return tensorflow_addons
