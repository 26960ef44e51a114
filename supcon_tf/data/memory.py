"""How much memory this process may still take."""

import pathlib
from typing import Optional

ROOT = pathlib.Path("/")
# Limit and use of a container, by version of Linux's control groups.
CONTAINERS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_bytes(root: pathlib.Path = ROOT) -> Optional[int]:
    """What the machine has free, or the container if that is less; None where the system does not say."""
    free = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free.append(1024 * int(line.split()[1]))
    for limit, used in CONTAINERS:
        texts = _text(root / limit).strip(), _text(root / used).strip()
        if all(text.isdecimal() for text in texts):  # 'max' is no limit
            free.append(max(int(texts[0]) - int(texts[1]), 0))
    return min(free) if free else None


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
