"""A folder of the user's images as a data set of TFDS: checked and prepared once, then read like any other."""

import concurrent.futures
import dataclasses
import hashlib
import os
import re
import sys
import threading
from typing import Any, ContextManager, Dict, Iterator, List, Optional, Sequence, Tuple

import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.data import pixels
from supcon_tf.data.folder_layout import PREFIX, ImageFile, arrange, list_names
from supcon_tf.errors import ArgumentError

READ_AHEAD = 32  # number of files that are read and checked at a time
NAMED = 10  # number of skipped files that are named; the others are only counted


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """The content of a prepared copy of a folder. The config's name contains a digest of it."""

    folder: str = ""
    splits: Dict[str, List[ImageFile]] = dataclasses.field(default_factory=dict)
    class_names: Tuple[str, ...] = ()
    skip_bad: bool = False


class Folder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """RGB images `[height, width, 3]` from a folder, with labels if it has classes. See `builder`."""

    VERSION = tfds.core.Version("2.0.0")  # 2: large images are made smaller, and peaks of 16 bits are kept

    def _info(self) -> tfds.core.DatasetInfo:
        features: Dict[str, Any] = {"image": tfds.features.Image(shape=(None, None, 3))}
        class_names = self.builder_config.class_names
        if class_names:
            features["label"] = tfds.features.ClassLabel(names=class_names)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label") if class_names else None,
            metadata=tfds.core.MetadataDict(skipped=[], sixteen_bits={}),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Dict[str, Iterator[Any]]:
        del dl_manager
        return {split: self._generate_examples(split, files) for split, files in self.builder_config.splits.items()}

    def _generate_examples(self, split: str, files: Sequence[ImageFile]) -> Iterator[Tuple[str, Dict[str, Any]]]:
        config = self.builder_config
        empty = True
        for file, (image, reason) in zip(files, _read_all(files)):
            if image is None and not config.skip_bad:
                raise ArgumentError(
                    "dataset",
                    PREFIX + config.folder,
                    f"{file.name} is not an image ({reason}); remove the file or add {{on_bad_image}}",
                    on_bad_image="skip",
                )
            if image is None:
                self.info.metadata["skipped"].append([file.name, reason])
                continue
            if image.peak is not None:
                seen = self.info.metadata["sixteen_bits"]
                seen["images"] = seen.get("images", 0) + 1
                seen["peak"] = max(seen.get("peak", 0), image.peak)
            empty = False
            example = {"image": image.content}
            yield file.name, {**example, "label": file.label} if config.class_names else example
        if empty:
            problem = f"none of the {len(files)} files for '{split}' is an image"
            raise ArgumentError("dataset", PREFIX + config.folder, problem)


def is_folder(dataset: str) -> bool:
    """Returns whether the name of a data set stands for a folder: 'folder:PATH'."""
    return dataset.startswith(PREFIX)


def builder(folder: str, *, labels: bool, on_bad_image: str, data_dir: Optional[str]) -> Folder:
    """Returns the data set of a folder. It is prepared already if it was before and no file has changed since.

    There are three layouts: FOLDER/train/CLASS/* with FOLDER/test/CLASS/* or FOLDER/validation/CLASS/*; FOLDER/CLASS/*;
    FOLDER/* without classes. Files in nested folders belong to the class above them. Without images for evaluation,
    about a fifth of each class becomes 'test'; see `folder_layout.hold_out`.

    Args:
      folder: path; may be a gs:// address.
      labels: whether the images must have classes.
      on_bad_image: what to do about a file that is not an image: 'stop' or 'skip'.
      data_dir: where TFDS keeps prepared data; None for TFDS's default.

    Raises:
      ArgumentError: the folder does not exist, or its images cannot be trained on. Names the option `dataset`.
    """
    folder = os.path.expanduser(folder)
    splits = arrange(folder, list_names(folder), labels=labels)
    class_names = tuple(sorted({file.label for file in splits["train"]} - {""}))
    digest = hashlib.sha256(repr((class_names, on_bad_image)).encode())
    for split, members in splits.items():
        for file in members:
            digest.update(repr((split, file.label, file.name, *_stamp(file.path))).encode())
    title = re.sub(r"\W+", "_", os.path.basename(os.path.abspath(folder)))
    config = FolderConfig(
        name=f"{title}-{digest.hexdigest()[:16]}",
        folder=folder,
        splits=splits,
        class_names=class_names,
        skip_bad=on_bad_image == "skip",
    )
    return Folder(config=config, data_dir=data_dir)


def report_skipped(folder: Folder) -> None:
    """Prints on stderr the first skipped files, which were not images, and their number."""
    skipped = folder.info.metadata["skipped"]
    for name, reason in skipped[:NAMED]:
        print(f"Skipped {name}: {reason}", file=sys.stderr)
    if skipped:
        path = folder.builder_config.folder
        print(f"Files of {path} that are not images, skipped: {len(skipped)}", file=sys.stderr)


def report_dark(folder: Folder) -> None:
    """Prints one line on stderr if the images of 16 bits, all together, leave the highest bit unused."""
    seen = folder.info.metadata["sixteen_bits"]
    if not seen or seen["peak"] >= 1 << 15:
        return
    factor = 1 << (16 - max(seen["peak"].bit_length(), 1))
    print(
        f"Images of 16 bits in {folder.builder_config.folder} use only the values 0 to {seen['peak']}: "
        f"{seen['images']} images. The upper 8 bits are kept, so they are nearly black; multiply their values by "
        f"{factor}",
        file=sys.stderr,
    )


def _read_all(files: Sequence[ImageFile]) -> Iterator[Tuple[Optional[pixels.Converted], str]]:
    """Yields for each file, in order, its image, or None and the reason."""
    one_at_a_time = threading.Lock()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for start in range(0, len(files), READ_AHEAD):
            chunk = files[start : start + READ_AHEAD]
            yield from threads.map(lambda file: _read(file, one_at_a_time), chunk)


def _read(
    file: ImageFile, one_at_a_time: Optional[ContextManager[Any]] = None
) -> Tuple[Optional[pixels.Converted], str]:
    """Returns the image in a file, or None and the reason."""
    try:
        with tf.io.gfile.GFile(file.path, "rb") as stream:
            return pixels.convert(stream.read(), one_at_a_time), ""
    except Exception as error:  # Pillow's readers raise errors of many kinds
        return None, pixels.reason(error)


def _stamp(path: str) -> Tuple[int, int]:
    """Returns size in bytes and time of change in nanoseconds; −1 for both if the file is a broken link."""
    try:
        status = tf.io.gfile.stat(path)
    except tf.errors.NotFoundError:
        return -1, -1
    return status.length, status.mtime_nsec
