"""Checks that no modules import each other in a circle: `python tools/check_circles.py [PACKAGE]`.

The contracts in pyproject.toml order the rooms of the package; this check covers the modules inside a room, and counts
imports inside functions too. Prints one circle, if there is any; the exit status is then 1.
"""

import graphlib
import sys
from typing import List, Optional

import grimp


def circle(package: str) -> Optional[List[str]]:
    """Returns the modules of a circle, each imported by the next; None if there is no circle."""
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return None


def main(argv: List[str]) -> int:
    """Prints a circle; returns the exit status."""
    sys.path.insert(0, ".")
    found = circle(argv[1] if len(argv) > 1 else "supcon_tf")
    if found:
        print(f"circular import: {' -> '.join(reversed(found))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
