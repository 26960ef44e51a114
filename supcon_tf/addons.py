"""The one door to TensorFlow Addons, whose notice of its end of life stays off the screen."""

import types
import warnings


def tensorflow_addons() -> types.ModuleType:
    """The package, imported when it is first needed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons \(TFA\) has ended development")
        import tensorflow_addons

    return tensorflow_addons
