"""The undisturbed run that the campaigns compare with, and the process that runs command lines."""

import dataclasses
import filecmp
import pathlib
import shutil
import subprocess
import sys

import pytest
from tensorflow import keras

from tests.faults.client import Fault, Server, files, leftovers

# The smallest run with all stages and a checkpoint after each step.
SMALL = ["--dataset=digits", "--max_examples=64", "--batch_size=16", "--augment=crop_flip"]
SMALL += ["--pretrain_epochs=2", "--warmup_epochs=0", "--checkpoint_minutes=1e-9"]
CE = ["--mode=ce", *SMALL]
SUPCON = ["--mode=supcon", *SMALL, "--linear_epochs=1", "--linear_batch_size=16", "--projection_layers=8"]


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The compiled shim.c."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler, to let single calls of the system fail")
    path = tmp_path_factory.mktemp("shim") / "shim.so"
    source = pathlib.Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


@pytest.fixture(scope="session")
def server(shim, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("logs"), shim)
    yield server
    server.close()


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """An option that names an encoder of a few weights."""
    path = tmp_path_factory.mktemp("encoder") / "tiny.keras"
    images = keras.Input((8, 8, 1))
    features = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=2)(images))
    embedding = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(features))
    keras.Model(images, embedding).save(path)
    return f"--encoder={path}"


@dataclasses.dataclass(frozen=True)
class Reference:
    """An undisturbed run.

    Attributes:
      server: runs command lines.
      options: its options without folders.
      folder: holds the run in `run` and the prepared data in `data`.
      changes: number of changes of files in the run's folder.
    """

    server: Server
    options: list
    folder: pathlib.Path
    changes: int

    def argv(self, folder, *, data_dir=None):
        """Returns the same command line for a run in another folder, with the prepared data by default."""
        return [*self.options, f"--run_dir={folder / 'run'}", f"--data_dir={data_dir or self.folder / 'data'}"]

    def check_ends_equal(self, folder, *, data_dir=None):
        """Runs the command line in `folder` to its end and checks that it leaves what the undisturbed run left."""
        ended = self.server.run(self.argv(folder, data_dir=data_dir))
        assert ended.status == 0, ended.output
        self.check_equal(folder)
        return ended

    def check_equal(self, folder):
        """Checks that the run in `folder` has left the same as the undisturbed run."""
        for name in ("metrics.json", "config.json", "saved_model/variables/variables.data-00000-of-00001"):
            assert filecmp.cmp(folder / "run" / name, self.folder / "run" / name, shallow=False), name
        assert files(folder / "run") == files(self.folder / "run")
        assert leftovers(folder) == []


def undisturbed(server, options, folder):
    run = folder / "run"
    argv = [*options, f"--run_dir={run}", f"--data_dir={folder / 'data'}"]
    ended = server.run(argv, Fault(f"{run}/", 0, 0))
    assert ended.status == 0, ended.output
    return Reference(server, options, folder, ended.changes)


@pytest.fixture(scope="session")
def reference(server, encoder, tmp_path_factory):
    """An undisturbed run of mode 'ce', the quickest one."""
    return undisturbed(server, [*CE, encoder], tmp_path_factory.mktemp("ce"))


@pytest.fixture(scope="session")
def supcon(server, encoder, tmp_path_factory):
    """An undisturbed run of mode 'supcon', which has all stages."""
    return undisturbed(server, [*SUPCON, encoder], tmp_path_factory.mktemp("supcon"))
