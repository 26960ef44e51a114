"""Downloads a data set and writes it into the data directory, as TensorFlow Datasets (TFDS) does."""

import contextlib
import errno
import io
import os
import sys
import tempfile
import warnings
from typing import Iterator, List

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging as absl_logging
from tensorflow_datasets.core.utils import tqdm_utils

from supcon_tf import storage
from supcon_tf.config import DataOptions
from supcon_tf.data import catalogue, folder, source_files, unfinished
from supcon_tf.data.folder_files import why
from supcon_tf.errors import NAME_ONLY, ArgumentError, UserError, arguments_called, printable

NOT_FOUND = (AssertionError, FileNotFoundError, tf.errors.NotFoundError)  # what builders raise without their files

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def prepare_data(options: DataOptions, builder: tfds.core.DatasetBuilder) -> None:
    """Downloads missing files and writes the data set into the data directory. Says so on stderr.

    Args:
      options: the options about data.
      builder: of the data set `options.dataset`; its `info` is complete afterwards.

    Raises:
      ArgumentError: files are missing and cannot be downloaded, the data directory cannot be written, or TFDS failed.
      UserError: the data directory holds an incomplete copy.
    """
    _check_writable(builder)
    print(printable(f"Preparing {options.dataset} in {builder.data_dir} ..."), file=sys.stderr, flush=True)
    unfinished.remove_leftovers(os.path.dirname(os.path.abspath(builder.data_dir)))
    manual_dir = None
    if options.source_files and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        manual_dir = os.path.expanduser(options.source_files)
    elif options.source_files:
        with arguments_called(folder="source_files"):
            source_files.place(builder, options.source_files)
    finished = builder.data_path / "dataset_info.json"
    with source_files.watched_downloads() as out_of_reach, unfinished.marked():
        try:
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
        except UserError:
            raise
        except Exception as error:
            # Another process may have prepared the same data set meanwhile; then its copy is used.
            if not finished.exists():
                root = os.fspath(builder.data_dir_root)
                failure = storage.failure_behind(error, root)
                if failure is not None:
                    problem = f"cannot be written ({failure.reason}); run the same command again when this is mended"
                    raise ArgumentError("data_dir", root, problem) from error
                raise _not_prepared(options, builder, out_of_reach, error) from error
    if not finished.exists():
        raise UserError(f"{builder.data_dir}: holds an incomplete copy of {options.dataset}; delete that folder")
    builder.info.read_from_directory(builder.data_dir)


def _check_writable(builder: tfds.core.DatasetBuilder) -> None:
    """Raises ArgumentError, which names the option `data_dir`, unless files can be written there."""
    root = os.fspath(builder.data_dir_root)
    try:
        tf.io.gfile.makedirs(root)
        if "://" not in root:
            with tempfile.TemporaryFile(dir=root):
                pass
    except (OSError, tf.errors.OpError) as error:
        raise _not_writable(builder, error) from error


def _is_about_writing(builder: tfds.core.DatasetBuilder, error: Exception) -> bool:
    """Returns whether an error is about a file below the data directory that cannot be written."""
    if isinstance(error, (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError)):
        return os.fspath(builder.data_dir_root) in str(error)
    below = str(getattr(error, "filename", None) or "").startswith(os.fspath(builder.data_dir_root))
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or (isinstance(error, OSError) and error.errno in NOT_WRITABLE and below)


def _not_writable(builder: tfds.core.DatasetBuilder, error: Exception) -> ArgumentError:
    problem = f"cannot be written ({why(error)}); give another {{data_dir}}"
    return ArgumentError("data_dir", os.fspath(builder.data_dir_root), problem, data_dir=NAME_ONLY)


def set_known_sizes(options: DataOptions, builder: tfds.core.DatasetBuilder) -> None:
    """Gives the builder the sizes of its splits that are known without the data.

    Args:
      options: the options about data.
      builder: of the data set `options.dataset`; its `info` has splits afterwards.

    Raises:
      ArgumentError: the sizes are unknown.
    """
    if isinstance(builder, folder.Folder):
        sizes = {split: len(files) for split, files in builder.builder_config.splits.items()}
    else:
        known = catalogue.sizes(options.dataset)
        if known is None:
            raise ArgumentError(
                "dataset",
                options.dataset,
                "its number of images is unknown until it is prepared; start a run, or give the {data_dir} that has it",
                data_dir=NAME_ONLY,
            )
        sizes = known
    splits = [tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0) for name, size in sizes.items()]
    builder.info.set_splits(tfds.core.splits.SplitDict(splits))


def _not_prepared(
    options: DataOptions, builder: tfds.core.DatasetBuilder, out_of_reach: List[str], error: Exception
) -> ArgumentError:
    """Returns the error that says why the data set could not be prepared, and what to do about it."""
    name = options.dataset
    if _is_about_writing(builder, error):
        return _not_writable(builder, error)
    if out_of_reach:
        files = source_files.describe(builder, out_of_reach)
        if options.source_files:
            problem = f"lacks files that cannot be downloaded from here: {files}"
            return ArgumentError("source_files", options.source_files, problem)
        return ArgumentError(
            "dataset",
            name,
            f"not in {builder.data_dir_root}, and cannot be downloaded from here; fetch {files} elsewhere and give "
            "their folder as {source_files}, or give a {data_dir} that has the data set prepared",
            source_files=NAME_ONLY,
            data_dir=NAME_ONLY,
        )
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and isinstance(error, NOT_FOUND):
        where = options.source_files or builder.data_dir_root / "downloads" / "manual"
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        return ArgumentError(
            "dataset",
            name,
            f"download its files by hand into manual_dir, which is {where} unless {{source_files}} gives another "
            f"folder: {instructions}",
            source_files=NAME_ONLY,
        )
    return ArgumentError("dataset", name, f"could not be prepared: {one_line(error)}")


def one_line(error: Exception) -> str:
    """Returns the class and the message of an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS's notices off the screen, and its progress bars off a stderr that is no terminal.

    Restores what was set before.
    """
    # TFDS tells nobody whether its progress bars are on, except by the class of a bar.
    hides_bars = not sys.stderr.isatty() and not isinstance(tqdm_utils.tqdm(disable=True), tqdm_utils.EmptyTqdm)
    verbosity = absl_logging.get_verbosity()
    try:
        absl_logging.set_verbosity(absl_logging.ERROR)
        if hides_bars:
            tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        absl_logging.set_verbosity(verbosity)
        if hides_bars:
            tfds.enable_progress_bar()
