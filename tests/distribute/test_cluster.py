import concurrent.futures
import json
import socket
import time

import pytest

from supcon_tf.distribute.cluster import Cluster, read_cluster, wait_for_workers
from supcon_tf.errors import UserError
from tests.cluster import free_addresses


def read(monkeypatch, cluster, **task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    return read_cluster()


def test_there_is_no_cluster_without_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert read_cluster() is None


def test_the_chief_comes_first(monkeypatch):
    cluster = read(monkeypatch, {"worker": ["a:1", "b:1"], "chief": ["c:1"]}, type="worker", index=1)
    assert cluster == Cluster(("c:1", "a:1", "b:1"), own="b:1")


@pytest.mark.parametrize(
    "cluster, task, complaint",
    [
        ({"worker": ["a:1"]}, {}, "must be JSON with 'cluster' and 'task'"),
        ({"worker": ["a:1"]}, {"type": "worker", "index": "x"}, "must be JSON with 'cluster' and 'task'"),
        (["a:1"], {"type": "worker", "index": 0}, "must be JSON with 'cluster' and 'task'"),
        ({"worker": []}, {"type": "worker", "index": 0}, "its cluster names no worker"),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 2}, "task worker 2 is not in its cluster, which has"),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": -1}, "task worker -1 is not in its cluster"),
        ({"worker": ["a:1"]}, {"type": "chief", "index": 0}, "task chief 0 is not in its cluster, which has worker 0"),
        ({"worker": ["a:1"], "ps": ["b:1"]}, {"type": "worker", "index": 0}, "has a task 'ps'; every task must be"),
        ({"worker": ["a:1"]}, {"type": "evaluator", "index": 0}, "has a task 'evaluator'; every task must be"),
        ({"chief": ["a:1", "b:1"]}, {"type": "chief", "index": 0}, "names 2 tasks of type 'chief'"),
        ({"worker": ["a"]}, {"type": "worker", "index": 0}, 'address "a": must be HOST:PORT'),
        ({"worker": [":1"]}, {"type": "worker", "index": 0}, 'address ":1": must be HOST:PORT'),
        ({"worker": ["a:0"]}, {"type": "worker", "index": 0}, 'address "a:0": must be HOST:PORT'),
        ({"worker": ["a:65536"]}, {"type": "worker", "index": 0}, 'address "a:65536": must be HOST:PORT'),
        ({"worker": ["http://a:1"]}, {"type": "worker", "index": 0}, 'address "http://a:1": must be HOST:PORT'),
        ({"worker": "a:1"}, {"type": "worker", "index": 0}, "must be JSON with 'cluster' and 'task'"),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 1.7}, "must be JSON with 'cluster' and 'task'"),
        ({"worker": [1]}, {"type": "worker", "index": 0}, "address 1: must be HOST:PORT"),
        ({"worker": ["a:1", "a:1"]}, {"type": "worker", "index": 0}, "address a:1: is given to two tasks"),
    ],
)
def test_a_wrong_cluster_gets_one_line(cluster, task, complaint, monkeypatch):
    with pytest.raises(UserError) as error:
        read(monkeypatch, cluster, **task)
    assert str(error.value).startswith("TF_CONFIG") and complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def addresses():
    """Two addresses at which no process listens."""
    return free_addresses(2)


def test_processes_wait_for_each_other_in_any_order(addresses):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(
            wait_for_workers, Cluster(tuple(addresses), own=addresses[0]), notice_seconds=60, seconds=60
        )
        time.sleep(0.5)
        second = pool.submit(
            wait_for_workers, Cluster(tuple(addresses), own=addresses[1]), notice_seconds=60, seconds=60
        )
        assert second.result() is None
        with socket.create_server(("", int(addresses[1].split(":")[1]))):  # as TensorFlow does next
            assert first.result() is None


def test_a_missing_worker_is_named_and_waiting_ends(addresses, capsys):
    with pytest.raises(UserError, match=f"^TF_CONFIG: no worker at {addresses[1]} after 1 s; start the same"):
        wait_for_workers(Cluster(tuple(addresses), own=addresses[0]), notice_seconds=0.1, seconds=1)
    assert capsys.readouterr().err == f"Waiting for the workers at {addresses[1]} ...\n"


def test_an_address_that_is_taken_is_named(addresses):
    with socket.create_server(("", int(addresses[0].split(":")[1]))), pytest.raises(UserError, match=addresses[0]):
        wait_for_workers(Cluster(tuple(addresses), own=addresses[0]), notice_seconds=1, seconds=1)
