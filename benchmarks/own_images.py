"""Trains on a small folder of images with no option but mode and data set, beside classical methods.

    PYTHONPATH=. .venv/bin/python benchmarks/own_images.py

makes a folder from Fashion-MNIST (`--per-class` training images of each class, 200 test images of each), runs the
program for each mode, variant and seed, and prints a Markdown table. It has the top-1 accuracy on the test images after
the last epoch as mean and standard deviation over the seeds, seconds of the whole command, and its largest memory. The
classical methods are scikit-learn's, with features that are computed here. `--source` is a folder with the four files
of Fashion-MNIST, as Debian's package dataset-fashion-mnist installs them.
"""

import argparse
import gzip
import itertools
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Dict, List, NamedTuple, Tuple

import numpy as np
import PIL.Image

NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")
TEST_PER_CLASS = 200
STRENGTHS = (0.1, 0.3, 1, 3, 10)
BINS, CELL, GREY_CELL = 9, 4, 4


class Images(NamedTuple):
    """Images `[images, 28, 28]` uint8 and their classes `[images]`."""

    pixels: np.ndarray
    labels: np.ndarray


def read(source: pathlib.Path, part: str, per_class: int, imbalance: float = 1.0) -> Images:
    """Reads the first images of each class from Fashion-MNIST's files.

    Args:
      source: folder of the files.
      part: 'train' or 't10k'.
      per_class: number of images of the first class.
      imbalance: ratio of the first class to the last; the sizes between fall by equal factors (Cui et al. 2019).
    """
    pixels, labels = (
        np.frombuffer(gzip.decompress((source / f"{part}-{name}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for name, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    counts = [round(per_class * imbalance ** (-label / (len(NAMES) - 1))) for label in range(len(NAMES))]
    chosen = np.concatenate([np.flatnonzero(labels == label)[:count] for label, count in enumerate(counts)])
    return Images(pixels.reshape(-1, 28, 28)[chosen], labels[chosen])


def write(folder: pathlib.Path, images: Images) -> None:
    """Writes images as PNG files into folders of their classes."""
    for number, (pixels, label) in enumerate(zip(*images)):
        path = folder / NAMES[label] / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(path)


def hog(pixels: np.ndarray) -> np.ndarray:
    """Returns histograms of oriented gradients (Dalal & Triggs 2005) and grey means, `[images, features]`."""
    grey = np.sqrt(pixels.astype(np.float64) / 255)
    rows, columns = np.gradient(grey, axis=(1, 2))
    strength, angle = np.hypot(rows, columns), np.arctan2(rows, columns) % np.pi / np.pi * BINS
    low, share = np.floor(angle).astype(int) % BINS, angle % 1
    cells = 28 // CELL
    histograms = np.zeros([len(grey), cells, cells, BINS])
    for part, weight in ((low, 1 - share), ((low + 1) % BINS, share)):
        for orientation in range(BINS):
            votes = np.where(part == orientation, weight * strength, 0)
            histograms[..., orientation] += votes.reshape(-1, cells, CELL, cells, CELL).sum(axis=(2, 4))
    shifted = [histograms[:, i : cells - 1 + i, j : cells - 1 + j] for i in (0, 1) for j in (0, 1)]
    blocks = np.concatenate(shifted, axis=-1)
    for _ in range(2):  # clipped at 0.2 between two normalisations
        blocks = np.minimum(blocks / (np.linalg.norm(blocks, axis=-1, keepdims=True) + 1e-3), 0.2)
    blocks /= np.linalg.norm(blocks, axis=-1, keepdims=True) + 1e-3
    means = grey.reshape(-1, 28 // GREY_CELL, GREY_CELL, 28 // GREY_CELL, GREY_CELL).mean(axis=(2, 4))
    return np.concatenate([blocks.reshape(len(grey), -1), means.reshape(len(grey), -1)], axis=1)


def classical(train: Images, test: Images) -> List[Tuple[str, float, float]]:
    """Returns method, accuracy and seconds of classical methods; C is chosen by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    def flat(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1) / 255

    rows = []
    for name, features, model in (
        ("logistic regression on pixels", flat, LogisticRegression(max_iter=1000)),
        ("SVM (RBF) on pixels", flat, SVC()),
        ("SVM (RBF) on HOG and grey means", hog, SVC()),
    ):
        started = time.monotonic()
        model = GridSearchCV(model, {"C": STRENGTHS}, cv=3)
        model.fit(features(train.pixels), train.labels)
        accuracy = float(np.mean(model.predict(features(test.pixels)) == test.labels))
        rows.append((name, accuracy, time.monotonic() - started))
    return rows


def run(folder: pathlib.Path, mode: str, seed: int, flags: List[str]) -> Dict[str, float]:
    """Runs the program once; returns its accuracy, seconds and largest memory in MB."""
    run_dir = folder / "_".join(["run", mode, str(seed), *(flag.strip("-") for flag in flags)])
    places = [f"--dataset=folder:{folder / 'images'}", f"--data_dir={folder / 'data'}", f"--run_dir={run_dir}"]
    command = [sys.executable, "app.py", f"--mode={mode}", f"--seed={seed}", *places, *flags]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    figures = json.loads((run_dir / "metrics.json").read_text())
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of all commands so far
    return {"top1": figures["top1"], "seconds": seconds, "megabytes": largest}


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--per-class", type=int, default=300, help="training images of each class (default 300)")
    parser.add_argument("--imbalance", type=float, default=1.0, help="ratio of the largest class to the smallest")
    parser.add_argument("--modes", nargs="+", default=("supcon", "ce"), metavar="MODE")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), metavar="N")
    parser.add_argument(
        "--variants",
        nargs="+",
        default=("",),
        metavar="FLAGS",
        help="further flags of a run each, such as 'pretrain_epochs=1 seed=3'; '' for none",
    )
    return parser.parse_args()


def main() -> None:
    """Prints the table."""
    arguments = parse_arguments()
    if not arguments.source.is_dir():
        print(f"{arguments.source}: no such folder; --source gives the folder of Fashion-MNIST's files")
        return
    train = read(arguments.source, "train", arguments.per_class, arguments.imbalance)
    test = read(arguments.source, "t10k", TEST_PER_CLASS)
    print("| method | top-1 | seconds | MB |\n|---|---|---|---|")
    for name, accuracy, seconds in classical(train, test):
        print(f"| {name} | {100 * accuracy:.2f} | {seconds:.1f} | – |", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        write(folder / "images" / "train", train)
        write(folder / "images" / "test", test)
        for mode, variant in itertools.product(arguments.modes, arguments.variants):
            flags = [f"--{flag}" for flag in variant.split()]
            found = [run(folder, mode, seed, flags) for seed in arguments.seeds]
            top1 = [100 * one["top1"] for one in found]
            spread = f" ± {statistics.stdev(top1):.2f}" if len(top1) > 1 else ""
            seconds = statistics.mean(one["seconds"] for one in found)
            memory = max(one["megabytes"] for one in found)
            command = " ".join([f"--mode={mode}", *flags])
            print(f"| `{command}` | {statistics.mean(top1):.2f}{spread} | {seconds:.0f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
