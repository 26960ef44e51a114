"""Measures jobs in separate processes that take turns, and prints Markdown tables.

So each job has its own peak of memory, and other load on the machine affects all jobs alike. A script that measures
starts itself again with `--child` and a job as JSON.
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

# The setting of OpenMP is for PyTorch. By default its threads spin while they wait, which is slow on a shared machine.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OMP_WAIT_POLICY": "passive"}

# Evaluates a job once. Returns two numbers to check it by, for example a loss and one entry of its gradient.
Evaluate = Callable[[], Tuple[float, float]]

# Question to a child → function that returns its answer, one line.
Replies = Mapping[str, Callable[[], str]]


class Result(NamedTuple):
    """Measurements of a job: median seconds of an evaluation, and peak memory of its process in MB."""

    seconds: float
    megabytes: float


# The child process, which runs the job. The parent must not import the child's libraries, or every child would start
# with the parent's size.


def serve(make: Callable[[], Evaluate], *, warm_ups: int = 2) -> None:
    """Evaluates a job each time that standard input asks for it, and answers on standard output.

    Args:
      make: returns the function to evaluate; both may print.
      warm_ups: number of evaluations that do not count. A turn is one evaluation, or as many as fit in TURN_SECONDS.
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
    """Prints 'ready', then answers each line of standard input by the reply of that name. Replies may print."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    replies = make_replies()
    print("ready", file=answers)
    for line in sys.stdin:
        print(replies[line.strip()](), file=answers)


def answer_once(measure: Callable[[], Dict[str, float]]) -> None:
    """Answers once, with the result of `measure` as JSON. `measure` may print."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps(measure()), file=answers)


def seconds_of(function: Callable[[], Any]) -> float:
    """Returns the seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


# The parent process, which measures.


class Child:
    """A process that evaluates a job when asked.

    Args:
      job: argument of `--child`, given as JSON.
      python: path of the interpreter.
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
        """Returns the next line of the child, None if it has ended. The first line is 'ready'."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline() if self._alive else ""
        if self._alive and not line:
            self._alive = False
            print(f"{json.dumps(self._job)} ended by itself", file=sys.stderr)
        return line.strip() or None

    def ask(self, what: str) -> Optional[str]:
        """Asks for one of the child's replies, and returns it."""
        assert self._process.stdin is not None
        if self._alive:
            with contextlib.suppress(BrokenPipeError):  # the child has ended and will not answer
                self._process.stdin.write(f"{what}\n")
        return self.answer()

    def end(self) -> None:
        """Ends the child."""
        self._process.kill()
        self._process.communicate()


def measure(children: Sequence[Child], rounds: int) -> List[Optional[Result]]:
    """Measures the jobs of all children in turns; None for a child that ended by itself. Ends the children."""
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
    """Returns the two numbers of one evaluation by each child. Ends the children."""
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
    """Starts a child that calls `answer_once`, and returns its answer."""
    child = Child(job)
    try:
        return json.loads(child.answer() or "{}")
    finally:
        child.end()


# Tables.


def print_header(titles: Sequence[str]) -> None:
    """Prints the head of a Markdown table."""
    print_row(titles)
    print_row(["---:"] * len(titles))


def print_row(cells: Sequence[str]) -> None:
    """Prints a row of a Markdown table, without delay."""
    print("| " + " | ".join(cells) + " |", flush=True)


def seconds_cell(result: Optional[Result]) -> str:
    """Returns the seconds with three digits."""
    if result is None:
        return NONE
    return f"{result.seconds:.0f}" if result.seconds >= 100 else f"{result.seconds:.3g}"


def memory_cell(result: Optional[Result]) -> str:
    """Returns the peak memory in MB."""
    return NONE if result is None else f"{result.megabytes:.0f}"


def ratio_cell(result: Optional[Result], to: Optional[Result]) -> str:
    """Returns one time as a multiple of another."""
    return NONE if result is None or to is None else f"{result.seconds / to.seconds:.2f}"
