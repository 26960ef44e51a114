"""The inputs of evaluators: a model and held-out images. Batches are taken apart only here."""

import dataclasses
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import progress
from supcon_tf.batch import Batch
from supcon_tf.distribute import is_chief
from supcon_tf.errors import ArgumentError, check_flags, check_function


def check_names(argument: str, names: Any) -> None:
    """Raises ArgumentError unless an argument is a list of names."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ArgumentError(argument, names, "must be a list of names")


def check_dict(argument: str, value: Any) -> None:
    """Raises ArgumentError unless an argument is a dict."""
    if not isinstance(value, Mapping):
        raise ArgumentError(argument, value, "must be a dict")


@dataclasses.dataclass(frozen=True)
class EvaluationInputs:
    """A trained model and the held-out images.

    Attributes:
      model: maps images `[batch, height, width, channels]` uint8 to logits `[batch, classes]`. Its `embed` maps them to
        embeddings `[batch, dim]`.
      held_out: returns distributed batches of the held-out images, and their number.
      class_names: in the order of the labels; empty where the images have no labels.
      multi_label: whether an image may have several classes, or none.

    >>> from supcon_tf.models import Classifier, build_encoder
    >>> model = Classifier(build_encoder("small", (8, 8, 3)), num_classes=2, freeze_encoder=True)
    >>> images, labels = tf.zeros([4, 1, 8, 8, 3], tf.uint8), tf.constant([0, 1, 1, 0])
    >>> batches = tf.data.Dataset.from_tensors({"views": images, "labels": labels, "weights": tf.ones([4])})
    >>> EvaluationInputs(model, held_out=lambda: (batches, 1), class_names=["cat", "dog"]).num_classes
    2

    Raises:
      ArgumentError: an argument is not allowed.
    """

    model: keras.Model
    held_out: Callable[[], Tuple[tf.data.Dataset, int]]
    class_names: Sequence[str]
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.model, keras.Model):
            raise ArgumentError("model", self.model, "must be a Keras model")
        check_function("held_out", self.held_out)
        check_names("class_names", self.class_names)
        check_flags(multi_label=self.multi_label)

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where the images have no labels."""
        return len(self.class_names)

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The strategy of the model, which runs each step."""
        return self.model.distribute_strategy


# Returns figures by name, or None where the evaluator does not apply. A figure is a number, a text, an array, or a list
# or dict of these.
Evaluator = Callable[[EvaluationInputs], Optional[Dict[str, Any]]]


def held_out_batches(inputs: EvaluationInputs) -> Iterator[Any]:
    """Yields each distributed batch of the held-out images once, as an argument for `inputs.strategy.run`.

    On several devices a distributed batch holds one part for each. `unpack` takes a part, so call it in the step that
    `inputs.strategy.run` runs; and use `supcon_tf.distribute.gather` there to see the images of all devices.
    """
    batches, steps = inputs.held_out()
    iterator, show = iter(batches), is_chief(inputs.strategy)
    for _ in progress.counted(range(steps), steps, "evaluate", show=show):
        yield next(iterator)


def unpack(batch: Batch) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns images, labels and weights of a replica's batch, which `supcon_tf.batch` describes.

    Images are `[batch, height, width, channels]` uint8. Labels and weights are `[batch]`, or `[batch, classes]` if an
    image may have several classes. Weight 0 marks images that only fill the last batch, and classes that do not count.
    """
    return batch["views"][:, 0], batch["labels"], batch["weights"]
