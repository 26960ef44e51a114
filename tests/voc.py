"""A small VOC 2007: the files that TFDS prepares voc/2007 from, with few and tiny pictures."""

import contextlib
import io
import pathlib
import tarfile
from unittest import mock

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import compute_url_info

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
HEIGHT, LEAST_WIDTH = 20, 16  # an image is this wide in pixels, plus its number
SETS = {"train": range(0, 14), "val": range(14, 22), "test": range(22, 42)}


def marks(number):
    """Returns the entry of each class in VOC's lists of images: 1 present, 0 only difficult, −1 absent."""
    found = np.full(len(CLASSES), -1)
    found[(number + 1) % 20] = 0
    found[[number % 20, (number + 7) % 20]] = 1
    return found


def number_of(image):
    """The number of an image, `[height, width, channels]`."""
    return image.shape[1] - LEAST_WIDTH


def write_tars(folder):
    """Writes the tar of training and validation images, and that of test images."""
    for name, sets in (("VOCtrainval_06-Nov-2007.tar", ("train", "val")), ("VOCtest_06-Nov-2007.tar", ("test",))):
        files = {}
        for part in sets:
            files[f"ImageSets/Main/{part}.txt"] = "".join(f"{number:06}\n" for number in SETS[part]).encode()
            for number in SETS[part]:
                files[f"JPEGImages/{number:06}.jpg"] = _jpeg(number)
                files[f"Annotations/{number:06}.xml"] = _annotation(number).encode()
        with tarfile.open(pathlib.Path(folder) / name, "w") as tar:
            for path, content in files.items():
                member = tarfile.TarInfo(f"VOCdevkit/VOC2007/{path}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@contextlib.contextmanager
def taken_for_the_originals(folder):
    """Within this context TFDS has the check sums of the tars in `folder`."""
    kind = tfds.builder_cls("voc")
    paths = {url: pathlib.Path(folder) / info.filename for url, info in kind.url_infos.items()}
    with mock.patch.object(
        kind, "url_infos", {url: compute_url_info(path) for url, path in paths.items() if path.exists()}
    ):
        yield


def _jpeg(number):
    stream = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, LEAST_WIDTH + number, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def _annotation(number):
    """An object of each class that is there, and a difficult one of each that is marked."""
    found = marks(number)
    objects = [(i, 0) for i in np.flatnonzero(found == 1)] + [(i, 1) for i in np.flatnonzero(found >= 0)]
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    return (
        f"<annotation><size><width>{LEAST_WIDTH + number}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        + "".join(
            f"<object><name>{CLASSES[i]}</name><pose>Left</pose><truncated>0</truncated>"
            f"<difficult>{difficult}</difficult>{box}</object>"
            for i, difficult in objects
        )
        + "</annotation>"
    )
