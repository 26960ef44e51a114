import os
import subprocess
import sys

import pytest
from tensorflow_datasets.core import utils

from supcon_tf.data import unfinished

HOLD = """
import sys, time
from tensorflow_datasets.core import utils
from supcon_tf.data import unfinished
with unfinished.marked(), utils.incomplete_dir(dirname=sys.argv[1]) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_gets_its_name_at_the_end(tmp_path):
    with unfinished.marked(), utils.incomplete_dir(dirname=str(tmp_path / "toy" / "1.0.0")) as folder:
        assert os.listdir(tmp_path / "toy") == [os.path.basename(folder.rstrip("/"))]
        open(os.path.join(folder, "file"), "w").close()
    assert os.listdir(tmp_path / "toy") == ["1.0.0"]
    assert os.listdir(tmp_path / "toy" / "1.0.0") == ["file"]


def test_a_folder_is_removed_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), unfinished.marked(), utils.incomplete_dir(dirname=str(tmp_path / "1.0.0")):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_only_the_folders_of_dead_processes_of_this_program_are_removed(tmp_path):
    (tmp_path / "incomplete.ABCDEF_1.0.0").mkdir()  # may belong to a process of TFDS
    (tmp_path / "incomplete.supcon_tf-00000000_1.0.0").mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "1.0.0")], stdout=subprocess.PIPE, text=True)
    living = os.path.basename(process.stdout.readline().strip().rstrip("/"))
    unfinished.remove_leftovers(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(["incomplete.ABCDEF_1.0.0", living])
    process.kill()
    process.wait()
    unfinished.remove_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["incomplete.ABCDEF_1.0.0"]
    unfinished.remove_leftovers(str(tmp_path / "nowhere"))
