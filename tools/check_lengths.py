"""Checks that no file and no function is too long: `python tools/check_lengths.py [PATH...]`.

A file may have 450 lines and a function 60, from `def` to the last line of its body. Prints each violation; the exit
status is 1 if there is any.
"""

import ast
import pathlib
import sys
from typing import Iterator, List, Union

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
DEFAULT_PATHS = ("app.py", "flags.py", "supcon_tf")

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


def violations(path: pathlib.Path) -> Iterator[str]:
    """Yields one line of text for each rule that the Python file `path` breaks."""
    text = path.read_text(encoding="utf-8")
    length = len(text.splitlines())
    if length > MAX_FILE_LINES:
        yield f"{path}:1: file has {length} lines, at most {MAX_FILE_LINES} are allowed"
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = lines_of(node)
            if length > MAX_FUNCTION_LINES:
                yield (
                    f"{path}:{node.lineno}: function {node.name} has {length} lines, "
                    f"at most {MAX_FUNCTION_LINES} are allowed"
                )


def lines_of(node: Function) -> int:
    """Returns the number of lines from `def` to the end of the body."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def python_files(paths: List[str]) -> Iterator[pathlib.Path]:
    """Yields the files among `paths`, and the Python files in the folders among them."""
    for path in map(pathlib.Path, paths):
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def main(argv: List[str]) -> int:
    """Prints the violations; returns the exit status."""
    found = [line for path in python_files(argv[1:] or list(DEFAULT_PATHS)) for line in violations(path)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
