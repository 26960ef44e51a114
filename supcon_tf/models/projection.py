"""Images to embeddings, and views to embeddings and projections, with any encoder and projection head."""

from typing import Any, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.models.heads import l2_normalize

LARGEST_PIXEL = 1e12  # the sum of the squares of many larger numbers is not finite in float32


@tf.autograph.experimental.do_not_convert
def nan_where_not_finite(embeddings: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Returns the embeddings, NaN for images with NaN, Inf or numbers above `LARGEST_PIXEL`.

    On CPUs, ReLU turns NaN into 0. The loss would be finite, and the weights NaN after the step.
    """
    if not tf.as_dtype(images.dtype).is_floating:
        return embeddings
    finite = tf.reduce_all(tf.abs(images) <= LARGEST_PIXEL, axis=[1, 2, 3])  # not true of NaN
    return tf.where(finite[:, tf.newaxis], embeddings, tf.cast(float("nan"), embeddings.dtype))


@tf.autograph.experimental.do_not_convert
def check_finite(images: tf.Tensor) -> tf.Tensor:
    """Returns images that are to be evaluated.

    Raises:
      InvalidArgumentError: a number is NaN, Inf or above `LARGEST_PIXEL`, for which some metrics would find a class.
        XLA cannot raise and does not check.
    """
    if not images.dtype.is_floating:
        return images
    finite = tf.reduce_all(tf.abs(images) <= LARGEST_PIXEL)
    message = "an image has NaN, Inf or a number above 1e12, so that the model cannot be evaluated on it"
    check = tf.debugging.assert_equal(finite, True, message=message)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(images)


@tf.autograph.experimental.do_not_convert
def nan_without_scores(values: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns values `[...]`, NaN where the logits `[..., classes]` are not finite: their largest has no meaning."""
    return tf.where(tf.reduce_all(tf.math.is_finite(logits), axis=-1), values, float("nan"))


@tf.autograph.experimental.do_not_convert
def check_image_shape(encoder: keras.Model, images: tf.Tensor) -> None:
    """Checks the size of images or views `[..., height, width, channels]` against the encoder's, where both are known.

    Raises:
      ArgumentError: they differ. Names `x`, as Keras' `fit` does.
    """
    given, taken = tf.TensorShape(images.shape[-3:]), encoder.input_shape[1:]
    if not given.is_compatible_with(taken):
        problem = f"must be of the size that the encoder takes, {shape_text(taken)}, not {shape_text(given)}"
        raise ArgumentError("x", NAME_ONLY, f"{problem} [height, width, channels]")


def shape_text(shape: Any) -> str:
    """Returns a shape as text.

    >>> shape_text([28, None, 3])
    '[28, any, 3]'
    """
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def encode(encoder: keras.Model, images: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Returns the encoder's output for images; for no images, `[0, dim]`.

    A last batch that is smaller may leave a replica without images, and a CPU's convolutions refuse an empty batch.
    """
    context = tf.distribute.get_replica_context()
    if images.shape[0] or context is None or context.num_replicas_in_sync == 1:
        return encoder(images, training=training)
    number = tf.shape(images)[0]
    at_least_one = tf.pad(images, [[0, tf.maximum(1 - number, 0)], [0, 0], [0, 0], [0, 0]])
    return encoder(at_least_one, training=training)[:number]


def embed(encoder: keras.Model, images: tf.Tensor, *, normalize: bool, training: bool) -> tf.Tensor:
    """Returns the embeddings r of images `[batch, height, width, channels]`: `[batch, dim]`.

    >>> from supcon_tf.models import build_encoder
    >>> embed(build_encoder("small", (8, 8, 3)), tf.zeros([2, 8, 8, 3]), normalize=True, training=False).shape
    TensorShape([2, 128])

    Args:
      encoder: maps images to embeddings.
      images: from 0 to 255.
      normalize: whether to L2-normalise the embeddings.
      training: whether batch normalisation uses the batch's own statistics.
    """
    embeddings = nan_where_not_finite(encode(encoder, images, training=training), images)
    return l2_normalize(embeddings) if normalize else embeddings


def embed_and_project(
    encoder: keras.Model,
    projection_head: keras.layers.Layer,
    views: tf.Tensor,
    *,
    normalize_embedding: bool,
    training: bool,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns embeddings r and projections z of views, `[batch, views, dim]` float32 each.

    In another precision, Keras would cast distributions over the classes to it.

    All views pass the encoder as one batch, in the order image 0 view 0, image 0 view 1, and so on.

    Args:
      encoder: maps images to embeddings.
      projection_head: maps embeddings to projections.
      views: `[batch, views, height, width, channels]`, from 0 to 255.
      normalize_embedding: whether to L2-normalise the embeddings before the head.
      training: whether batch normalisation uses the batch's own statistics.
    """
    batch, num_views = tf.shape(views)[0], tf.shape(views)[1]
    images = tf.reshape(views, tf.concat([[batch * num_views], tf.shape(views)[2:]], axis=0))
    images = tf.ensure_shape(images, [None, *encoder.input_shape[1:]])
    embeddings = embed(encoder, images, normalize=normalize_embedding, training=training)
    projections = nan_where_not_finite(projection_head(embeddings, training=training), images)

    def by_image(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.cast(x, tf.float32), [-1, views.shape[1] or num_views, x.shape[-1]])

    return by_image(embeddings), by_image(projections)
