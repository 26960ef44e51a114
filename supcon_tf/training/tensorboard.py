"""Writes views, options and final figures for TensorBoard."""

from typing import Any, Mapping

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api

from supcon_tf.config import option_text

IMAGES_SHOWN = 10
LEAST_PIXELS = 64  # smaller views are enlarged


def write_views(writer: tf.summary.SummaryWriter, views: tf.Tensor) -> None:
    """Writes the views of the first images as the encoder sees them. Each column is an image, each row a view.

    Args:
      writer: writes the stage's event files.
      views: `[batch, views, height, width, channels]` uint8.
    """
    grid = views_grid(views[:IMAGES_SHOWN])
    with writer.as_default(step=0):
        tf.summary.image("views", grid[tf.newaxis])


def views_grid(views: tf.Tensor) -> tf.Tensor:
    """Joins views into one image, enlarged by whole pixels, with white lines between the views.

    Args:
      views: `[batch, views, height, width, channels]` uint8.

    Returns:
      `[views * cell_height, batch * cell_width, channels]` uint8.
    """
    enlarge = max(1, -(-LEAST_PIXELS // views.shape[2]))
    views = tf.repeat(tf.repeat(views, enlarge, axis=2), enlarge, axis=3)
    views = tf.pad(views, [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]], constant_values=255)
    rows = tf.concat(tf.unstack(views), axis=2)  # [views, height, batch·width, channels]
    return tf.concat(tf.unstack(rows), axis=0)


def write_options(writer: tf.summary.SummaryWriter, options: Mapping[str, Any]) -> None:
    """Writes the options as a table under 'Text' and under 'HParams'."""
    table = "\n".join(f"| {name} | {option_text(name, value)} |" for name, value in options.items())
    shown = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in options.items()
    }
    with writer.as_default(step=0):
        tf.summary.text("options", f"| option | value |\n|---|---|\n{table}")
        hparams_api.hparams(shown)


def write_figures(writer: tf.summary.SummaryWriter, figures: Mapping[str, float]) -> None:
    """Writes the final figures, which 'HParams' shows beside the options."""
    with writer.as_default(step=0):
        for name, value in figures.items():
            tf.summary.scalar(f"evaluation/{name}", value)
