"""What a run shows in TensorBoard beside its curves: views, options, and final figures under HParams."""

from typing import Any, Mapping

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api

IMAGES_SHOWN = 10
LEAST_PIXELS = 64  # small views are enlarged to at least this many, so that one can see them


def write_views(writer: tf.summary.SummaryWriter, views: tf.Tensor) -> None:
    """The first images' views as the encoder is given them: a column an image, a row a view.

    Args:
      writer: of the stage's event files.
      views: `[batch, views, height, width, channels]` uint8, or without `views` where an image has one.
    """
    views = views if views.shape.rank == 5 else views[:, tf.newaxis]
    grid = views_grid(views[:IMAGES_SHOWN])
    with writer.as_default(step=0):
        tf.summary.image("views", grid[tf.newaxis])


def views_grid(views: tf.Tensor) -> tf.Tensor:
    """`[batch, views, height, width, channels]` → one image, enlarged by whole pixels, a white line between views."""
    enlarge = max(1, -(-LEAST_PIXELS // views.shape[2]))
    views = tf.repeat(tf.repeat(views, enlarge, axis=2), enlarge, axis=3)
    views = tf.pad(views, [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]], constant_values=255)
    rows = tf.concat(tf.unstack(views), axis=2)  # [views, height, batch·width, channels]
    return tf.concat(tf.unstack(rows), axis=0)


def write_options(writer: tf.summary.SummaryWriter, options: Mapping[str, Any]) -> None:
    """The options as a table under 'Text' and under HParams."""
    table = "\n".join(f"| {name} | {value} |" for name, value in options.items())
    shown = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in options.items()
    }
    with writer.as_default(step=0):
        tf.summary.text("options", f"| option | value |\n|---|---|\n{table}")
        hparams_api.hparams(shown)


def write_figures(writer: tf.summary.SummaryWriter, figures: Mapping[str, float]) -> None:
    """Final figures, where HParams looks for them."""
    with writer.as_default(step=0):
        for name, value in figures.items():
            tf.summary.scalar(f"evaluation/{name}", value)
