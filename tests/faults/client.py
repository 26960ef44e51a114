"""Starts command lines in the process of server.py, with faults of the storage, and looks at what they leave."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
KILL = -1  # as an error: the process dies at the change
LEFTOVERS = re.compile(r"partial|temp|tmp|incomplete|\.lock$")


@dataclasses.dataclass(frozen=True)
class Fault:
    """Dies, or fails with the number `error`, at the change number `at` of a file below `folder`."""

    folder: str
    error: int
    at: int


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command line has ended. The status is negative after a signal."""

    status: int
    output: str
    changes: int = 0

    @property
    def lines(self):
        """The lines of the output that say why the program has ended early."""
        return [line for line in self.output.splitlines() if line.startswith("app.py: ")]

    @property
    def has_one_line(self):
        """Whether it ended as after an expected error."""
        return self.status == 2 and len(self.lines) == 1 and "Traceback" not in self.output


class Server:
    """Runs command lines in forks of one process.

    Args:
      folder: where to write their output.
      shim: the compiled shim.c.
    """

    def __init__(self, folder, shim):
        self._log = str(folder / "log{}")
        environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("server.py"))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._logs = {}

    def start(self, argv, fault=None):
        """Starts a command line and returns its process."""
        log = self._log.format(len(self._logs))
        process = self._ask({"argv": argv, "log": log, "fault": fault and dataclasses.asdict(fault)})
        self._logs[process] = log
        return process

    def wait(self, process):
        """Returns how a command line has ended, once it has."""
        answer = self._ask({"wait": process})
        return Ended(answer["status"], self.output(process), answer["changes"])

    def output(self, process):
        """Returns what a command line has printed so far."""
        with contextlib.suppress(FileNotFoundError):
            return pathlib.Path(self._logs[process]).read_text(errors="replace")
        return ""

    def run(self, argv, fault=None):
        """Runs a command line to its end."""
        return self.wait(self.start(argv, fault))

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def files(folder):
    """Returns the paths of files below `folder`, without the events for TensorBoard, whose names contain the time."""
    paths = (path.relative_to(folder) for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if path.parts[0] != "tensorboard")


def leftovers(folder):
    """Returns the paths below `folder` whose names are those of unfinished writes."""
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*") if LEFTOVERS.search(path.name))
