from supcon_tf.data import memory

GIB = 1 << 30


def system(tmp_path, **files):
    """A root folder with these files; `__` in their names is a slash."""
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


MEMINFO = "MemTotal:       32000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"


def test_it_is_what_the_machine_has_available(tmp_path):
    assert memory.available_bytes(system(tmp_path, proc__meminfo=MEMINFO)) == 8 * GIB


def test_a_container_may_have_less(tmp_path):
    root = system(tmp_path, proc__meminfo=MEMINFO)
    cgroup = root / "sys/fs/cgroup"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text(f"{GIB}\n")
    assert memory.available_bytes(root) == 8 * GIB
    (cgroup / "memory.max").write_text(f"{4 * GIB}\n")
    assert memory.available_bytes(root) == 3 * GIB


def test_a_system_may_not_say(tmp_path):
    assert memory.available_bytes(tmp_path) is None
