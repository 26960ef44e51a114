import subprocess
import sys


def test_addons_come_without_the_notice_of_their_end():
    code = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "from supcon_tf.addons import tensorflow_addons; tensorflow_addons()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
