"""Looks at the paths that a command line names, before TensorFlow is imported.

Addresses such as gs:// are left to TensorFlow, and so is every path that exists.
"""

import importlib.util
import json
import os
import pathlib
import re
from typing import Any, Dict, Optional

from supcon_tf import config as config_lib
from supcon_tf.errors import ArgumentError
from supcon_tf.names import did_you_mean

KINDS = ("folder", "csv")  # of data sets that lie in a path
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def check_dataset(dataset: str) -> None:
    """Raises ArgumentError for a path without `folder:` or `csv:` before it, or with a capital letter in that word."""
    kind, colon, path = dataset.partition(":")
    if colon and kind not in KINDS and kind.lower() in KINDS:
        right = f"{kind.lower()}:{path}"
        raise ArgumentError("dataset", dataset, "no such data set; did you mean {dataset}?", dataset=right)
    if not dataset or colon or dataset == "digits":
        return
    path = os.path.expanduser(dataset)
    looks_like_path = dataset.startswith((os.sep, ".", "~"))
    if not os.path.exists(path):
        if looks_like_path:
            table = dataset.lower().endswith(TABLES)
            raise ArgumentError("dataset", dataset, f"is a path, but there is no such {'file' if table else 'folder'}")
        return
    if os.path.isfile(path):
        if dataset.lower().endswith(TABLES):
            raise ArgumentError("dataset", dataset, "is a file; write {dataset}", dataset=f"csv:{dataset}")
        if looks_like_path:
            problem = f"is a file, but no table of images ({', '.join(TABLES)}); give folder:PATH"
            raise ArgumentError("dataset", dataset, problem)
    elif looks_like_path:
        raise ArgumentError("dataset", dataset, "is a path; write {dataset}", dataset=f"folder:{dataset}")
    elif not _is_of_tfds(dataset):
        raise ArgumentError("dataset", dataset, "is a folder here; write {dataset}", dataset=f"folder:{dataset}")


def _is_of_tfds(name: str) -> bool:
    """Returns whether TensorFlow Datasets has a data set of this name, from its source text."""
    base = name.split("/")[0]
    spec = importlib.util.find_spec("tensorflow_datasets")
    if name.endswith("/") or spec is None or spec.origin is None:
        return False
    root = pathlib.Path(spec.origin).parent
    if (
        (root / "url_checksums" / f"{base}.txt").exists()
        or any(root.glob(f"*/{base}"))
        or any(root.glob(f"*/{base}.py"))
    ):
        return True
    letters = base.replace("_", "").lower()
    pattern = re.compile(rf"^class {re.escape(letters)}\(", re.IGNORECASE | re.MULTILINE)
    return any(pattern.search(file.read_text(errors="replace")) for file in root.rglob("*.py"))


def check_before_run(config: config_lib.Config) -> None:
    """Checks that the images and the encoder are there; nothing but a run or a plan needs them.

    Raises:
      ArgumentError: a folder or file does not exist.
    """
    encoder = config.model.encoder
    if config_lib.is_path(encoder) and "://" not in encoder and not os.path.exists(os.path.expanduser(encoder)):
        raise ArgumentError("encoder", encoder, "no such file or folder")
    for name in ("dataset", "unlabelled"):
        value = getattr(config.data, name)
        kind, _, path = (value or "").partition(":")
        path = os.path.expanduser(path)
        if kind not in KINDS or not path or "://" in path:
            continue
        if not os.path.exists(path):
            raise ArgumentError(name, value, f"there is no such {'folder' if kind == 'folder' else 'file'}")
        if kind == "folder" and not os.path.isdir(path):
            raise ArgumentError(name, value, "is a file, not a folder")
        if kind == "csv" and os.path.isdir(path):
            raise ArgumentError(name, value, "is a folder; write {dataset}", dataset=f"folder:{path}")


def check(config: config_lib.Config) -> None:
    """Checks the folder of the run, and what the encoder and its weights are.

    Raises:
      ArgumentError: a path leads to nothing, or to something else.
    """
    run_dir, model = config.run.run_dir, config.model
    if run_dir is not None and os.path.isfile(run_dir):
        raise ArgumentError("run_dir", run_dir, "is a file, not a folder")
    if config_lib.is_path(model.encoder):
        _check_encoder(model.encoder)
    weights = model.encoder_weights
    if weights is None or weights == "imagenet" or "://" in weights or os.path.exists(os.path.expanduser(weights)):
        return
    if "/" in weights or weights.endswith((".keras", ".h5")):
        if not _has_started(config):  # otherwise the weights are in its checkpoints
            raise ArgumentError("encoder_weights", weights, "no such file")
        return
    hint = did_you_mean(weights, ["imagenet"]) or "; give imagenet, or a .keras or .h5 file"
    raise ArgumentError("encoder_weights", weights, f"is neither 'imagenet' nor a file{hint}")


def _check_encoder(encoder: str) -> None:
    path = os.path.expanduser(encoder)
    run = path.rstrip("/")
    run = run if os.path.exists(os.path.join(run, "config.json")) else os.path.dirname(run)
    if os.path.isdir(path) and _is_run(run):
        what = "is an exported run" if path.rstrip("/") != run else "is the folder of a run"
        raise ArgumentError("encoder", encoder, f"{what}; use {{warm_start}}", warm_start=run)


def _is_run(folder: str) -> bool:
    return "mode" in record(folder)


def record(folder: str) -> Dict[str, Any]:
    """Returns the record of the run in a folder of this machine; empty where there is none that can be read."""
    try:
        with open(os.path.join(os.path.expanduser(folder), "config.json"), encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def held_text(run_dir: Optional[str]) -> str:
    """Returns '; RUN holds a run with --mode=... --dataset=...' for the folder of a run, otherwise ''."""
    found = record(run_dir) if run_dir else {}
    if not {"mode", "dataset"} <= found.keys():
        return ""
    flags = " ".join(config_lib.as_flag(name, found[name]) for name in ("mode", "dataset"))
    return f"; {config_lib.as_flag('run_dir', run_dir)} holds a run with {flags}"


def _has_started(config: config_lib.Config) -> bool:
    """Returns whether the folder of this run holds checkpoints."""
    return os.path.exists(os.path.join(config.run.run_dir or config_lib.default_path(config), "checkpoints"))
