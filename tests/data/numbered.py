"""A data set of several files. Each image shows its number; some may be broken."""

import io

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from supcon_tf.data.load import ImageData

CLASSES = ("a", "b", "c", "d", "e")
NOT_AN_IMAGE = b"\x89PNG\r\n\x1a\n, or so it says"


class Numbered(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Grey images of 8x8; the first two pixels are the number, whose class is the number modulo 5, or random."""

    VERSION = tfds.core.Version("1.0.0")
    size = 100
    broken = ()

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1)),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(self.size):
            pixels = np.full([8, 8], 7, np.uint8)
            pixels[0, :2] = divmod(number, 256)
            png = io.BytesIO()
            PIL.Image.fromarray(pixels).save(png, "PNG")
            content = NOT_AN_IMAGE if number in self.broken else png.getvalue()
            yield number, {"image": content, "label": number % len(CLASSES), "file_name": f"{number}.png"}


def prepare(data_dir, *, size=100, files=7, broken=()):
    """Prepares the data set in `data_dir`, spread over `files` files."""
    builder_class = type("Numbered", (Numbered,), {"size": size, "broken": broken}, skip_registration=True)
    builder = builder_class(data_dir=data_dir)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=files))
    assert builder.info.splits["train"].num_shards == files
    return ImageData(builder, "image", "label", CLASSES, (8, 8, 1), "train", None, None)


def number_of(image):
    """The number that an image shows."""
    pixels = np.asarray(image).reshape([-1])
    return 256 * int(pixels[0]) + int(pixels[1])


def stored_numbers(data, split="train"):
    """The numbers of the images of a split, file after file; −1 for those that are broken."""
    in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    dataset = data.builder.as_dataset(split=split, read_config=in_order, decoders={"image": tfds.decode.SkipDecoding()})
    contents = [features["image"] for features in dataset.as_numpy_iterator()]
    return [-1 if content == NOT_AN_IMAGE else number_of(PIL.Image.open(io.BytesIO(content))) for content in contents]
