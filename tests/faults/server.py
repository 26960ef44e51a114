"""Runs command lines, each in a fork of one process that has imported TensorFlow already, which saves seconds.

Reads one JSON object a line from stdin. `{"argv": …, "log": …}` starts a command line, with the file for its output,
and is answered with its process. `fault` may give `folder`, `error` and `at`; see shim.c. `{"wait": PROCESS}` is
answered with its `status`, negative after a signal, and with `changes`, the number of changes that the shim counted.
"""

import ctypes
import json
import os
import sys
import traceback

import supcon_tf.run.run  # noqa: F401 (imports what a run needs)
from supcon_tf.cli.main import main


def serve():
    counts = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = wait(request["wait"], counts.pop(request["wait"]))
        else:
            read, write = os.pipe()
            answer = os.fork()
            if not answer:
                run(request, write)
            os.close(write)
            counts[answer] = read
        print(json.dumps(answer), flush=True)


def wait(process, pipe):
    _, status = os.waitpid(process, 0)
    with os.fdopen(pipe) as file:
        changes = file.read()
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return {"status": code, "changes": int(changes or 0)}


def run(request, counts):
    """Runs a command line in this process, which then ends."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    fault = request["fault"]
    if fault:
        shim = ctypes.CDLL(None)
        shim.faults_arm(fault["folder"].encode(), fault["error"], ctypes.c_long(fault["at"]))
    try:
        status = main(["app.py", *request["argv"]])
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if fault:
        os.write(counts, str(shim.faults_changes()).encode())
    os._exit(status)


if __name__ == "__main__":
    serve()
