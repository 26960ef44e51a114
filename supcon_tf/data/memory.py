"""Measures the memory that this process may still take."""

import pathlib
from typing import Optional

ROOT = pathlib.Path("/")
# Files with the limit and the use of a container, for both versions of Linux's control groups.
CONTAINERS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_bytes(root: pathlib.Path = ROOT) -> Optional[int]:
    """Returns the free memory of the machine, or of the container if that is less; None if the system does not say.

    Args:
      root: the system's root folder.
    """
    free = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free.append(1024 * int(line.split()[1]))
    for limit, used in CONTAINERS:
        texts = _text(root / limit).strip(), _text(root / used).strip()
        if all(text.isdecimal() for text in texts):  # 'max' means no limit
            free.append(max(int(texts[0]) - int(texts[1]), 0))
    return min(free) if free else None


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
