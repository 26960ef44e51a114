"""Breaks the code on purpose and shows that the tests notice: `python tools/mutations.py [--tree PATH] [NAME...]`.

Copies the tree to a temporary folder, and there makes one edit of `mutation_list.py` after the other, each on its own,
and runs the tests of its room with `-x`. Prints a table with the test that caught each fault. In the end it runs these
tests on the unchanged copy, where they must pass. The exit status is 1 if a fault survived or could not be planted.
"""

import argparse
import concurrent.futures
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import List, NamedTuple, Optional, Sequence

from mutation_list import MUTATIONS, Edit, Mutation

ROOT = pathlib.Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", ".venv-*", "runs", "__pycache__", ".*_cache", ".hypothesis")
TIMEOUT = 1800  # seconds for the tests of one mutation


class Outcome(NamedTuple):
    """Holds the result of a mutation: `test` is the one that caught it, None if there is none."""

    mutation: Mutation
    test: Optional[str]
    said: str
    seconds: float


def find_edit(mutation: Mutation, tree: pathlib.Path) -> Edit:
    """Returns the first edit that applies to `tree`.

    Raises:
      ValueError: no edit applies, or its text occurs more than once.
    """
    for edit in mutation.edits:
        path = tree / edit.file
        occurrences = path.read_text(encoding="utf-8").count(edit.old) if path.is_file() else 0
        if occurrences > 1:
            raise ValueError(f"text occurs {occurrences} times in {edit.file}")
        if occurrences == 1:
            return edit
    raise ValueError(f"text not found in {', '.join(edit.file for edit in mutation.edits)}")


def run_tests(tree: pathlib.Path, tests: Sequence[str], *options: str) -> subprocess.CompletedProcess:
    """Runs pytest in `tree`, without traces of earlier runs there."""
    shutil.rmtree(tree / ".hypothesis", ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *options, *tests]
    # Bytecode is told from its source by time in seconds and by size, which an edit may leave as they were.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT)


def try_mutation(mutation: Mutation, tree: pathlib.Path) -> Outcome:
    """Plants the fault in `tree`, runs the tests of its room, and removes the fault."""
    start = time.monotonic()

    def outcome(test: Optional[str], said: str) -> Outcome:
        return Outcome(mutation, test, said, time.monotonic() - start)

    try:
        edit = find_edit(mutation, tree)
    except ValueError as error:
        return outcome(None, f"NOT PLANTED: {error}")
    tests = [test for test in mutation.tests if (tree / test).exists()]
    if not tests:
        return outcome(None, f"NO TESTS: {', '.join(mutation.tests)}")
    path = tree / edit.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    try:
        done = run_tests(tree, tests, "-x")
    except subprocess.TimeoutExpired:
        return outcome(None, "TIMED OUT")
    finally:
        path.write_text(text, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode == 1 and failed:
        return outcome(failed[1], f"caught: {failed[1]}")
    last_line = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    return outcome(None, "SURVIVED" if done.returncode == 0 else f"TESTS DID NOT RUN: {last_line}")


def try_all(mutations: Sequence[Mutation], tree: pathlib.Path, jobs: int) -> List[Outcome]:
    """Tries the mutations on copies of `tree`, several side by side; prints a row for each as it ends."""
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as threads:
        copies: queue.Queue[pathlib.Path] = queue.Queue()
        for number in range(jobs):
            copies.put(pathlib.Path(folder) / str(number))
            shutil.copytree(tree, pathlib.Path(folder) / str(number), ignore=shutil.ignore_patterns(*LEFT_OUT))

        def try_one(mutation: Mutation) -> Outcome:
            copy = copies.get()
            outcome = try_mutation(mutation, copy)
            copies.put(copy)
            print(f"| {mutation.room} | {mutation.name} | {outcome.said} | {outcome.seconds:.0f} s |", flush=True)
            return outcome

        outcomes = list(threads.map(try_one, mutations))
        caught_by = sorted({outcome.test for outcome in outcomes if outcome.test})
        if caught_by:
            done = run_tests(copies.get(), caught_by)
            last_line = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
            print(f"\nThe {len(caught_by)} tests that caught a fault, on the unchanged code: {last_line}")
            if done.returncode != 0:
                print(done.stdout)
                sys.exit(1)
    return outcomes


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutations to try; default: all")
    parser.add_argument("--tree", type=pathlib.Path, default=ROOT, help="the checkout to try them on; default: this")
    parser.add_argument("--jobs", type=int, default=1, help="mutations to try at the same time")
    parser.add_argument("--check", action="store_true", help="check that every edit applies; run no test")
    arguments = parser.parse_args(argv[1:])
    known = {mutation.name: mutation for mutation in MUTATIONS}
    unknown = sorted(set(arguments.names) - known.keys())
    if unknown:
        parser.error(f"no such mutation: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in arguments.names] or list(MUTATIONS)
    if arguments.check:
        failed = 0
        for mutation in chosen:
            try:
                find_edit(mutation, arguments.tree)
            except ValueError as error:
                failed += 1
                print(f"{mutation.name}: {error}")
        print(f"{len(chosen) - failed} of {len(chosen)} edits apply")
        return 1 if failed else 0
    print("| room | mutation | outcome | time |\n|---|---|---|---|", flush=True)
    outcomes = try_all(chosen, arguments.tree.resolve(), arguments.jobs)
    caught = sum(outcome.test is not None for outcome in outcomes)
    print(f"\n{caught} of {len(outcomes)} faults were caught.")
    return 0 if caught == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
