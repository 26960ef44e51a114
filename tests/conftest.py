import ctypes
import gc
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the first import of TensorFlow

import pytest

import supcon_tf  # noqa: F401  # before TensorFlow: it chooses Keras 2

import tensorflow as tf  # isort: skip
import tensorflow_datasets as tfds
from tensorflow.python.framework import ops as tensorflow_ops

from supcon_tf import config
from supcon_tf.data import load
from supcon_tf.data.digits import Digits
from tests import voc

# So that tests can put MirroredStrategy on several devices; it must be said before TensorFlow looks at its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 8
)


def pytest_runtest_setup():
    """Skips a test that would begin after SUPCON_TF_TESTS_UNTIL, in seconds since 1970; `.ci/run` sets it."""
    until = os.environ.get("SUPCON_TF_TESTS_UNTIL")
    if until and time.time() > float(until):
        pytest.skip("no time left")


@pytest.fixture(autouse=True)
def fresh_start():
    """Each test starts in Keras' default precision, and with collectives that no strategy before it has numbered."""
    tf.keras.mixed_precision.set_global_policy("float32")
    tf.distribute.MirroredStrategy._collective_key_base += 100_000


@pytest.fixture(autouse=True, scope="module")
def memory_given_back(request):
    """Graphs that a module keeps go when it ends; they are what makes a test process grow to many gigabytes.

    TensorFlow registers the gradient of each traced call of `tf.custom_gradient` under a new name, for good, and
    with it the graph around the call. Keras' optimizers make one such call in each step that is traced.
    """
    yield
    for name in [name for name in gradients if name.startswith("CustomGradient-")]:
        del gradients[name]
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
    if memory_of_process() < memory_then[0] + 2**29:
        return  # for it takes seconds
    tf.keras.backend.clear_session()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # else the C library keeps what is free
    memory_then[0] = memory_of_process()


gradients = tensorflow_ops.gradient_registry._registry
memory_then = [2**30]  # what the process had when some was given back for the last time


def memory_of_process():
    """Bytes; where the system does not say, more than any process has."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return sys.maxsize


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """A data directory in which 'digits' is prepared."""
    data_dir = tmp_path_factory.mktemp("digits")
    tfds.disable_progress_bar()
    Digits(data_dir=data_dir).download_and_prepare()
    return str(data_dir)


@pytest.fixture(scope="session")
def voc_dir(tmp_path_factory):
    """A data directory in which a small voc/2007 is prepared by TFDS from tars."""
    folder = tmp_path_factory.mktemp("voc")
    voc.write_tars(folder)
    with voc.taken_for_the_originals(folder):
        options = config.DataOptions(dataset="voc/2007", data_dir=str(folder / "data"), source_files=str(folder))
        load.load(options, labels=True)
    return str(folder / "data")
