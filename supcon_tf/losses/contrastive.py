"""The supervised contrastive losses (Khosla et al., 2020) and NT-Xent (Chen et al., 2020) as Keras losses."""

import numbers
from typing import Any, Callable, Dict, Optional, Tuple, Union

import tensorflow as tf
from tensorflow import keras

from supcon_tf.batch import UNLABELLED, class_indices
from supcon_tf.distribute import gather, local_slice_start
from supcon_tf.losses.classes import classes_with_memory, image_classes
from supcon_tf.losses.engine import contrastive_losses
from supcon_tf.losses.forms import DENOMINATORS, SUMMATIONS, Count, Form, counts
from supcon_tf.losses.inputs import Memory, contrasts_of_memory, projections_by_view
from supcon_tf.shapes import Size, size_of

ANCHORS = ("all", "one")

# A number, a scalar tensor or variable, or a function that gives one of these at each evaluation of the loss.
Temperature = Union[float, tf.Tensor, tf.Variable, Callable[[], Any]]


def fixed_or_scalar(temperature: Temperature) -> Union[float, tf.Tensor]:
    """τ as it is now: a number if it is fixed, else a scalar float32 tensor."""
    value = temperature() if callable(temperature) else temperature
    if isinstance(value, numbers.Real):
        return float(value)
    value = tf.cast(value, tf.float32)
    if value.shape.rank != 0:
        raise ValueError(f"temperature must be a scalar, not of shape {value.shape}")
    return value


@keras.saving.register_keras_serializable("supcon_tf")
class SupConLoss(keras.losses.Loss):
    """Supervised contrastive loss (Khosla et al., 2020, Eqs. 2 and 3).

    For an anchor i among all views of all images of the global batch, with A(i) all others, P(i) those of them with
    the anchor's label, and s_ij = z_i·z_j / temperature:

        L_i = log Σ_{a ∈ A(i)} exp(s_ia) − 1/|P(i)| Σ_{p ∈ P(i)} s_ip

    An image labelled −1 is unlabelled: a class of its own. An anchor without positives contributes 0 to the mean, as in
    the authors' PyTorch code. Under a `tf.distribute` strategy the batch is that of all replicas: the loss and its
    gradient are those of one replica with the whole batch.

    Memory grows linearly with the batch (`supcon_tf/losses/engine.py`), and whatever comes in is computed in float32.

    >>> loss = SupConLoss(temperature=0.1)
    >>> projections = tf.random.stateless_normal([8, 2, 128], seed=[0, 0])
    >>> loss(tf.constant([0, 0, 1, 1, 2, 2, 3, 3]), projections).shape
    TensorShape([])

    Args:
      temperature: τ, positive: a number, or, to learn it, a scalar tensor or variable or a function that returns one.
        Keras trains only what belongs to the model, so a variable has to be a weight of it, and nothing here keeps it
        positive; `ContrastiveModel(learned_temperature=…)` sees to both.
      summation: over positives, 'out'side the logarithm (Eq. 2) or 'in'side (Eq. 3).
      denominator: what it sums over. 'all' others (the paper's); 'only_negatives', those of other classes; or
        'one_positive', these and the one positive of the numerator. An anchor that has no negatives contributes 0 to
        the latter two.
      positives_cap: at most so many other images of its class are an anchor's positives, with all their views; the rest
        of the class leaves numerator and denominator. None for all. Which ones: see `supcon_tf.losses.forms.Form`.
      anchors: 'all' views, or the first 'one' of each image only.
      scale_by_temperature: multiply the loss by τ, as the authors' TensorFlow recipes for SupCon do.
      normalize: L2-normalise the projections first.
      tile_size: rows and columns of the similarities in memory at a time, at most; None for what suits the device. No
        other result depends on it than speed and memory.
      memory: a function that gives further contrasts at each evaluation of the loss, as MoCo's queue of past
        projections (He et al., 2020): a `Memory`, or a tuple of the same, alike on every replica. Its valid rows belong
        to A(i) of every anchor, and to P(i) if they have the anchor's label; they are no anchors, and get no gradient.
        Not with `positives_cap`.
      reduction, name: as for any `keras.losses.Loss`.

    Raises:
      ValueError: an argument that is not allowed.
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
        reduction: str = keras.losses.Reduction.AUTO,
        name: str = "supcon_loss",
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        if temperature is None or isinstance(temperature, (str, bool)):
            raise ValueError(f"temperature must be a number, a tensor or a function, not {temperature!r}")
        if isinstance(temperature, numbers.Real) and not float(temperature) > 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        for argument, value, allowed in (
            ("summation", summation, SUMMATIONS),
            ("denominator", denominator, DENOMINATORS),
            ("anchors", anchors, ANCHORS),
        ):
            if value not in allowed:
                raise ValueError(f"{argument} must be one of {allowed}, not {value!r}")
        for argument, number, least in (("positives_cap", positives_cap, 0), ("tile_size", tile_size, 1)):
            if number is not None and not (isinstance(number, numbers.Integral) and number >= least):
                raise ValueError(f"{argument} must be a whole number, at least {least}, not {number}")
        if memory is not None and not callable(memory):
            raise ValueError(f"memory must be a function that returns a Memory, not {memory!r}")
        if memory is not None and positives_cap is not None:
            raise ValueError("positives_cap is for the images of a batch; with a memory it must be None")
        self.temperature = temperature
        self.form = Form(summation, denominator, positives_cap)
        self.anchors = anchors
        self.scale_by_temperature = scale_by_temperature
        self.normalize = normalize
        self.tile_size = tile_size
        self.memory = memory

    def current_temperature(self) -> Union[float, tf.Tensor]:
        """τ as it is now: a number if it is fixed, else a scalar float32 tensor."""
        return fixed_or_scalar(self.temperature)

    @property
    def scale(self) -> Union[float, tf.Tensor]:
        """What the loss of the equation is multiplied by."""
        return self.current_temperature() if self.scale_by_temperature else 1.0

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Each image's loss, the mean over its anchors.

        Args:
          y_true: integer labels `[batch]` or `[batch, 1]`, or one-hot `[batch, classes]`; −1, or a row of zeros, for
            unlabelled.
          y_pred: projections `[batch, views, dim]`, or `[batch, dim]` for one view.

        Returns:
          `[batch]`, float32.

        Raises:
          ValueError: shapes that don't fit.
          InvalidArgumentError: a row of labels that is neither one-hot nor zeros, or a label that is not whole. Not
            under XLA, which cannot raise.
        """
        projections = projections_by_view(y_pred, self.normalize)
        temperature = self.current_temperature()
        losses = contrastive_losses(
            projections,
            self.image_labels(y_true, size_of(projections, 0)),
            temperature,
            self.form,
            unit_length=self.normalize,
            tile_size=self.tile_size,
            memory=self._contrasts(projections.shape[2]),
        )
        of_images = losses[:, 0] if self.anchors == "one" else tf.reduce_mean(losses, axis=1)
        return temperature * of_images if self.scale_by_temperature else of_images

    def image_labels(self, y_true: tf.Tensor, batch: Size) -> tf.Tensor:
        """The labels that the loss goes by: `[batch]`, −1 for unlabelled."""
        return class_indices(y_true, batch)

    def _contrasts(self, dim: int) -> Optional[Memory]:
        """The memory as it is now, in the form that the loss computes with; `dim` is that of the projections."""
        if self.memory is None:
            return None
        memory = Memory(*self.memory())
        labels = self.image_labels(memory.labels, size_of(memory.projections, 0))
        return contrasts_of_memory(memory._replace(labels=labels), dim, self.normalize)

    def diagnostics(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> Dict[str, tf.Tensor]:
        """What to hold the loss against, as float32 scalars; arguments as for `call`.

        `collapsed_loss`: what the unscaled loss of this replica's anchors is if all projections are equal; log(N − 1)
        for N projections in the global batch and the memory, where the denominator is over all and every anchor has
        positives.
        `anchors_with_positives`: share of this replica's anchors that have a positive, which with several views is 1.
        `images_with_classmates`: share of this replica's labelled images whose class another image of the global batch,
        or a valid row of the memory, has; 0 if none is labelled.
        """
        labels = self.image_labels(y_true, size_of(y_pred, 0))
        views = y_pred.shape[1] if y_pred.shape.rank == 3 else 1
        start = local_slice_start(size_of(labels, 0))

        def own(values: tf.Tensor) -> tf.Tensor:  # values[start:end] has no static length under XLA
            return tf.slice(values, [start], [size_of(labels, 0)])

        all_labels, memory = gather(labels), self._contrasts(y_pred.shape[-1])
        in_memory: Count = 0
        valid: Count = 0
        if memory is None:
            classes = image_classes(all_labels)
        else:
            classes, in_memory = classes_with_memory(all_labels, memory)
            in_memory, valid = own(in_memory), tf.math.count_nonzero(memory.valid, dtype=tf.int32)
        in_batch = own(classes.size)
        positives, in_denominator, counted = counts(
            self.form, in_batch, size_of(all_labels, 0), views, in_memory, valid
        )
        if self.form.denominator == "one_positive":
            in_denominator += 1
        collapsed = tf.where(counted, tf.math.log(tf.cast(tf.maximum(in_denominator, 1), tf.float32)), 0.0)
        with_classmates = tf.cast(in_batch + in_memory > 1, tf.float32)
        labelled = tf.cast(labels >= 0, tf.float32)
        values = (
            tf.reduce_mean(collapsed),
            tf.reduce_mean(tf.cast(positives > 0, tf.float32)),
            tf.math.divide_no_nan(tf.reduce_sum(labelled * with_classmates), tf.reduce_sum(labelled)),
        )
        return dict(zip(self.DIAGNOSTICS, values))

    def get_config(self) -> Dict[str, Any]:
        """The arguments, without the memory, a function; of a temperature that is learned, its value now."""
        return {
            **super().get_config(),
            "temperature": float(self.current_temperature()),
            **self.form._asdict(),
            "anchors": self.anchors,
            "scale_by_temperature": self.scale_by_temperature,
            "normalize": self.normalize,
            "tile_size": self.tile_size,
        }


@keras.saving.register_keras_serializable("supcon_tf")
class NTXentLoss(SupConLoss):
    """SimCLR's loss (Chen et al., 2020, Eq. 1): the other views of an image are its only positives; labels are ignored.

    Arguments and shapes are those of `SupConLoss`, but for `positives_cap`, which would change nothing.
    """

    DIAGNOSTICS = ("collapsed_loss", "anchors_with_positives")

    def __init__(self, temperature: Temperature = 0.1, *, name: str = "nt_xent_loss", **arguments: Any) -> None:
        if "positives_cap" in arguments:
            raise TypeError("NTXentLoss has no argument positives_cap")
        super().__init__(temperature, name=name, **arguments)

    def image_labels(self, y_true: tf.Tensor, batch: Size) -> tf.Tensor:
        """Unlabelled, every image."""
        return tf.fill([batch], UNLABELLED)

    def get_config(self) -> Dict[str, Any]:
        config = super().get_config()
        del config["positives_cap"]
        return config
