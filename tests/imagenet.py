"""A small ImageNet: the files that TFDS prepares imagenet2012 from, with few and tiny pictures."""

import io
import pathlib
import tarfile

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

HEIGHT, WIDTH = 20, 30


def write_tars(folder, classes=4, per_class=6, validation=4, test=0):
    """Writes the tars of training and validation images, and of test images if there are to be some.

    TFDS knows the synset of every validation image; the training images are of those of the first ones.
    """
    builder = pathlib.Path(tfds.__file__).parent / "datasets/imagenet2012"
    synsets = (builder / "validation_labels.txt").read_text().split()[:classes]
    assert len(set(synsets)) == classes and validation <= classes
    rng = np.random.default_rng(0)
    train = {f"{s}.tar": _tar({f"{s}_{i}.JPEG": _jpeg(rng) for i in range(per_class)}) for s in synsets}
    _write(folder, "train", train)
    _write(folder, "val", {f"ILSVRC2012_val_{i:08}.JPEG": _jpeg(rng) for i in range(1, validation + 1)})
    if test:
        _write(folder, "test", {f"ILSVRC2012_test_{i:08}.JPEG": _jpeg(rng) for i in range(1, test + 1)})


def _write(folder, part, files):
    (pathlib.Path(folder) / f"ILSVRC2012_img_{part}.tar").write_bytes(_tar(files))


def _tar(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _jpeg(rng):
    stream = io.BytesIO()
    PIL.Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()
