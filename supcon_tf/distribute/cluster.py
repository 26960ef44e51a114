"""Reads the worker processes of a run from the environment variable TF_CONFIG, and waits for them."""

import dataclasses
import json
import os
import re
import socket
import sys
import time
from typing import Any, List, Optional, Tuple

from supcon_tf.errors import UserError

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
ADDRESS = re.compile(r"[^/:]+:\d+|\[[^/\]]+\]:\d+")
LARGEST_PORT = 65535
PROBE_SECONDS = 1.0
PAUSE_SECONDS = 0.3


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
      addresses: 'host:port' of each, the chief first.
      own: address of this process, one of these.
    """

    addresses: Tuple[str, ...]
    own: str


def read_cluster() -> Optional[Cluster]:
    """Returns the cluster that TF_CONFIG describes; None if it is not set.

    Raises:
      UserError: TF_CONFIG is malformed, or names tasks that do not train.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        jobs, job, index = dict(cluster.items()), task["type"], task["index"]
        if isinstance(index, (bool, float)) or not all(isinstance(listed, list) for listed in jobs.values()):
            raise ValueError
        index = int(index)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(
            f"TF_CONFIG={_shortened(text)}: must be JSON with 'cluster' and 'task', such as {EXAMPLE}"
        ) from None
    for other in (*jobs, job):
        if other not in ("chief", "worker"):
            raise UserError(f"TF_CONFIG: has a task '{other}'; every task must be 'worker', or 'chief' for the first")
    addresses: List[Any] = [*jobs.get("chief", []), *jobs.get("worker", [])]
    for address in addresses:
        is_one = isinstance(address, str) and ADDRESS.fullmatch(address)
        if not is_one or not 1 <= int(address.rpartition(":")[2]) <= LARGEST_PORT:
            raise UserError(
                f"TF_CONFIG: address {json.dumps(address)}: must be HOST:PORT, the port up to {LARGEST_PORT}"
            )
        if addresses.count(address) > 1:
            raise UserError(f"TF_CONFIG: address {address}: is given to two tasks; each needs its own")
    if len(jobs.get("chief", [])) > 1:
        raise UserError(f"TF_CONFIG: names {len(jobs['chief'])} tasks of type 'chief'; only one is allowed")
    if not addresses:
        raise UserError(f"TF_CONFIG: its cluster names no worker; it must look like {EXAMPLE}")
    if not 0 <= index < len(jobs.get(job, [])):
        known = [f"{job} {index}" for job in ("chief", "worker") for index in range(len(jobs.get(job, [])))]
        raise UserError(f"TF_CONFIG: task {job} {index} is not in its cluster, which has {', '.join(known)}")
    return Cluster(tuple(addresses), jobs[job][index])


def wait_for_workers(cluster: Cluster, *, notice_seconds: float, seconds: float) -> None:
    """Waits until every process of the cluster listens at its address. This process listens meanwhile.

    TensorFlow would wait too, but Ctrl-C, SIGTERM and other threads have no effect during its call.

    Args:
      cluster: the processes.
      notice_seconds: time after which stderr names the missing processes.
      seconds: time after which this gives up.

    Raises:
      UserError: a process is still missing, or this one cannot listen at its own address.
    """
    start = time.monotonic()
    missing = [address for address in cluster.addresses if address != cluster.own]
    noticed = False
    with _listening(cluster.own):
        while True:
            missing = [address for address in missing if not _listens(address)]
            waited = time.monotonic() - start
            if not missing:
                return
            if waited > seconds:
                raise UserError(
                    f"TF_CONFIG: no worker at {', '.join(missing)} after {seconds:.0f} s; start the same command, with "
                    "its own TF_CONFIG, on each worker"
                )
            if waited > notice_seconds and not noticed:
                print(f"Waiting for the workers at {', '.join(missing)} ...", file=sys.stderr, flush=True)
                noticed = True
            time.sleep(PAUSE_SECONDS)


def _listening(address: str) -> socket.socket:
    """Returns a socket that listens at this process' own address, as TensorFlow will later."""
    try:
        return socket.create_server(("", int(address.rpartition(":")[2])))
    except OSError as error:
        raise UserError(
            f"TF_CONFIG: this worker's address {address} cannot be used ({os.strerror(error.errno or 0)})"
        ) from None


def _listens(address: str) -> bool:
    """Returns whether a process accepts connections at an address."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS).close()
        return True
    except OSError:
        return False


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:60] + "..."
