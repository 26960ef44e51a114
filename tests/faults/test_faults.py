"""Campaigns against the files of a run: kills and a full disk at any change, damage, two processes, many steps.

After each fault the same command ends with what an undisturbed run leaves. `make test` tries a few cases of each
campaign and `make test-all` tries many. docs/reliability.md has the figures.
"""

import errno
import filecmp
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from supcon_tf.data import unfinished
from tests.faults.client import KILL, Fault, files, leftovers

FEW = (220, 150)  # changes of one run after another in the same folder


def fault_in(folder, error, at):
    return Fault(f"{folder / 'run'}/", error, at)


def test_a_run_that_is_killed_again_and_again_ends_as_if_undisturbed(reference, tmp_path):
    for at in FEW:
        assert reference.server.run(reference.argv(tmp_path), fault_in(tmp_path, KILL, at)).status == -signal.SIGKILL
    reference.check_ends_equal(tmp_path)


@pytest.mark.slow
def test_a_run_whose_disk_is_full_again_and_again_says_so_and_ends_as_if_undisturbed(reference, tmp_path):
    for at in FEW:
        ended = reference.server.run(reference.argv(tmp_path), fault_in(tmp_path, errno.ENOSPC, at))
        assert ended.has_one_line, ended.output
        assert ended.lines[0].startswith(f"app.py: {tmp_path / 'run'}: No space left on device; ")
        assert "Run the same command again when there is space" in ended.lines[0]
    assert re.search(r"; the checkpoint of step \d of stage 'pretrain' is kept\. ", ended.lines[0])
    reference.check_ends_equal(tmp_path)


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
def test_other_failures_of_storage_are_one_line_too(reference, tmp_path, error):
    ended = reference.server.run(reference.argv(tmp_path), fault_in(tmp_path, error, 25))
    assert ended.has_one_line, ended.output
    assert f": {os.strerror(error)}; " in ended.lines[0]
    assert str(tmp_path / "run") in ended.lines[0]


def points(seed, count, number):
    """Returns some change numbers up to `count`, spread over it."""
    chance = random.Random(seed)
    return [1 + int((part + chance.random()) * count / number) for part in range(number)]


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("error", [KILL, errno.ENOSPC, errno.EIO])
def test_a_fault_at_any_change_of_the_run_is_survived(supcon, tmp_path, error, seed):
    chance, faults = random.Random(seed), 0
    for _ in range(8):
        at = chance.randint(1, supcon.changes // 4)
        ended = supcon.server.run(supcon.argv(tmp_path), fault_in(tmp_path, error, at))
        if ended.status == 0:
            break
        assert ended.status == -signal.SIGKILL if error == KILL else ended.has_one_line, (at, ended.output)
        faults += 1
    print(f"{faults} faults survived")
    assert faults >= 3
    supcon.check_ends_equal(tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("error", [KILL, errno.ENOSPC])
def test_a_fault_at_any_change_of_the_prepared_data_is_survived(reference, tmp_path, error):
    def prepare(folder, error, at):
        """Prepares data for a run that ends then, because it lacks what it is to evaluate."""
        data = folder / "data"
        argv = [*reference.argv(folder, data_dir=data), "--stages=evaluate"]
        return reference.server.run(argv, Fault(f"{data}/", error, at))

    changes = prepare(tmp_path / "undisturbed", 0, 0).changes
    for at in [*range(1, 9), *points(error, changes, 12), *range(changes - 20, changes)]:
        folder = tmp_path / str(at)
        ended = prepare(folder, error, at)
        assert ended.status == -signal.SIGKILL if error == KILL else ended.has_one_line, (at, ended.output)
        assert "needs the finished stage" in prepare(folder, 0, 0).output
        assert leftovers(folder / "data" / "digits") == []
        for name in files(reference.folder / "data" / "digits"):
            assert filecmp.cmp(folder / "data" / "digits" / name, reference.folder / "data" / "digits" / name, False)
        shutil.rmtree(folder)


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of 64 kB and yields its folder and a function that gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"needs the right to mount a file system: {mount.stderr.strip()}")
    yield folder, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
    subprocess.run(["umount", folder], check=True)


@pytest.mark.campaign
def test_a_small_disk_is_named_and_a_larger_one_lets_the_run_end(reference, small_disk):
    folder, resize = small_disk
    for size in ("64k", "256k"):
        resize(size)
        ended = reference.server.run(reference.argv(folder))
        assert ended.has_one_line, ended.output
        assert ended.lines[0].startswith(f"app.py: {folder / 'run'}: No space left on device; ")
    resize("64m")
    reference.check_ends_equal(folder)


def until(condition, seconds=60):
    """Waits until a condition holds."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_data_are_prepared_leaves_nothing_that_is_taken_as_whole(reference, tmp_path, number):
    data = tmp_path / "data"
    process = reference.server.start(reference.argv(tmp_path, data_dir=data))
    until(lambda: list(data.glob("digits/incomplete.*")))
    os.kill(process, number)
    ended = reference.server.wait(process)
    if number == signal.SIGKILL:
        assert ended.status == -number
        assert leftovers(data)  # nothing could remove them
    else:
        assert ended.status == 128 + number
        assert ended.lines == ["app.py: interrupted; run the same command again"]
        assert "Traceback" not in ended.output
    assert not list(data.glob("digits/1.0.0/*"))
    unfinished.remove_leftovers(str(data / "digits"))  # as the next start does; a signal may hit the removal itself
    assert leftovers(data) == []


@pytest.mark.slow
def test_data_deleted_while_a_run_reads_them_are_named(reference, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(reference.folder / "data", data)
    argv = reference.argv(tmp_path, data_dir=data)
    process = reference.server.start(argv)
    until((tmp_path / "run" / "checkpoints" / "pretrain" / "ckpt-2.index").exists)
    shutil.rmtree(data / "digits")
    ended = reference.server.wait(process)
    assert ended.has_one_line, ended.output
    assert f"{data}/digits/1.0.0/" in ended.lines[0]
    assert "No such file or directory; the checkpoint of step" in ended.lines[0]
    reference.check_ends_equal(tmp_path, data_dir=data)


@pytest.mark.slow
def test_a_second_process_is_refused_and_the_first_ends_as_if_alone(reference, tmp_path):
    first = reference.server.start(reference.argv(tmp_path))
    until((tmp_path / "run" / "config.json").exists)
    second = reference.server.run([*reference.argv(tmp_path), "--temperature=0.5"])
    assert second.has_one_line, second.output
    assert f"process {first} on " in second.lines[0]
    ended = reference.server.wait(first)
    assert ended.status == 0, ended.output
    reference.check_equal(tmp_path)


@pytest.mark.campaign
def test_two_processes_that_prepare_the_same_data_both_train(reference, tmp_path):
    data = tmp_path / "data"
    folders = [tmp_path / "a", tmp_path / "b"]
    processes = [reference.server.start(reference.argv(folder, data_dir=data)) for folder in folders]
    for process, folder in zip(processes, folders):
        ended = reference.server.wait(process)
        assert ended.status == 0, ended.output
        reference.check_equal(folder)
    assert leftovers(data) == []


@pytest.mark.campaign
def test_memory_and_open_files_do_not_grow_over_thousands_of_steps(reference, tmp_path):
    argv = [*reference.argv(tmp_path), "--pretrain_epochs=1000", "--checkpoint_minutes=10", "--stages=pretrain"]
    process = reference.server.start(argv)
    stage = tmp_path / "run" / "checkpoints" / "pretrain"
    seen = {}
    for step in (1000, 4000):
        until(lambda step=step: any(number >= step for number in saved(stage)), seconds=1800)
        memory = int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        seen[step] = memory, len(os.listdir(f"/proc/{process}/fd"))
    assert reference.server.wait(process).status == 0
    assert seen[4000][0] < seen[1000][0] + 30e6, seen
    assert seen[4000][1] <= seen[1000][1] + 2, seen


def saved(stage):
    """Returns the steps of the checkpoints of a stage."""
    return [int(path.stem.split("-")[1]) for path in stage.glob("ckpt-*.index")]
