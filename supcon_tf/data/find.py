"""Finds a data set by name: one of TensorFlow Datasets, or a folder of images."""

import tensorflow_datasets as tfds

from supcon_tf.config import DataOptions
from supcon_tf.data import catalogue, folder, table
from supcon_tf.data.folder_files import PREFIX
from supcon_tf.data.prepare import one_line
from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.names import did_you_mean

MOST_NAMED = 7


def find_builder(options: DataOptions, *, labels: bool) -> tfds.core.DatasetBuilder:
    """Returns the builder of `options.dataset`. Its data may not be prepared yet.

    Args:
      options: the options about data.
      labels: whether the images must have labels.

    Raises:
      ArgumentError: the name is unknown, the folder is unusable, or the data set is for evaluation only.
    """
    name = options.dataset
    if name in (PREFIX, table.PREFIX):
        raise ArgumentError("dataset", name, "the path is missing; write folder:PATH or csv:FILE")
    if name.startswith(PREFIX):
        path = name[len(PREFIX) :]
        return folder.builder(
            path,
            labels=labels,
            on_bad_image=options.on_bad_image,
            data_dir=options.data_dir,
            class_level=options.class_level,
            group=options.group,
        )
    if table.is_table(name):
        return folder.table_builder(
            name[len(table.PREFIX) :],
            labels=labels,
            on_bad_image=options.on_bad_image,
            data_dir=options.data_dir,
            path_column=options.path_column,
            label_column=options.label_column,
            group=options.group,
        )
    try:
        builder = tfds.builder(name, data_dir=options.data_dir)
    except Exception as error:
        raise ArgumentError("dataset", name, _why_not_found(name, error)) from error
    train_on = catalogue.dataset_defaults(name).trained_on
    if train_on and options.train_split is None:  # said now, not after hours of preparation
        raise ArgumentError(
            "dataset",
            name,
            "has images for evaluation only; train on {dataset}, or give {train_split} and {eval_split}",
            dataset=train_on,
            train_split=NAME_ONLY,
            eval_split=NAME_ONLY,
        )
    return builder


def _why_not_found(name: str, error: Exception) -> str:
    """Returns what is wrong with the name of a data set, `NAME[/CONFIGURATION][:VERSION]`."""
    base, _, configuration = name.partition(":")[0].partition("/")
    data_sets = tfds.list_builders(with_community_datasets=False)
    if base not in data_sets:
        other_name = catalogue.other_name(name)
        if other_name:
            return f"not a data set of TensorFlow Datasets; did you mean {other_name}?"
        if catalogue.is_known_to_be_missing(name):
            return "not a data set of TensorFlow Datasets; download it and give folder:PATH"
        if isinstance(error, ValueError):
            hint = did_you_mean(base, data_sets)
            return f"not a data set of TensorFlow Datasets, and not folder:PATH{hint}"
    configurations = list(tfds.builder_cls(base).builder_configs) if base in data_sets else []
    if configuration and configurations and configuration not in configurations:
        some = [f"{base}/{name}" for name in configurations[:MOST_NAMED]]
        more = [] if len(configurations) <= MOST_NAMED else [f"{len(configurations) - MOST_NAMED} more"]
        hint = did_you_mean(configuration, configurations, f"{base}/") or f"; it has {', '.join([*some, *more])}"
        return f"{base} has no '{configuration}'{hint}"
    return one_line(error)
