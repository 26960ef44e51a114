"""The terms of the loss and of its gradient that one tile contributes to its rows and its columns.

Each function from `largest` on is the `visit` of a sweep (`tiles.py`). The elementwise equations are in `variants.py`.
"""

import functools
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Tuple, Union

import tensorflow as tf

from supcon_tf.losses import devices, variants
from supcon_tf.losses.tiles import Received, Side, Tile
from supcon_tf.losses.variants import Anchors, LossVariant, Masks
from supcon_tf.shapes import size_of

LOWEST = tf.float32.min


class Setting(NamedTuple):
    """Holds what the terms of all tiles depend on.

    Attributes:
      variant: chooses the loss.
      shift_free: whether exp s fits into float32 without subtracting each anchor's largest s first: a bool if it is
        known when the graph is built, otherwise a scalar bool tensor.
      has_gaps: whether rows may be absent.
    """

    variant: LossVariant
    shift_free: Union[bool, tf.Tensor]
    has_gaps: bool


def content(setting: Setting, s: tf.Tensor, rows: Side, columns: Side, near: bool) -> tf.Tensor:
    """Returns what a tile holds: s_ij, or exp s_ij if that is enough; for j outside A(i), −∞ or 0."""
    exponentials = _holds_exponentials(setting, near)
    values = tf.exp(s) if exponentials else s
    if not near:
        return values
    return tf.where(_distinct(setting, rows, columns), values, 0.0 if exponentials else -float("inf"))


def largest(setting: Setting, tile: Tile) -> Received:
    """Returns max s_ij over the denominator and max s_ip over the positives of each anchor: width 2."""
    if not _looks_at_classes(setting, tile):
        by_rows = by_columns = [tile.content]
    else:
        row_masks, column_masks = _masks(setting, tile)
        by_rows = [tf.where(mask, tile.content, LOWEST) for mask in row_masks]
        by_columns = [tf.where(mask, tile.content, LOWEST) for mask in column_masks]
    to_rows = [tf.reduce_max(x, axis=1) for x in by_rows]
    to_columns = [tf.reduce_max(x, axis=0) for x in by_columns]
    return _stack(to_rows, 2, LOWEST), _stack(to_columns, 2, LOWEST)


def sums(setting: Setting, tile: Tile) -> Received:
    """Sums the terms of the denominator and of the positives: width 2, or 1 where classes do not matter."""
    s, rows = tile.content, _as_rows(tile.rows.values)
    columns = _as_columns(tile.columns.values) if tile.symmetric else None
    if _looks_at_classes(setting, tile):
        row_masks, column_masks = _masks(setting, tile)
        by_rows = variants.sums(setting.variant, s, row_masks, rows)
        by_columns = variants.sums(setting.variant, s, column_masks, columns) if columns else []
    elif _holds_exponentials(setting, tile.near):
        by_rows = by_columns = [s]
    else:
        by_rows, by_columns = choose(
            setting.shift_free,
            lambda: [[tf.exp(s)]] * 2,
            lambda: [[tf.exp(s - rows[0])], [tf.exp(s - columns[0]) if columns else s]],
        )
    width = 2 if setting.variant.by_class else 1
    return _stack(map(_sum_rows, by_rows), width), _stack(map(_sum_columns, by_columns), width)


def one_positive_sums(setting: Setting, tile: Tile) -> Received:
    """Sums the terms that the positives contribute once D_i is known: width 2."""
    s = tile.content
    row_masks, column_masks = _masks(setting, tile)
    by_rows = variants.one_positive_sums(setting.variant, s, row_masks.positives, *_as_rows(tile.rows.values))
    by_columns = []
    if tile.symmetric:
        columns = _as_columns(tile.columns.values)
        by_columns = variants.one_positive_sums(setting.variant, s, column_masks.positives, *columns)
    return _stack(map(_sum_rows, by_rows), 2), _stack(map(_sum_columns, by_columns), 2)


def gradient(setting: Setting, tile: Tile) -> Received:
    """Returns Σ_j (G_kj + G_jk) z_j over the tile: width dim.

    It leaves out the positives where classes do not matter, and G_jk of a memory.
    """
    s = tile.content
    anchors = [Anchors(*_as_rows(tile.rows.values))]
    if tile.columns.values is not None:
        anchors.append(Anchors(*_as_columns(tile.columns.values)))
    if _looks_at_classes(setting, tile):
        both = _add(variants.gradient(setting.variant, s, mask, a) for mask, a in zip(_masks(setting, tile), anchors))
    else:
        both = _gradient_of_negatives(setting.shift_free, s, anchors, _holds_exponentials(setting, tile.near))
    to_rows = tf.matmul(both, tile.columns.projections)
    return to_rows, tf.matmul(both, tile.rows.projections, transpose_a=True) if tile.symmetric else None


def choose(condition: Union[bool, tf.Tensor], if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    """Calls one of two functions, now if the condition is a bool, otherwise inside the graph."""
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)


def _gradient_of_negatives(
    shift_free: Union[bool, tf.Tensor], content: tf.Tensor, anchors: List[Anchors], exponentials: bool
) -> tf.Tensor:
    def shared() -> tf.Tensor:
        e = content if exponentials else tf.exp(content)
        return e * _add(a.weight * a.share * tf.exp(-a.shift - a.denominator) for a in anchors)

    def apart() -> tf.Tensor:
        return _add(a.weight * a.share * tf.exp(content - a.shift - a.denominator) for a in anchors)

    return choose(shift_free, shared, apart)


def _holds_exponentials(setting: Setting, near: bool) -> bool:
    return setting.shift_free is True and not (near and setting.variant.by_class)


def _looks_at_classes(setting: Setting, tile: Tile) -> bool:
    return tile.near and setting.variant.by_class


def _distinct(setting: Setting, rows: Side, columns: Side) -> tf.Tensor:
    """Tells which pairs have j in A(i)."""
    i, j = rows.index[:, tf.newaxis], columns.index
    return (i != j) & (tf.minimum(i, j) >= 0) if setting.has_gaps else i != j


def _masks(setting: Setting, tile: Tile) -> Tuple[Masks, Masks]:
    """Returns the masks with the rows as anchors, and with the columns."""
    distinct = _distinct(setting, tile.rows, tile.columns)
    rows, columns = tile.rows.marks[:, tf.newaxis], tile.columns.marks[tf.newaxis]
    row_masks = variants.masks(setting.variant, rows, columns, distinct)
    if setting.variant.positives_cap is None:
        return row_masks, row_masks
    return row_masks, variants.masks(setting.variant, columns, rows, distinct)


def _add(values: Iterable[tf.Tensor]) -> tf.Tensor:
    return functools.reduce(tf.add, values)


def _as_rows(values: tf.Tensor) -> List[tf.Tensor]:
    """`[values, rows]` → each value as `[rows, 1]`."""
    return [value[:, tf.newaxis] for value in tf.unstack(values)]


def _as_columns(values: tf.Tensor) -> List[tf.Tensor]:
    """`[values, columns]` → each value as `[1, columns]`."""
    return [value[tf.newaxis] for value in tf.unstack(values)]


def _stack(values: Iterable[tf.Tensor], width: int, filling: float = 0.0) -> Optional[tf.Tensor]:
    """Vectors `[rows]` → `[rows, width]`, with further columns of `filling`."""
    columns = list(values)
    if not columns:
        return None
    return tf.stack(columns + [tf.fill(tf.shape(columns[0]), filling)] * (width - len(columns)), axis=1)


def _sum_rows(x: tf.Tensor) -> tf.Tensor:
    """Sums each row; on CPUs by a matrix product, which is several times faster than `reduce_sum`."""
    if not devices.only_cpus():
        return tf.reduce_sum(x, axis=1)
    return tf.linalg.matvec(x, tf.ones([size_of(x, 1)]))


def _sum_columns(x: tf.Tensor) -> tf.Tensor:
    """Sums each column."""
    if not devices.only_cpus():
        return tf.reduce_sum(x, axis=0)
    return tf.linalg.matvec(x, tf.ones([size_of(x, 0)]), transpose_a=True)
