"""Worker processes on this machine."""

import contextlib
import json
import socket


def free_addresses(number):
    """Different addresses at which nobody listens."""
    with contextlib.ExitStack() as held:
        free = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in free:
            one.bind(("localhost", 0))
        return [f"localhost:{one.getsockname()[1]}" for one in free]


def tf_config(addresses, index):
    """TF_CONFIG of one of the workers at these addresses."""
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
