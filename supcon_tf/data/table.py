"""A table of images as a data set: CSV, TSV, JSON Lines or Parquet, with columns for path, class, split and group.

An example, `labels.csv`, whose paths count from its own folder:

    path,label,split
    images/1.jpg,cat,train
    images/2.jpg,dog,test
"""

import csv
import io
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf.data.folder_files import ImageFile, why
from supcon_tf.data.folder_layout import hold_out
from supcon_tf.data.folder_levels import split_of
from supcon_tf.data.groups import grouped_text, has_no_group, torn_apart
from supcon_tf.errors import NAME_ONLY, ArgumentError, printable
from supcon_tf.names import did_you_mean

PREFIX = "csv:"  # how the name of a table as a data set begins
FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
# Names of columns that are recognised, in small letters without '_' and blanks
COLUMNS = {
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "imagename", "img", "imgpath"),
    "label": ("label", "class", "category", "target", "classname", "labelname", "species", "diagnosis", "y"),
    "split": ("split", "set", "subset", "partition", "fold"),
}
NAMED = 5  # number of files or values that an error names


class Columns(NamedTuple):
    """The names of the columns of a table; None for one that it lacks."""

    path: str
    label: Optional[str]
    split: Optional[str]
    group: Optional[str]


def is_table(dataset: str) -> bool:
    """Returns whether the name of a data set stands for a table: 'csv:FILE'."""
    return dataset.startswith(PREFIX)


def arrange(
    file: str,
    *,
    labels: bool,
    path_column: Optional[str] = None,
    label_column: Optional[str] = None,
    group: Optional[str] = None,
) -> Tuple[Dict[str, List[ImageFile]], List[str]]:
    """Reads a table. Without a column of splits, a fifth of each class becomes 'test'.

    Args:
      file: path of the table; may be a gs:// address. Paths in it count from its folder.
      labels: whether the images must have classes.
      path_column, label_column: names of columns; None to recognise them by usual names.
      group: name of the column whose values are not torn apart between the splits, such as a patient; None for none.

    Returns:
      The files of each split, and lines about what was not used.

    Raises:
      ArgumentError: the table cannot be read, or its images cannot be trained on. Names the option `dataset`.
    """
    rows = read_rows(file)
    if not rows:
        raise _unusable(file, "has no row")
    columns = _columns(file, list(rows[0]), labels, path_column, label_column, group)
    splits: Dict[str, List[ImageFile]] = {}
    unknown: Dict[str, int] = {}
    groups: Dict[str, str] = {}
    seen: Dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        image = _image(file, columns, row, number, labels=labels)
        name = split_of(str(row.get(columns.split) or "").strip()) if columns.split else "train"
        if name is None:
            unknown[str(row.get(columns.split or ""))] = number
            continue
        if image.name in seen:
            problem = f"line {number} has {image.name} again, as '{image.label}' and '{seen[image.name]}'"
            if seen[image.name] != image.label:
                raise _unusable(file, f"{problem}; give each image one class")
            continue
        seen[image.name] = image.label
        splits.setdefault(name, []).append(image)
        if columns.group is not None:
            groups[image.name] = str(row.get(columns.group) or image.name)
    if unknown:
        value, number = next(iter(unknown.items()))
        problem = f"the split '{printable(value)}' in line {number} is unknown; write train, validation or test"
        raise _unusable(file, problem)
    if groups and has_no_group(groups):
        raise ArgumentError("group", group, f"no two images of {file} have the same value in this column")
    splits = _checked(file, splits, groups, labels=labels)
    return splits, [*_remarks(columns, rows, seen), *([grouped_text(splits, groups)] if groups else [])]


def read_rows(file: str) -> List[Dict[str, Any]]:
    """Returns the rows of a table, each a dict from column to value.

    Raises:
      ArgumentError: it cannot be read.
    """
    suffix = os.path.splitext(file)[1].lower()
    if suffix not in FORMATS:
        raise _unusable(file, f"must end in {', '.join(FORMATS)}")
    try:
        with tf.io.gfile.GFile(os.path.expanduser(file), "rb") as stream:
            content = stream.read()
        if suffix == ".parquet":
            return _parquet_rows(file, content)
        text = content.decode("utf-8-sig")
        if suffix in (".jsonl", ".ndjson"):
            return [dict(json.loads(line)) for line in text.splitlines() if line.strip()]
        return _separated_rows(file, text, tab=suffix == ".tsv")
    except (OSError, tf.errors.OpError) as error:
        raise _unusable(file, f"cannot be read ({why(error)})") from None
    except UnicodeDecodeError:
        raise _unusable(file, "is not UTF-8 text; save it as UTF-8") from None
    except (csv.Error, json.JSONDecodeError, TypeError) as error:
        raise _unusable(file, f"cannot be read as {suffix[1:]} ({error})") from None


def _separated_rows(file: str, text: str, *, tab: bool) -> List[Dict[str, Any]]:
    header = text.split("\n", 1)[0]
    separator = "\t" if tab else max(",;\t|", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restkey="", strict=True)
    rows = []
    for row in reader:
        if "" in row or None in row.values():
            raise _unusable(file, f"line {reader.line_num} has another number of columns than the header")
        rows.append({name.strip(): value for name, value in row.items()})
    return rows


def _parquet_rows(file: str, content: bytes) -> List[Dict[str, Any]]:
    try:
        from pyarrow import BufferReader, parquet
    except ImportError:
        raise _unusable(
            file, "needs the package pyarrow; run 'python -m pip install pyarrow', or save it as CSV"
        ) from None
    try:
        return parquet.read_table(BufferReader(content)).to_pylist()
    except Exception as error:  # of the package's many kinds
        raise _unusable(file, f"cannot be read as parquet ({' '.join(str(error).split())[:120]})") from None


def _columns(
    file: str,
    names: Sequence[str],
    labels: bool,
    path_column: Optional[str],
    label_column: Optional[str],
    group: Optional[str],
) -> Columns:
    for option, name in (("path_column", path_column), ("label_column", label_column), ("group", group)):
        if name is not None and name not in names:
            hint = did_you_mean(name, names) or f"; it has {', '.join(map(printable, names))}"
            raise ArgumentError(option, name, f"{file} has no such column{hint}")
    path, label = path_column or _recognised("path", names), label_column or _recognised("label", names)
    listed = ", ".join(map(printable, names))
    if path is None:
        raise _unusable(file, f"no column is called path or file; name it by {{path_column}}; it has {listed}")
    if label is None and labels:
        raise _unusable(file, f"no column is called label or class; name it by {{label_column}}; it has {listed}")
    return Columns(path, label, _recognised("split", names), group)


def _recognised(kind: str, names: Sequence[str]) -> Optional[str]:
    """Returns the column with a usual name; None if there is none, or more than one."""
    plain = {name: "".join(name.lower().split()).replace("_", "") for name in names}
    found = [name for name in names if plain[name] in COLUMNS[kind]]
    exact = [name for name in found if plain[name] == kind]
    return exact[0] if exact else found[0] if len(found) == 1 else None


def _image(file: str, columns: Columns, row: Dict[str, Any], number: int, *, labels: bool) -> ImageFile:
    path, label = str(row.get(columns.path) or "").strip(), row.get(columns.label) if columns.label else ""
    if not path:
        raise _unusable(file, f"line {number} has no path")
    if isinstance(label, (list, tuple)):
        raise _unusable(file, f"line {number} has several classes; give each image one")
    label = "" if label is None else str(label).strip()
    if labels and not label:
        raise _unusable(file, f"line {number} has no class")
    if label != printable(label):
        raise _unusable(file, f"the class in line {number} has a line break or a control character")
    return ImageFile(os.path.join(os.path.dirname(os.path.expanduser(file)), path), path, label)


def _checked(
    file: str, splits: Dict[str, List[ImageFile]], groups: Dict[str, str], *, labels: bool
) -> Dict[str, List[ImageFile]]:
    """Returns the splits, with a test split held out if there is none.

    Raises:
      ArgumentError: there is nothing to train on, a class is only held out, or a group is on both sides.
    """
    train = splits.get("train", [])
    classes = {image.label for image in train}
    if not train:
        raise _unusable(file, "has no image to train on")
    if labels and len(classes) < 2:
        raise _unusable(file, f"there is only one class, '{next(iter(classes))}'")
    if not labels and len(classes) < 2:
        return {"train": [image._replace(label="") for image in train]}
    if len(splits) == 1:
        train, test = hold_out(train, groups)
        splits = {"train": train, "test": test}
        if not test:
            raise _unusable(file, "none of its images can be held out for evaluation; add images or a column 'split'")
    for split, images in splits.items():
        unknown = sorted({image.label for image in images} - classes)
        if unknown:
            raise _unusable(file, f"'{split}' has the class '{unknown[0]}', but there is no such image to train on")
    torn = torn_apart(splits, groups) if groups else None
    if torn is not None:
        raise _unusable(file, torn)
    return splits


def _remarks(columns: Columns, rows: Sequence[Any], seen: Dict[str, str]) -> List[str]:
    used = f"Columns: path '{columns.path}'"
    for kind in ("label", "split", "group"):
        name = getattr(columns, kind)
        used += f", {kind} '{name}'" if name is not None else ""
    repeated = len(rows) - len(seen)
    return [printable(used), *([f"Rows that repeat an image: {repeated:,}, left out"] if repeated else [])]


def _unusable(file: str, problem: str) -> ArgumentError:
    return ArgumentError("dataset", PREFIX + file, problem, path_column=NAME_ONLY, label_column=NAME_ONLY)
