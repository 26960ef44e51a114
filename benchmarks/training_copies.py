"""Compares training on smaller copies of large images with training on whole images: time, disk, accuracy.

    PYTHONPATH=. .venv/bin/python benchmarks/training_copies.py

enlarges images of Fashion-MNIST to JPEGs of `--side` pixels, with noise as a camera leaves it, trains on them with and
without smaller copies, and prints a Markdown table: seconds to prepare, images per second in training, megabytes of the
prepared data, and top-1 accuracy on the test images, which are never made smaller. Both kinds take turns. `--source` is
a folder with the files of Fashion-MNIST, as Debian's package dataset-fashion-mnist installs them.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Dict, List

import numpy as np
import PIL.Image

from benchmarks import own_images

FLAGS = ("--mode=supcon", "--image_size=32", "--encoder=small", "--encoder_width=0.5", "--stem=stride2")
TEST_PER_CLASS = 40
NOISE = 12  # grey levels, over squares of 4 pixels


def write(folder: pathlib.Path, images: own_images.Images, side: int) -> None:
    """Writes enlarged images as JPEGs into folders of their classes."""
    rng = np.random.default_rng(0)
    for number, (pixels, label) in enumerate(zip(images.pixels, images.labels)):
        small = PIL.Image.fromarray(pixels).convert("RGB")
        large = np.asarray(small.resize((side, side), PIL.Image.Resampling.BICUBIC))
        noise = rng.integers(-NOISE, NOISE + 1, (side // 4, side // 4, 1)).repeat(4, axis=0).repeat(4, axis=1)
        noisy = np.clip(large[: len(noise), : len(noise)].astype(np.int16) + noise, 0, 255).astype(np.uint8)
        path = folder / own_images.NAMES[label] / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(noisy).save(path, quality=90)


def child(kind: str, seed: int, folder: pathlib.Path, epochs: int) -> Dict[str, float]:
    """Runs the program once in this process, with smaller copies or without."""
    from supcon_tf.cli import main
    from supcon_tf.data import folder as folders
    from supcon_tf.run import run
    from supcon_tf.training import fit

    if kind == "whole":
        folders.with_training_copies = lambda folder, image_size: folder
    seconds: Dict[str, float] = {}

    def timed(name: str, function):  # type: ignore[no-untyped-def]
        def call(*arguments, **options):  # type: ignore[no-untyped-def]
            started = time.monotonic()
            result = function(*arguments, **options)
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - started
            return result

        return call

    run.prepare = timed("prepare", run.prepare)
    fit._train = timed("train", fit._train)
    place, run_dir = folder / kind / str(seed), folder / f"run_{kind}_{seed}"
    given = (f"--seed={seed}", f"--pretrain_epochs={epochs}", f"--data_dir={place}", f"--run_dir={run_dir}")
    main.run(["app.py", *FLAGS, f"--dataset=folder:{folder / 'images'}", *given])
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    images = sum(1 for _ in (folder / "images" / "train").rglob("*.jpg"))
    figures = json.loads((run_dir / "metrics.json").read_text())
    rate = images * epochs / seconds["train"]
    return {"prepare": seconds["prepare"], "rate": rate, "megabytes": size / 1e6, "top1": 100 * figures["top1"]}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--per-class", type=int, default=40, help="training images of each class (default 40)")
    parser.add_argument("--side", type=int, default=1600, help="side of the images in pixels (default 1600)")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of training (default 30)")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), metavar="N")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, seed, place = arguments.child
        print(json.dumps(child(kind, int(seed), pathlib.Path(place), arguments.epochs)))
        return
    if not arguments.source.is_dir():
        print(f"{arguments.source}: no such folder; --source gives the folder of Fashion-MNIST's files")
        return
    found: Dict[str, List[Dict[str, float]]] = {"copies": [], "whole": []}
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        write(folder / "images/train", own_images.read(arguments.source, "train", arguments.per_class), arguments.side)
        write(folder / "images/test", own_images.read(arguments.source, "t10k", TEST_PER_CLASS), arguments.side)
        for seed in arguments.seeds:
            for kind, results in found.items():
                command = [sys.executable, __file__, f"--epochs={arguments.epochs}", "--child", kind, str(seed), place]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                results.append(json.loads(output.splitlines()[-1]))
    print("| images | prepare, s | images/s | MB on disk | top-1 |\n|---|---|---|---|---|")
    for kind, results in found.items():
        middle = [statistics.median(one[name] for one in results) for name in ("prepare", "rate", "megabytes")]
        top1 = [one["top1"] for one in results]
        spread = f" ± {statistics.stdev(top1):.1f}" if len(top1) > 1 else ""
        print(f"| {kind} | {middle[0]:.1f} | {middle[1]:.0f} | {middle[2]:.0f} | {statistics.mean(top1):.1f}{spread} |")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
