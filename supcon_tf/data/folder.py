"""A folder of the user's images as a data set of TFDS: checked and prepared once, then read like any other."""

import concurrent.futures
import copy
import dataclasses
import functools
import hashlib
import os
import re
import threading
from typing import Any, ContextManager, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf import progress
from supcon_tf.data import copies, pixels, table
from supcon_tf.data.decoder_messages import libjpeg_warnings
from supcon_tf.data.folder_files import PREFIX, ImageFile, list_files, why
from supcon_tf.data.folder_layout import arrange, check_images
from supcon_tf.data.look_alikes import Thumbnail, look_alikes
from supcon_tf.errors import ArgumentError, printable

READ_AHEAD = 32  # number of files that are read and checked at a time
NAMED = 10  # number of files in a message; the others are only counted
LONGEST_TITLE = 228  # bytes of a folder's name in the name of its copy; file systems allow 255 with digest and side
SHRINKING = 3  # the longer side of a training copy is at least this number of sides of what the encoder sees


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """The content of a prepared copy of a folder. The config's name contains a digest of it.

    Attributes:
      dataset: the data set as the user has named it.
      folder: path of the folder, or of the table that lists the files.
      splits: the files of each split.
      class_names: the classes, in the order of the labels.
      skip_bad: whether files that are not images are left out.
      remarks: lines about files that are not used.
      longest_side: side in pixels to which the images of 'train' are made smaller; None to keep their size.
    """

    dataset: str = ""
    folder: str = ""
    splits: Dict[str, List[ImageFile]] = dataclasses.field(default_factory=dict)
    class_names: Tuple[str, ...] = ()
    skip_bad: bool = False
    remarks: Tuple[str, ...] = ()
    longest_side: Optional[int] = None


class Folder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """RGB images `[height, width, 3]` from a folder, with labels if it has classes. See `builder`."""

    VERSION = tfds.core.Version("5.0.0")  # 5: smaller copies to train on

    def _info(self) -> tfds.core.DatasetInfo:
        features: Dict[str, Any] = {"image": tfds.features.Image(shape=(None, None, 3))}
        class_names = self.builder_config.class_names
        if class_names:
            features["label"] = tfds.features.ClassLabel(names=class_names)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label") if class_names else None,
            metadata=tfds.core.MetadataDict(skipped=[], flawed=[], sixteen_bits={}, copies=[], smaller=[], alike=[]),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Dict[str, Iterator[Any]]:
        del dl_manager
        splits = self.builder_config.splits
        self._thumbnails: Dict[str, List[Thumbnail]] = {}  # those of 'train' are needed for the other splits
        for split, files in splits.items():
            if split != "train":
                self.info.metadata["copies"] += list(copies.copies_of(files, splits["train"]).items())
        ordered = sorted(splits, key=lambda split: split != "train")
        return {split: self._generate_examples(split, splits[split]) for split in ordered}

    def _generate_examples(self, split: str, files: Sequence[ImageFile]) -> Iterator[Tuple[str, Dict[str, Any]]]:
        config = self.builder_config
        longest_side = config.longest_side if split == "train" else None
        empty = True
        thumbnails = self._thumbnails[split] = []
        read = progress.counted(_read_all(files, longest_side), len(files), "prepare", bar=False)  # TFDS shows a bar
        for file, (image, reason) in zip(files, read):
            if image is None and not config.skip_bad:
                raise self._unreadable(split, file, reason)
            if image is None:
                self.info.metadata["skipped"].append([file.name, reason])
                continue
            if image.peak is not None:
                seen = self.info.metadata["sixteen_bits"]
                seen["images"] = seen.get("images", 0) + 1
                if image.peak < 1 << 15:
                    seen["dark"] = seen.get("dark", 0) + 1
                    seen["peak"] = max(seen.get("peak", 0), image.peak)
            if image.flawed:
                self.info.metadata["flawed"].append(file.name)
            if image.is_smaller:
                self.info.metadata["smaller"].append(file.name)
            if image.thumbnail is not None:
                thumbnails.append(Thumbnail(file.name, image.thumbnail))
            empty = False
            example = {"image": image.content}
            yield file.name, {**example, "label": file.label} if config.class_names else example
        if split != "train":
            alike = look_alikes(thumbnails, self._thumbnails["train"])
            known = {name for name, _ in self.info.metadata["copies"]}
            self.info.metadata["alike"] += [pair for pair in alike.items() if pair[0] not in known]
        if empty:
            problem = f"none of the {len(files):,} files for '{split}' is an image"
            raise ArgumentError("dataset", config.dataset, problem)

    def _unreadable(self, split: str, first: ImageFile, reason: str) -> ArgumentError:
        """Returns the error about all files that cannot be read, of which `first` is the first. Writes a list.

        Looks at all files that have not been read yet, so that the user learns of everything at once.
        """
        config = self.builder_config
        bad = [(first.name, reason)]
        splits = list(config.splits)
        for other in splits[splits.index(split) :]:
            files = config.splits[other]
            files = files[files.index(first) + 1 :] if other == split else files
            bad += [(file.name, why_not) for file, (image, why_not) in zip(files, _read_all(files)) if image is None]
        if len(bad) == 1:
            problem = f"{first.name} cannot be read as an image ({reason}); remove the file or add {{on_bad_image}}"
            return ArgumentError("dataset", config.dataset, problem, on_bad_image="skip")
        path = os.path.join(self.data_dir_root, f"{config.name}.unreadable.txt")
        with tf.io.gfile.GFile(path, "w") as stream:
            stream.write("".join(f"{printable(name)}\t{why_not}\n" for name, why_not in bad))
        some = ", ".join(f"{name} ({why_not})" for name, why_not in bad[:NAMED])
        problem = f"{len(bad):,} files cannot be read as images: {some}"
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        return ArgumentError(
            "dataset",
            config.dataset,
            f"{problem}{more}; remove them or add {{on_bad_image}}; {path} lists all",
            on_bad_image="skip",
        )


def is_folder(dataset: str) -> bool:
    """Returns whether the name of a data set stands for the user's own files: 'folder:PATH' or 'csv:FILE'."""
    return dataset.startswith((PREFIX, table.PREFIX))


def builder(
    folder: str,
    *,
    labels: bool,
    on_bad_image: str,
    data_dir: Optional[str],
    class_level: Optional[int] = None,
    group: Optional[str] = None,
) -> Folder:
    """Returns the data set of a folder. It is prepared already if it was before and no file has changed since.

    There are three layouts: FOLDER/train/CLASS/* with FOLDER/test/CLASS/* or FOLDER/validation/CLASS/*; FOLDER/CLASS/*;
    FOLDER/* without classes. The first level below the split is the class, a deeper one its subclass. Without images
    for evaluation, about a fifth of each class becomes 'test'; see `folder_layout.hold_out`.

    Args:
      folder: path; may be a gs:// address.
      labels: whether the images must have classes.
      on_bad_image: what to do about a file that is not an image: 'stop' or 'skip'.
      data_dir: where TFDS keeps prepared data; None for TFDS's default.
      class_level: number of the level of folders that are classes; see `folder_layout.arrange`.
      group: how files are grouped; see `groups.groups_of`.

    Raises:
      ArgumentError: the folder does not exist, or its images cannot be trained on. Names the option `dataset`.
    """
    folder = os.path.expanduser(folder)
    listing = list_files(folder)
    check_images(folder, listing.names)
    splits, remarks = arrange(folder, listing.names, labels=labels, class_level=class_level, group=group)
    if listing.passed_over:
        example = printable(listing.passed_over[0])
        remarks.append(f"Passed over {len(listing.passed_over):,} hidden or system files or folders, e.g. {example}")
    return _builder(PREFIX + folder, folder, splits, remarks, on_bad_image, data_dir)


def table_builder(
    file: str, *, labels: bool, on_bad_image: str, data_dir: Optional[str], **columns: Optional[str]
) -> Folder:
    """Returns the data set of a table; see `table.arrange` for it and for `columns`, otherwise like `builder`."""
    file = os.path.expanduser(file)
    splits, remarks = table.arrange(file, labels=labels, **columns)
    return _builder(table.PREFIX + file, file, splits, remarks, on_bad_image, data_dir)


def _builder(
    dataset: str,
    folder: str,
    splits: Dict[str, List[ImageFile]],
    remarks: Sequence[str],
    on_bad_image: str,
    data_dir: Optional[str],
) -> Folder:
    class_names = in_order({file.label for file in splits["train"]} - {""})
    digest = hashlib.sha256(repr((class_names, on_bad_image)).encode())
    for split, members in splits.items():
        for member in members:
            digest.update(repr((split, member.label, member.name, *_stamp(dataset, member))).encode())
    title = re.sub(r"\W+", "_", os.path.basename(os.path.abspath(folder)))
    title = title.encode()[:LONGEST_TITLE].decode(errors="ignore")
    config = FolderConfig(
        name=f"{title}-{digest.hexdigest()[:16]}",
        dataset=dataset,
        folder=folder,
        splits=splits,
        class_names=class_names,
        skip_bad=on_bad_image == "skip",
        remarks=tuple(remarks),
    )
    return Folder(config=config, data_dir=data_dir)


def with_training_copies(folder: Folder, image_size: int) -> Folder:
    """Returns the data set with smaller copies of large images in 'train'. All other images keep their size.

    A copy's longer side is the next power of two from `SHRINKING` times the image size on. So a crop of an eighth of
    its area has about the pixels that the encoder sees, and a few image sizes share one prepared data set.
    """
    side = 1 << (SHRINKING * image_size - 1).bit_length()
    config: FolderConfig = copy.copy(folder.builder_config)
    config.name, config.longest_side = f"{config.name}-{side}px", side
    return Folder(config=config, data_dir=folder.data_dir_root)


def in_order(names: Iterable[str]) -> Tuple[str, ...]:
    """Returns class names in the order of their labels: by number if all are whole numbers, otherwise by text.

    >>> in_order({"10", "9", "-1"}), in_order({"10", "9", "x"})
    (('-1', '9', '10'), ('10', '9', 'x'))
    """
    ordered = sorted(names)
    if all(re.fullmatch(r"-?\d+", name, re.ASCII) for name in ordered):
        ordered.sort(key=int)
    return tuple(ordered)


def _read_all(
    files: Sequence[ImageFile], longest_side: Optional[int] = None
) -> Iterator[Tuple[Optional[pixels.Converted], str]]:
    """Yields for each file, in order, its image, or None and the reason; see `pixels.training_copy` for the side."""
    read = functools.partial(_read, one_at_a_time=threading.Lock(), longest_side=longest_side)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for start in range(0, len(files), READ_AHEAD):
            with libjpeg_warnings() as warnings:
                found = list(threads.map(read, files[start : start + READ_AHEAD]))
            for image, reason in found:
                if warnings and image is not None:
                    image = pixels.without_flaw(image)
                yield image, reason


def _read(
    file: ImageFile, one_at_a_time: Optional[ContextManager[Any]] = None, longest_side: Optional[int] = None
) -> Tuple[Optional[pixels.Converted], str]:
    """Returns the image in a file, or None and the reason."""
    try:
        with tf.io.gfile.GFile(file.path, "rb") as stream:
            image = pixels.convert(stream.read(), one_at_a_time)
        return (image if longest_side is None else pixels.training_copy(image, longest_side)), ""
    except Exception as error:  # Pillow's readers raise errors of many kinds
        return None, pixels.reason(error)


def _stamp(dataset: str, file: ImageFile) -> Tuple[int, int]:
    """Returns size in bytes and time of change in nanoseconds; −1 for both if the file is a broken link.

    Raises:
      ArgumentError: the file cannot be looked at. Names the option `dataset`.
    """
    try:
        status = tf.io.gfile.stat(file.path)
    except tf.errors.NotFoundError:
        return -1, -1
    except tf.errors.OpError as error:
        raise ArgumentError("dataset", dataset, f"{file.name} cannot be read ({why(error)})") from error
    return status.length, status.mtime_nsec
