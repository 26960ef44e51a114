"""Runs command lines, each in a fork of one process that has imported TensorFlow already, which saves seconds.

Reads one JSON object a line from stdin: `argv`, `log` (file for stdout and stderr), and optionally `fault` with
`folder`, `error` and `at` (see shim.c). Answers with `started`, the process, and when it ends with `status`, negative
after a signal, and `changes`, the number of changes that the shim has counted in it.
"""

import ctypes
import json
import os
import sys
import traceback

import supcon_tf.run.run  # noqa: F401 (imports all of TensorFlow that a run needs)
from supcon_tf.cli.main import main


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        counted, counts = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(counted)
            run(request, counts)
        os.close(counts)
        say({"started": pid})
        _, status = os.waitpid(pid, 0)
        with os.fdopen(counted) as file:
            changes = file.read()
        say({"status": os.waitstatus_to_exitcode(status), "changes": int(changes or 0)})


def say(answer):
    print(json.dumps(answer), flush=True)


def run(request, counts):
    """Runs a command line in this process, which then ends."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    shim = ctypes.CDLL(None) if request.get("fault") else None
    if shim:
        fault = request["fault"]
        shim.faults_arm(fault["folder"].encode(), fault["error"], ctypes.c_long(fault["at"]))
    try:
        status = main(["app.py", *request["argv"]])
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if shim:
        os.write(counts, str(shim.faults_changes()).encode())
    os._exit(status)


if __name__ == "__main__":
    serve()
