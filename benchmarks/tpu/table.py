"""Compiles the training steps of the paper's ImageNet recipes for TPU pods, and prints the needs of a core.

    make tpu

or, once both environments exist,

    PYTHONPATH=. .venv/bin/python benchmarks/tpu/table.py --recipes=supcon_resnet50,ce_resnet50 --topologies=v3,v5e

prints a Markdown table. No TPU is needed. `lower.py` writes a step as XLA's program for one core, in the environment of
the application. `compile.py` compiles it with TPU's own compiler, in a separate environment. A recipe takes minutes for
each kind of pod.

The program has everything that a core runs in a step, with the collectives of the global batch: gathering projections,
labels and terms of the loss's gradient, synchronised batch normalisation, and the sum of the gradients. Its inputs are
the number of the replica, a core's uint8 images and labels, and all variables. A variable's memory is reused for its
new value. TensorFlow's runtime needs further memory on a core, for example for two batches of images.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from benchmarks.lib.turns import NONE, print_row

HERE = pathlib.Path(__file__).parent
GB = 2**30


class Pod(NamedTuple):
    """A kind of pod: GB of memory of a core (in TensorFlow's sense), and number of cores → topology."""

    gigabytes: int
    topologies: Dict[int, str]


PODS: Dict[str, Pod] = {
    "v3": Pod(16, {128: "v3:8x8x1", 256: "v3:16x8x1"}),
    "v4": Pod(32, {128: "v4:4x4x8", 256: "v4:4x8x8"}),
    "v5e": Pod(16, {128: "v5e:8x16", 256: "v5e:16x16"}),
    "v5p": Pod(95, {128: "v5p:4x4x8", 256: "v5p:4x8x8"}),
}


def run(*command: object) -> str:
    """Runs a program and returns its standard output; exits if it fails."""
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{result.stderr[-4000:]}\n{' '.join(map(str, command))}: exit status {result.returncode}")
    return result.stdout


def compiled(tpu_python: str, program: pathlib.Path, pod: str, cores: int) -> Dict[str, Any]:
    """Returns the answer of `compile.py`, which is kept beside the program."""
    path = program.with_suffix(f".{pod}.json")
    if not path.exists():
        answer = run(tpu_python, HERE / "compile.py", program, PODS[pod].topologies[cores], cores)
        path.write_text(answer.splitlines()[-1])
        print(f"{program.parent.name}, {program.stem}, {pod}: {path.read_text()}", file=sys.stderr, flush=True)
    figures: Dict[str, Any] = json.loads(path.read_text())
    return figures


def memory(figures: Dict[str, Any]) -> float:
    """Returns the memory that a core needs, in GB."""
    signs = {"arguments": 1, "outputs": 1, "aliased": -1, "temporaries": 1, "code": 1}
    return float(sum(sign * figures[name] for name, sign in signs.items())) / GB


def print_recipe(name: str, pods: Sequence[str], folder: pathlib.Path, tpu_python: str) -> List[str]:
    """Prints a row of the table. Returns the reasons of pods that reject the program."""
    if not (folder / "recipe.json").exists():
        folder.mkdir(exist_ok=True)
        run(sys.executable, HERE / "lower.py", name, folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    cores = recipe["cores"]
    loss, loss_float32 = (compiled(tpu_python, folder / f"{x}.hlo", pods[0], cores) for x in ("loss", "loss_float32"))
    cells, flops, refusals = [], [], []
    for pod in pods:
        figures = compiled(tpu_python, folder / "step.hlo", pod, cores)
        if "refused" in figures:
            cells.append("no")
            reason = figures["refused"].splitlines()[0]
            refusals.append(f"{name}, {pod}: {reason}")
        else:
            cells.append(f"{memory(figures):.1f}")
            flops.append(figures["flops"])
    row = [recipe["mode"], recipe["encoder"], recipe["stage"], str(cores), str(recipe["images"]), *cells]
    row += [f"{flops[0] / 1e12:.2f}", f"{loss['flops'] / flops[0]:.2%}"] if flops else [NONE, NONE]
    row += [f"{1024 * memory(alone):.1f}" for alone in (loss, loss_float32)]
    print_row(row)
    return refusals


@contextlib.contextmanager
def folder_of_programs(keep: str) -> Iterator[pathlib.Path]:
    """Yields the folder `keep`, or a temporary one if `keep` is empty."""
    if keep:
        path = pathlib.Path(keep)
        path.mkdir(parents=True, exist_ok=True)
        yield path
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield pathlib.Path(temporary)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""

    def names(text: str) -> List[str]:
        return text.split(",")

    recipes = run(sys.executable, HERE / "lower.py", "--list").split()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", type=names, default=recipes, help=f"of {','.join(recipes)}; default: all")
    parser.add_argument("--topologies", type=names, default=list(PODS), help=f"of {','.join(PODS)}; default: all")
    parser.add_argument("--keep", default="", metavar="DIR", help="keep programs and figures here, and reuse them")
    parser.add_argument("--tpu-python", default=".venv-tpu/bin/python", help="the Python that has libtpu")
    arguments = parser.parse_args()
    for given, known in ((arguments.recipes, recipes), (arguments.topologies, list(PODS))):
        if not set(given) <= set(known):
            parser.error(f"{','.join(given)}: choose among {','.join(known)}")
    if not os.path.exists(arguments.tpu_python):
        parser.error(f"{arguments.tpu_python} does not exist; `make tpu` makes it")
    return arguments


def main() -> None:
    """Prints the table."""
    arguments = parse_arguments()
    first = arguments.topologies[0]
    print(
        "GB that a core needs, and GB that it has; floating-point operations of a core in a step, and the share of\n"
        f"the loss; MB that the loss alone needs on {first}, with products in bfloat16 and in float32.\n"
    )
    pod_titles = [f"{pod}, of {PODS[pod].gigabytes}" for pod in arguments.topologies]
    figures = ["TFLOP", "the loss's share", "the loss, MB", "in float32, MB"]
    titles = ["mode", "encoder", "stage", "cores", "images per core", *pod_titles, *figures]
    print_row(titles)
    print_row(["---"] * 3 + ["---:"] * (len(titles) - 3))
    refusals: List[str] = []
    with folder_of_programs(arguments.keep) as folder:
        for name in arguments.recipes:
            refusals += print_recipe(name, arguments.topologies, folder / name, arguments.tpu_python)
    for refusal in refusals:
        print(f"\n{refusal}")


if __name__ == "__main__":
    main()
