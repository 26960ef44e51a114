"""Damages every file that a run and its data leave, one at a time, and repeats the command.

The run then ends as an undisturbed one, or with one line that says what is damaged. docs/reliability.md has figures.
"""

import os
import pathlib
import shutil
import signal
import struct

import pytest

from tests.faults.client import KILL, Fault


def lose_examples(path):
    """Cuts the last tenth of the examples off a TFRecord file, which leaves no damaged example."""
    content, ends = path.read_bytes(), [0]
    while ends[-1] < len(content):
        ends.append(ends[-1] + 16 + struct.unpack("<Q", content[ends[-1] : ends[-1] + 8])[0])
    os.truncate(path, ends[len(ends) * 9 // 10])


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip(path):
    """Changes the highest bit of the byte in the middle, which no text in ASCII has."""
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 0x80
    path.write_bytes(bytes(content))


DAMAGES = {"halved": halve, "emptied": empty, "flipped": flip, "deleted": os.unlink}


@pytest.fixture(scope="module")
def unfinished(reference, tmp_path_factory):
    """A run that was killed when it had saved a few steps, with its data."""
    folder = tmp_path_factory.mktemp("unfinished")
    shutil.copytree(reference.folder / "data", folder / "data")
    argv = reference.argv(folder, data_dir=folder / "data")
    assert reference.server.run(argv, Fault(f"{folder / 'run'}/", KILL, 200)).status == -signal.SIGKILL
    return folder


@pytest.fixture(scope="module")
def finished(reference, tmp_path_factory):
    """A finished run with its data."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("run", "data"):
        shutil.copytree(reference.folder / name, folder / name)
    return folder


def outcome(reference, state, name, damage, folder):
    """Damages a file in a copy of `state`, repeats the command and returns what is wrong with how it ends, or None."""
    shutil.copytree(state, folder)
    DAMAGES[damage](folder / name)
    ended = reference.server.run(reference.argv(folder, data_dir=folder / "data"))
    if ended.status != 0:
        return None if ended.has_one_line else f"{name} {damage}: status {ended.status}, {ended.output[-400:]}"
    metrics = pathlib.Path("run", "metrics.json")
    equal = (folder / metrics).read_bytes() == (reference.folder / metrics).read_bytes()
    return None if equal else f"{name} {damage}: other figures, {ended.output[-400:]}"


def names(state):
    """Returns the files of a state, without the marks and folders that TFDS keeps for itself."""
    return sorted(str(path.relative_to(state)) for path in state.rglob("*") if path.is_file())


def check(reference, state, chosen, damages, folder):
    problems = []
    for number, (name, damage) in enumerate((name, damage) for name in chosen for damage in damages):
        copy = folder / str(number)
        problem = outcome(reference, state, name, damage, copy)
        problems += [problem] if problem else []
        shutil.rmtree(copy)
    assert not problems, f"{len(problems)} of {len(chosen) * len(damages)}:\n" + "\n\n".join(problems)


@pytest.mark.slow
def test_a_damaged_record_or_checkpoint_is_survived_or_named(reference, unfinished, tmp_path):
    check(reference, unfinished, ["run/config.json"], DAMAGES, tmp_path / "record")
    newest = max(path.name for path in (unfinished / "run/checkpoints/pretrain").glob("*.data-*"))
    check(reference, unfinished, [f"run/checkpoints/pretrain/{newest}"], ["flipped"], tmp_path / "checkpoint")


@pytest.mark.campaign
@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("damage", [lose_examples, empty])
def test_a_file_that_has_lost_examples_is_named(reference, tmp_path, split, damage):
    shutil.copytree(reference.folder / "data", tmp_path / "data")
    (file,) = (tmp_path / "data").rglob(f"*{split}*tfrecord*")
    damage(file)
    argv = [
        argument for argument in reference.argv(tmp_path, data_dir=tmp_path / "data") if "max_examples" not in argument
    ]
    ended = reference.server.run([*argv, "--batch_size=300"])
    assert ended.has_one_line, ended.output
    assert str(file.parent) in ended.lines[0] and "to have the data prepared again" in ended.lines[0]
    assert f"{file} is damaged (" in ended.lines[0] or f"{file.parent}: a file is damaged (" in ended.lines[0]


@pytest.mark.campaign
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_file_of_an_unfinished_run_is_survived_or_named(reference, unfinished, tmp_path, damage):
    check(reference, unfinished, names(unfinished), [damage], tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_file_of_a_finished_run_is_survived_or_named(reference, finished, tmp_path, damage):
    check(reference, finished, names(finished), [damage], tmp_path)
