import json
import time

import pytest
import tensorflow as tf

from supcon_tf import distribute
from supcon_tf.distribute import strategy as strategy_lib
from supcon_tf.errors import UserError


def test_auto_is_one_device_on_a_machine_with_one():
    strategy = distribute.make_strategy("auto")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.num_replicas_in_sync == 1 and distribute.is_chief(strategy)


def test_mirrored_uses_all_devices_there_are():
    strategy = distribute.make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == len(tf.config.list_logical_devices("CPU"))


def test_missing_tpu_is_said_in_one_line_at_once():
    start = time.monotonic()
    with pytest.raises(UserError, match="--tpu=local: cannot be reached") as error:
        distribute.make_strategy("auto", tpu="local")
    assert "\n" not in str(error.value) and time.monotonic() - start < 55


def test_tpu_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(strategy_lib, "TPU_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: time.sleep(3))
    with pytest.raises(UserError, match="--tpu=mine: no answer within"):
        distribute.make_strategy("tpu", tpu="mine")


@pytest.mark.parametrize(
    "text, complaint", [("", "needs the environment variable"), ("{", "must be JSON"), ("[]", "must")]
)
def test_multi_worker_needs_a_cluster(monkeypatch, text, complaint):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=complaint):
        distribute.make_strategy("multi_worker")


@pytest.mark.parametrize(
    "task, chief",
    [({"type": "worker", "index": 0}, True), ({"type": "worker", "index": 1}, False)],
)
def test_the_first_worker_is_chief(monkeypatch, task, chief):
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))

    monkeypatch.setattr(strategy_lib, "has_several_processes", lambda strategy: True)

    class Strategy:
        cluster_resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()

    assert distribute.is_chief(Strategy()) == chief
