import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from supcon_tf import distribute
from supcon_tf.distribute import strategy as strategy_lib
from supcon_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def test_auto_is_one_device_on_a_machine_with_one():
    strategy = distribute.make_strategy("auto")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.num_replicas_in_sync == 1 and distribute.is_chief(strategy)


def test_mirrored_uses_all_devices():
    strategy = distribute.make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == len(tf.config.list_logical_devices("CPU"))


def test_a_missing_tpu_gives_one_line_at_once():
    start = time.monotonic()
    with pytest.raises(UserError, match="tpu='local': this machine has no TPU; .* or leave tpu out") as error:
        distribute.make_strategy("auto", tpu="local")
    assert "\n" not in str(error.value) and time.monotonic() - start < 55


def test_waiting_for_a_silent_tpu_ends(monkeypatch, capsys):
    asked = []

    def resolver(tpu, zone, project):
        asked.append((tpu, zone, project))
        time.sleep(3)

    monkeypatch.setattr(strategy_lib, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(strategy_lib, "TPU_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", resolver)
    with pytest.raises(UserError, match="tpu='mine': no answer within"):
        distribute.make_strategy("tpu", tpu="mine", tpu_zone="us-central2-b", tpu_project="ours")
    assert asked == [("mine", "us-central2-b", "ours")]
    assert capsys.readouterr().err == "Connecting to TPU mine ...\n"


@pytest.mark.parametrize(
    "text, complaint", [("", "needs the environment variable"), ("{", "must be JSON"), ("[]", "must")]
)
def test_multi_worker_needs_a_cluster(monkeypatch, text, complaint):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=complaint):
        distribute.make_strategy("multi_worker")


def test_other_strategies_do_not_look_at_the_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert distribute.make_strategy("one_device").num_replicas_in_sync == 1


def test_waiting_for_workers_that_do_not_join_ends():
    with socket.create_server(("", 0)) as mute, socket.socket() as free:
        free.bind(("localhost", 0))
        own, other = (f"localhost:{one.getsockname()[1]}" for one in (free, mute))
        free.close()
        cluster = {"cluster": {"worker": [own, other]}, "task": {"type": "worker", "index": 0}}
        code = (
            "import sys, app; from supcon_tf.distribute import strategy; strategy.JOIN_TIMEOUT_SECONDS = 2; "
            "sys.exit(app.main(['app.py', '--mode=supcon', '--dataset=digits']))"
        )
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == -signal.SIGKILL
    # Current TensorFlow writes notices before.
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("app.py: ")]
    assert line.startswith("app.py: TF_CONFIG: the workers have not joined each other within 2 s")
