"""Measuring in processes of their own that take turns, and Markdown tables.

Each process has a peak of memory of its own, and whatever else the machine does meets all of them alike. A script that
measures starts itself again with `--child` and the JSON of a job.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

TURN_SECONDS = 0.1
NONE = "–"

# OpenMP's is for PyTorch: by default its threads spin while they wait, which on a shared machine makes it far slower.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OMP_WAIT_POLICY": "passive"}

# One evaluation of a job: two numbers that say whether it is right, a loss and one entry of its gradient, say.
Evaluate = Callable[[], Tuple[float, float]]

# What a child is asked → what it then does and says, in one line.
Replies = Mapping[str, Callable[[], str]]


class Result(NamedTuple):
    """What is known of a job once it is done: median of the seconds an evaluation takes, and the process's peak."""

    seconds: float
    megabytes: float


# The child: what is measured. Its parent must not import what it imports, or the children inherit its size.


def serve(make: Callable[[], Evaluate], *, warm_ups: int = 2) -> None:
    """Evaluates as often as standard input asks for it, and answers on standard output.

    Args:
      make: what to evaluate; it may print.
      warm_ups: evaluations before the first that counts. A turn is one evaluation, or as many as take TURN_SECONDS.
    """

    def replies() -> Replies:
        evaluate = make()
        for _ in range(warm_ups):
            seconds = seconds_of(evaluate)
        evaluations = max(1, int(TURN_SECONDS / seconds))
        return {
            "run": lambda: str(statistics.mean(seconds_of(evaluate) for _ in range(evaluations))),
            "result": lambda: " ".join(map(repr, evaluate())),
            "memory": lambda: str(_peak_megabytes()),
        }

    answer_each(replies)


def answer_each(make_replies: Callable[[], Replies]) -> None:
    """Says 'ready', and then answers each line of standard input by the reply of that name; all may print."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    replies = make_replies()
    print("ready", file=answers)
    for line in sys.stdin:
        print(replies[line.strip()](), file=answers)


def answer_once(measure: Callable[[], Dict[str, float]]) -> None:
    """Answers on standard output with what `measure`, which may print, returns."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps(measure()), file=answers)


def seconds_of(function: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


# The parent: who measures.


class Child:
    """A process that evaluates a job when it is asked to.

    Args:
      job: what `--child` gets, as JSON.
      python: the interpreter; this one by default.
    """

    def __init__(self, job: Mapping[str, Any], python: str = sys.executable) -> None:
        command = [python, os.path.abspath(sys.argv[0]), "--child", json.dumps(job)]
        environment = {**os.environ, **ENVIRONMENT}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )
        self._job = job
        self._alive = True

    def answer(self) -> Optional[str]:
        """The next line that the child says, None if it has ended; the first is 'ready'."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline() if self._alive else ""
        if self._alive and not line:
            self._alive = False
            print(f"{json.dumps(self._job)} ended by itself", file=sys.stderr)
        return line.strip() or None

    def ask(self, what: str) -> Optional[str]:
        """Asks for one of the child's replies."""
        assert self._process.stdin is not None
        if self._alive:
            with contextlib.suppress(BrokenPipeError):  # then there will be no answer
                self._process.stdin.write(f"{what}\n")
        return self.answer()

    def end(self) -> None:
        """Lets the child end, and waits for it."""
        self._process.kill()
        self._process.communicate()


def measure(children: Sequence[Child], rounds: int) -> List[Optional[Result]]:
    """What each child's job takes, taking turns; None for one that ended by itself. Ends the children."""
    try:
        for child in children:
            child.answer()
        turns = [[child.ask("run") for child in children] for _ in range(rounds)]
        memory = [child.ask("memory") for child in children]
    finally:
        for child in children:
            child.end()
    return [
        None if megabytes is None else Result(statistics.median(float(s) for s in seconds if s), float(megabytes))
        for seconds, megabytes in zip(zip(*turns), memory)
    ]


def results(children: Sequence[Child]) -> List[Optional[Tuple[float, float]]]:
    """The two numbers of one evaluation by each child. Ends the children."""
    try:
        for child in children:
            child.answer()
        answers = [child.ask("result") for child in children]
    finally:
        for child in children:
            child.end()
    return [None if answer is None else _two_numbers(answer) for answer in answers]


def _two_numbers(answer: str) -> Tuple[float, float]:
    first, second = answer.split()
    return float(first), float(second)


def ask_once(job: Mapping[str, Any]) -> Dict[str, float]:
    """What a child that calls `answer_once` says."""
    child = Child(job)
    try:
        return json.loads(child.answer() or "{}")
    finally:
        child.end()


# Tables.


def print_header(titles: Sequence[str]) -> None:
    """Head of a Markdown table."""
    print_row(titles)
    print_row(["---:"] * len(titles))


def print_row(cells: Sequence[str]) -> None:
    """A row of a Markdown table, at once."""
    print("| " + " | ".join(cells) + " |", flush=True)


def seconds_cell(result: Optional[Result]) -> str:
    """Seconds with three digits."""
    if result is None:
        return NONE
    return f"{result.seconds:.0f}" if result.seconds >= 100 else f"{result.seconds:.3g}"


def memory_cell(result: Optional[Result]) -> str:
    """Megabytes."""
    return NONE if result is None else f"{result.megabytes:.0f}"


def ratio_cell(result: Optional[Result], to: Optional[Result]) -> str:
    """One time as a multiple of another."""
    return NONE if result is None or to is None else f"{result.seconds / to.seconds:.2f}"
