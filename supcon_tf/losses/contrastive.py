"""The supervised contrastive losses (Khosla et al., 2020) and NT-Xent (Chen et al., 2020) as Keras losses."""

from typing import Any, Callable, Dict, Optional, Tuple, Union

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import UNLABELLED, class_indices
from supcon_tf.errors import NAME_ONLY, ArgumentError, check_flags
from supcon_tf.keras_version import DEFAULT_REDUCTION
from supcon_tf.losses.diagnostics import label_diagnostics
from supcon_tf.losses.functional import check_options, supervised_contrastive_loss
from supcon_tf.losses.inputs import Memory, check_concrete
from supcon_tf.losses.temperature import Temperature, check_temperature, temperature_now
from supcon_tf.losses.variants import LossVariant
from supcon_tf.shapes import Size, size_of


@keras.utils.register_keras_serializable("supcon_tf")
class SupConLoss(keras.losses.Loss):
    """Supervised contrastive loss (Khosla et al., 2020, Eqs. 2 and 3); `supervised_contrastive_loss` as a Keras loss.

    >>> loss = SupConLoss(temperature=1.0)
    >>> projections = tf.constant([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    >>> print(loss.call(tf.constant([0, 0, 1]), projections).numpy().round(4))
    [0.3133 0.3133 0.    ]
    >>> round(float(loss(tf.constant([0, 0, 1]), projections)), 4)
    0.2088

    Args:
      temperature: τ, positive. A number fixes it. A scalar tensor or variable, or a function that returns one, lets it
        learn. Keras trains only weights of the model, so a variable has to be one. Nothing here keeps it positive;
        `ContrastiveModel(learned_temperature=…)` does both.
      summation, denominator, positives_cap, anchors, scale_by_temperature, normalize, tile_size: as for
        `supervised_contrastive_loss`.
      memory: a function that returns further contrasts at each evaluation of the loss: a `Memory`, or a tuple of its
        three tensors, equal on every replica. Not with `positives_cap`.
      reduction, name: as for any `keras.losses.Loss`.

    Raises:
      ArgumentError: an argument is not allowed.
    """

    DIAGNOSTICS: Tuple[str, ...] = ("collapsed_loss", "anchors_with_positives", "images_with_classmates")

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        summation: str = "out",
        denominator: str = "all",
        positives_cap: Optional[int] = None,
        anchors: str = "all",
        scale_by_temperature: bool = False,
        normalize: bool = True,
        tile_size: Optional[int] = None,
        memory: Optional[Callable[[], Tuple[tf.Tensor, tf.Tensor, tf.Tensor]]] = None,
        reduction: str = DEFAULT_REDUCTION,
        name: str = "supcon_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        check_temperature(temperature)
        check_options(summation, denominator, positives_cap, anchors, tile_size, memory is not None)
        check_flags(scale_by_temperature=scale_by_temperature, normalize=normalize)
        if memory is not None and not callable(memory):
            raise ArgumentError("memory", type(memory).__name__, "must be a function that returns a Memory")
        self.temperature = temperature
        self.variant = LossVariant(summation, denominator, positives_cap)
        self.anchors = anchors
        self.scale_by_temperature = scale_by_temperature
        self.normalize = normalize
        self.tile_size = tile_size
        self.memory = memory

    @property
    def scale(self) -> Union[float, tf.Tensor]:
        """The factor by which the loss exceeds that of the equation: τ, or 1."""
        return temperature_now(self.temperature) if self.scale_by_temperature else 1.0

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, `[batch]` float32, the mean over its anchors.

        Args:
          y_true: integer labels `[batch]` or `[batch, 1]`, or one-hot `[batch, classes]`; −1, or a row of zeros, for
            unlabelled.
          y_pred: projections `[batch, views, dim]`, or `[batch, dim]` for one view.

        Raises:
          ArgumentError: shapes do not fit.
          InvalidArgumentError: a row of labels is neither one-hot nor zeros, or a label is not whole. XLA does not
            check.
        """
        check_concrete(y_pred)
        y_pred = tf.convert_to_tensor(y_pred)
        return supervised_contrastive_loss(
            self.image_labels(y_true, size_of(y_pred, 0)),
            y_pred,
            temperature_now(self.temperature),
            **self.variant._asdict(),
            anchors=self.anchors,
            scale_by_temperature=self.scale_by_temperature,
            normalize=self.normalize,
            tile_size=self.tile_size,
            memory=self.memory_now(),
        )

    def image_labels(self, y_true: tf.Tensor, batch: Size) -> tf.Tensor:
        """Returns the class numbers that the loss uses: `[batch]`, −1 for unlabelled."""
        return class_indices(y_true, batch)

    def memory_now(self) -> Optional[Memory]:
        """Returns the present memory, with class numbers; None without one."""
        if self.memory is None:
            return None
        memory = Memory(*self.memory())
        return memory._replace(labels=self.image_labels(memory.labels, size_of(memory.projections, 0)))

    def diagnostics(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Returns the float32 scalars that `DIAGNOSTICS` names (`diagnostics.py`); arguments as for `call`."""
        labels = self.image_labels(y_true, size_of(y_pred, 0))
        views = size_of(y_pred, 1) if y_pred.shape.rank == 3 else 1
        found = label_diagnostics(labels, views, self.variant, self.memory_now())
        return {name: found[name] for name in self.DIAGNOSTICS}

    def get_config(self) -> Dict[str, Any]:
        """Returns the arguments except the memory, a function; a learned temperature has its present value."""
        return {
            **super().get_config(),
            "temperature": float(temperature_now(self.temperature)),
            **self.variant._asdict(),
            "anchors": self.anchors,
            "scale_by_temperature": self.scale_by_temperature,
            "normalize": self.normalize,
            "tile_size": self.tile_size,
        }


@keras.utils.register_keras_serializable("supcon_tf")
class NTXentLoss(SupConLoss):
    """SimCLR's loss (Chen et al., 2020, Eq. 1): the other views of an image are its only positives; labels are ignored.

    Arguments and shapes are those of `SupConLoss`, without `positives_cap`, which would change nothing.

    >>> projections = tf.constant([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> round(float(NTXentLoss(temperature=1.0)(tf.zeros([2]), projections)), 4)
    0.5514
    """

    DIAGNOSTICS = ("collapsed_loss", "anchors_with_positives")

    def __init__(self, temperature: Temperature = 0.1, *, name: str = "nt_xent_loss", **arguments: Any) -> None:
        if "positives_cap" in arguments:
            raise TypeError("NTXentLoss has no argument positives_cap")
        super().__init__(temperature, name=name, **arguments)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, `[batch]` float32, the mean over its anchors; see `SupConLoss.call`.

        Raises:
          ArgumentError: there is one view of each image, so that no anchor has a positive.
        """
        check_concrete(y_pred)
        shape = tf.convert_to_tensor(y_pred).shape
        if shape.rank == 2 or (shape.rank == 3 and shape[1] == 1):
            problem = f"needs two views of each image, [batch, views, dim], not one: {shape} leaves no positives"
            raise ArgumentError("y_pred", NAME_ONLY, problem)
        return super().call(y_true, y_pred)

    def image_labels(self, y_true: tf.Tensor, batch: Size) -> tf.Tensor:
        """Returns −1 for every image: all are unlabelled."""
        return tf.fill([batch], UNLABELLED)

    def get_config(self) -> Dict[str, Any]:
        config = super().get_config()
        del config["positives_cap"]
        return config
