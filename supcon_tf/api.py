"""Trains a classifier of images in one call, from arrays or a `tf.data.Dataset`."""

import csv
import dataclasses
import os
import tempfile
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import distribute
from supcon_tf.data.folder import in_order
from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.plan.memory import fit_into_memory
from supcon_tf.run.run import run
from supcon_tf.run_dir import RunDir, read_json

TABLE = "images.csv"
BATCH = 256  # number of images that pass the model at a time
SET_BY_FIT = ("dataset", "stages", "recipe", "preset")  # options that the caller cannot give


@dataclasses.dataclass(frozen=True, eq=False)
class FittedClassifier:
    """A trained classifier of images; `fit` returns one.

    Attributes:
      classes: the classes, as they were given, in the order of the columns of `predict_proba`.
      metrics: the figures on the held-out images, for example `metrics["top1"]`.
      run_dir: the folder with the report, the SavedModel and everything else that the run has left.
    """

    classes: np.ndarray
    metrics: Dict[str, Any]
    run_dir: str
    _model: Any = dataclasses.field(repr=False)  # which must live as long as its signatures are used

    def predict(self, images: Any) -> np.ndarray:
        """Returns the likeliest class of each image, `[images]`, as the labels were given.

        Args:
          images: `[images, height, width, channels]` or `[images, height, width]` uint8.
        """
        return self.classes[np.argmax(self.predict_proba(images), axis=1)]

    def predict_proba(self, images: Any) -> np.ndarray:
        """Returns the probability of each class, `[images, classes]` float32."""
        return self._answers("serving_default", "probabilities", images)

    def embed(self, images: Any) -> np.ndarray:
        """Returns the L2-normalised embeddings, `[images, dim]` float32."""
        return self._answers("embed", "embedding", images)

    def score(self, images: Any, labels: Any) -> float:
        """Returns the share of the images whose likeliest class is their label."""
        return float(np.mean(self.predict(images) == np.asarray(labels)))

    def _answers(self, signature: str, name: str, images: Any) -> np.ndarray:
        images, answer = checked_images(images), self._model.signatures[signature]
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return np.concatenate([answer(images=tf.constant(batch))[name].numpy() for batch in batches])


def fit(
    images: Any,
    labels: Any = None,
    *,
    mode: str = "supcon",
    held_out: Optional[Tuple[Any, Any]] = None,
    run_dir: Optional[str] = None,
    budget: Optional[str] = None,
    **options: Any,
) -> FittedClassifier:
    """Trains a classifier of images and returns it, as the program does for a table or folder of files.

    The images decide what `options` leave open, as on the command line. The defaults take minutes for a few thousand
    small images.

    Args:
      images: `[images, height, width, channels]` or `[images, height, width]` uint8, from 0 to 255, with 1 or 3
        channels; or a `tf.data.Dataset` of (image, label).
      labels: `[images]`, numbers or text; None for a data set, which has them.
      mode: 'supcon' or 'ce'.
      held_out: (images, labels) to measure the figures on. None holds out a fifth of each class.
      run_dir: folder for everything that the run leaves; the same call resumes there. None for a folder in runs/ that
        follows from the time.
      budget: a time or a number of epochs, such as "5m" or "100epochs".
      options: further options by name, for example `batch_size=64`; `python app.py --help=all` lists them.

    Raises:
      ArgumentError: an argument is not allowed, or the images do not fit.
      UserError: something else that the user can mend.

    Example:
    ```python
    classifier = supcon_tf.fit(images, labels, budget="5m")
    print(classifier.metrics["top1"], classifier.predict(new_images))
    ```
    """
    _check_options(mode, options)
    run_dir = _new_folder() if run_dir is None else run_dir
    parts = {"train": (images, labels), **({} if held_out is None else {"test": held_out})}
    folder = os.path.join(run_dir, "images")
    classes = _write_images(folder, parts)
    given: Dict[str, Any] = {
        "mode": mode,
        "dataset": f"csv:{os.path.join(folder, TABLE)}",
        "data_dir": os.path.join(run_dir, "prepared"),
        "run_dir": run_dir,
        "precision": "auto",
        "warmup_epochs": 0.0,  # the images decide it
        **({} if budget is None else {"budget": budget}),
        **options,
    }
    undecided = ({option.name for option in config_lib.options()} - given.keys()) | ({"warmup_epochs"} - options.keys())
    open_to: Dict[str, Any] = {"undecided": undecided, "not_by_hand": undecided, "fit_into_memory": fit_into_memory}
    run(config_lib.from_values(given), distribute.make_strategy("auto"), **open_to)
    files = RunDir(run_dir)
    return FittedClassifier(classes, read_json(files.metrics) or {}, run_dir, tf.saved_model.load(files.saved_model))


def _new_folder() -> str:
    os.makedirs("runs", exist_ok=True)
    return tempfile.mkdtemp(prefix="fit_", dir="runs")


def _check_options(mode: str, options: Mapping[str, Any]) -> None:
    if mode not in ("supcon", "ce"):
        raise ArgumentError("mode", mode, "must be 'supcon' or 'ce', which train a classifier with labels")
    for name in SET_BY_FIT:
        if name in options:
            raise ArgumentError(name, options[name], "is not an option of fit")


def checked_images(images: Any) -> np.ndarray:
    """Returns images `[images, height, width, channels]` uint8.

    Raises:
      ArgumentError: they are none.
    """
    array = np.asarray(images)
    if array.ndim == 3 and array.shape[-1] in (1, 3):
        raise ArgumentError("images", str(list(array.shape)), "looks like one image; give a list of images, [image]")
    array = array[..., np.newaxis] if array.ndim == 3 else array
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 3) or not len(array):
        found = f"{array.dtype} {list(array.shape)}"
        problem = "must be uint8 [images, height, width, channels] from 0 to 255, with 1 or 3 channels"
        raise ArgumentError("images", found, problem)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _write_images(folder: str, parts: Dict[str, Tuple[Any, Any]]) -> np.ndarray:
    """Writes images as PNG files, and a table that lists them; leaves files alone that have the same content.

    Args:
      folder: where to write.
      parts: split → (images, labels).

    Returns:
      The classes, in the order of the labels that the table gets.
    """
    os.makedirs(folder, exist_ok=True)
    rows: List[Tuple[str, str, str]] = []
    classes: Dict[str, Any] = {}
    for split, (images, labels) in parts.items():
        for number, (image, label) in enumerate(_pairs(images, labels)):
            name = f"{split}_{number:07d}.png"
            path = os.path.join(folder, name)
            content = tf.io.encode_png(image).numpy()
            if not os.path.exists(path) or tf.io.read_file(path).numpy() != content:
                tf.io.write_file(f"{path}.partial", content)
                os.replace(f"{path}.partial", path)
            text = str(label)
            if classes.setdefault(text, label) != label:
                raise ArgumentError("labels", label, f"and another label are both written as '{text}'")
            rows.append((name, text, split))
    header = ("path", "label", *(("split",) if len(parts) > 1 else ()))
    with open(os.path.join(folder, TABLE), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *(row[: len(header)] for row in rows)])
    return np.array([classes[text] for text in in_order(classes)])


def _pairs(images: Any, labels: Any) -> Iterator[Tuple[np.ndarray, Any]]:
    """Yields each image, `[height, width, 3]` uint8, and its label, a number or text."""
    if labels is None:
        if not isinstance(images, tf.data.Dataset):
            raise ArgumentError("labels", None, "are missing; give one for each image")
        for element in images:
            if not isinstance(element, tuple) or len(element) != 2:
                raise ArgumentError("images", NAME_ONLY, "must be a data set of (image, label), not batched")
            image, label = (value.numpy() for value in element)
            yield checked_images(image[np.newaxis])[0], label.decode() if isinstance(label, bytes) else label.item()
        return
    array, labels = checked_images(images), np.asarray(labels)
    if labels.shape != (len(array),):
        raise ArgumentError("labels", str(list(labels.shape)), f"must be [{len(array)}], one for each image")
    yield from zip(array, labels.tolist())
