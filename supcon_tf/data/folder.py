"""A folder of the user's images as a data set of TFDS: checked and prepared once, then read like any other."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import io
import os
import re
import sys
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import PIL.Image
import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.errors import UserError

TEST_SHARE = 0.2  # of each class, where the folder has no images for evaluation
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
HIDDEN = ("thumbs.db", "desktop.ini", "__macosx")
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
READ_AHEAD = 32  # files that are read and checked at a time
NAMED = 10  # skipped files that are named; the others are counted


class ImageFile(NamedTuple):
    """A file, its name relative to the user's folder, and its class (empty if it has none)."""

    path: str
    name: str
    label: str


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """What a prepared copy of a folder is made of; the config's name has a digest of all that."""

    folder: str = ""
    splits: Dict[str, List[ImageFile]] = dataclasses.field(default_factory=dict)
    class_names: Tuple[str, ...] = ()
    skip_bad: bool = False


class Folder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """RGB images `[height, width, 3]` from a folder, with labels if it has classes. See `builder`."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features: Dict[str, Any] = {"image": tfds.features.Image(shape=(None, None, 3))}
        class_names = self.builder_config.class_names
        if class_names:
            features["label"] = tfds.features.ClassLabel(names=class_names)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label") if class_names else None,
            metadata=tfds.core.MetadataDict(skipped=[]),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Dict[str, Iterator[Any]]:
        del dl_manager
        return {split: self._generate_examples(split, files) for split, files in self.builder_config.splits.items()}

    def _generate_examples(self, split: str, files: Sequence[ImageFile]) -> Iterator[Tuple[str, Dict[str, Any]]]:
        config = self.builder_config
        empty = True
        for file, (image, reason) in zip(files, _read_all(files)):
            if image is None and not config.skip_bad:
                raise UserError(
                    f"--dataset=folder:{config.folder}: {file.name} is not an image ({reason}); remove the file or add "
                    "--on_bad_image=skip"
                )
            if image is None:
                self.info.metadata["skipped"].append([file.name, reason])
                continue
            empty = False
            yield file.name, {"image": image, "label": file.label} if config.class_names else {"image": image}
        if empty:
            raise UserError(
                f"--dataset=folder:{config.folder}: none of the {len(files)} files for '{split}' is an image"
            )


def builder(folder: str, *, labels: bool, on_bad_image: str, data_dir: Optional[str]) -> Folder:
    """The data set of a folder, not yet prepared unless it was before and no file has changed since.

    The layouts are FOLDER/train/CLASS/*, FOLDER/test/CLASS/* and maybe FOLDER/validation/CLASS/*; FOLDER/CLASS/*; and
    FOLDER/* without classes. A class takes in the files of nested folders. Without images for evaluation, about a fifth
    of each class becomes 'test', see `hold_out`.

    Args:
      folder: path, may be a gs:// address.
      labels: whether classes are needed.
      on_bad_image: 'stop' or 'skip', what to do about a file that is not an image.
      data_dir: where TFDS keeps prepared data; None means its own default.

    Raises:
      UserError: no such folder, or nothing in it that can be learned from.
    """
    folder = os.path.expanduser(folder)
    splits = _arrange(folder, _list_names(folder), labels)
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
    """Names on stderr the files that the prepared copy lacks because they were no images, then says how many."""
    skipped = folder.info.metadata["skipped"]
    for name, reason in skipped[:NAMED]:
        print(f"Skipped {name}: {reason}", file=sys.stderr)
    if skipped:
        path = folder.builder_config.folder
        print(f"Files of {path} that are not images, skipped: {len(skipped)}", file=sys.stderr)


def hold_out(files: Iterable[ImageFile]) -> Tuple[List[ImageFile], List[ImageFile]]:
    """Splits files into those to train on and those for the test.

    Each goes to the test with a chance of `TEST_SHARE` that follows from its name alone (with its class), so it stays
    where it is when other files come and go. But each class of two or more has at least one on either side.
    """
    train: List[ImageFile] = []
    test: List[ImageFile] = []
    classes = collections.defaultdict(list)
    for file in files:
        classes[file.label].append((_chance(file.name), file))
    for members in classes.values():
        members.sort()
        drawn = sum(chance < TEST_SHARE for chance, _ in members)
        drawn = min(max(drawn, 1), len(members) - 1)
        test += [file for _, file in members[:drawn]]
        train += [file for _, file in members[drawn:]]
    return train, test


def encode(content: bytes) -> bytes:
    """The content of an image file as JPEG or PNG that TensorFlow decodes: unchanged if it is that, else a PNG of RGB.

    Of an animation the first frame counts, of 16 bits the upper 8, and transparency is dropped; TensorFlow's decoder
    does the same.

    Raises:
      Exception: whatever Pillow raises about what is not an image, or a broken one.
    """
    if content.startswith((JPEG, PNG)):
        try:
            tf.io.decode_image(content, channels=3, expand_animations=False)
            return content
        except tf.errors.InvalidArgumentError:
            pass  # Pillow reads a few that TensorFlow does not.
    image: PIL.Image.Image = PIL.Image.open(io.BytesIO(content))
    if image.mode == "I" or image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() >= 1 << 16:
            raise ValueError("pixels of more than 16 bits")
        image = PIL.Image.fromarray((pixels >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    png = io.BytesIO()
    image.convert("RGB").save(png, "PNG")
    return png.getvalue()


def _read_all(files: Sequence[ImageFile]) -> Iterator[Tuple[Optional[bytes], str]]:
    """For each file, in order, its image, or None and the reason why there is none."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for start in range(0, len(files), READ_AHEAD):
            yield from threads.map(_read, files[start : start + READ_AHEAD])


def _read(file: ImageFile) -> Tuple[Optional[bytes], str]:
    try:
        with tf.io.gfile.GFile(file.path, "rb") as stream:
            return encode(stream.read()), ""
    except PIL.UnidentifiedImageError:
        return None, "no known image format"
    except Exception as error:  # Pillow's readers raise errors of many kinds.
        return None, " ".join(str(error).split()) or type(error).__name__


def _list_names(folder: str) -> List[str]:
    """Sorted names, relative to the folder, of all files below it that are not hidden."""
    if not tf.io.gfile.isdir(folder):
        what = "is a file, not a folder" if tf.io.gfile.exists(folder) else "there is no such folder"
        raise UserError(f"--dataset=folder:{folder}: {what}")
    names = []
    try:
        for directory, _, files in tf.io.gfile.walk(folder):
            inside = directory[len(folder) :].strip("/")
            names += [os.path.join(inside, file) for file in files]
    except UnicodeDecodeError as error:
        raise UserError(f"--dataset=folder:{folder}: the name {error.object!r} is not UTF-8") from error
    names = sorted(name for name in names if not any(map(_is_hidden, name.split("/"))))
    if not names:
        raise UserError(f"--dataset=folder:{folder}: the folder is empty")
    return names


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in HIDDEN


def _arrange(folder: str, names: Sequence[str], labels: bool) -> Dict[str, List[ImageFile]]:
    """Finds out the layout, and from it the split and the class of each file."""
    flag = f"--dataset=folder:{folder}"
    paths = [name.split("/") for name in names]
    tops = sorted({path[0] for path in paths if len(path) > 1})
    roles = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    train_has_folders = any(len(path) > 2 and roles.get(path[0]) == "train" for path in paths)
    # 'train' may also be a class, beside cars and ships.
    by_split = train_has_folders or ("train" in roles.values() and len(roles) == len(tops))
    depth = 1 if by_split else 0
    if by_split and len(set(roles.values())) < len(roles):
        raise UserError(f"{flag}: two of the folders {', '.join(roles)} mean the same; keep one")

    splits: Dict[str, List[ImageFile]] = {"train": [], "validation": [], "test": []}
    unused = []
    for name, path in zip(names, paths):
        split = roles.get(path[0]) if by_split else "train"
        if split and len(path) > depth + 1:
            splits[split].append(ImageFile(os.path.join(folder, name), name, path[depth].strip()))
        elif name.lower().endswith(IMAGE_SUFFIXES):
            unused.append(name)

    classes = {file.label for file in splits["train"]}
    if len(classes) < 2 and not labels:
        chosen = [name for name, path in zip(names, paths) if not by_split or roles.get(path[0]) == "train"]
        return {"train": [ImageFile(os.path.join(folder, name), name, "") for name in chosen]}
    if not classes:
        where = os.path.join(folder, next(top for top in tops if roles.get(top) == "train")) if by_split else folder
        raise UserError(f"{flag}: no folders of classes in {where}; without classes, only --mode=simclr learns from it")
    if len(classes) == 1:
        (only,) = classes
        nested = any(len(path) > depth + 2 for path in paths)
        hint = f"; perhaps folder:{os.path.join(folder, only)} is meant" if nested else ""
        raise UserError(f"{flag}: there is only one class, '{only}'{hint}")
    for split, files in splits.items():
        unknown = sorted({file.label for file in files} - classes)
        if unknown:
            raise UserError(f"{flag}: '{split}' has the class '{unknown[0]}', of which there is no image to train on")
    if unused:
        print(f"Images outside the folders of classes, not used: {len(unused)}, e.g. {unused[0]}", file=sys.stderr)
    if not splits["test"] and not splits["validation"]:
        splits["train"], splits["test"] = hold_out(splits["train"])
    return {split: files for split, files in splits.items() if files}


def _chance(name: str) -> float:
    """A number in [0, 1) that follows from the name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _stamp(path: str) -> Tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; a link that leads nowhere has neither."""
    try:
        status = tf.io.gfile.stat(path)
    except tf.errors.NotFoundError:
        return -1, -1
    return status.length, status.mtime_nsec
