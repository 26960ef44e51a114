"""The loss of all anchors of a batch and its gradient, exact on any number of replicas, in memory linear in the batch.

With w_i the upstream gradient of L_i and G_ij = w_i ∂L_i/∂s_ij,

    ∂/∂z_k = 1/τ Σ_j (G_kj + G_jk) z_j        ∂/∂τ = −1/τ Σ_ij G_ij s_ij = −1/(2τ) Σ_k z_k·∂/∂z_k

G is made tile by tile (`tiles.py`) from similarities that are computed anew and from a few numbers for each anchor.
So projections, labels and these numbers are gathered from all replicas, and no gradient is: a replica forms G_kj and
G_jk for its own k by itself. In Eq. 2 the positives need no tile: with M_k the sum of z over the class of k, and with
W_k that of w/|P| z,

    Σ_{p ∈ P(k)} s_kp = z_k·(M_k − z_k)/τ     their part of Σ_j (G_kj + G_jk) z_j = −w_k/|P(k)| (M_k − 2 z_k) − W_k

A row j of a memory is no anchor: G_jk = 0, and M_k has it, but W_k does not. It gets no gradient, so Σ_k z_k·∂/∂z_k has
each s_kj once and not twice: of ∂/∂τ, its part is −1/τ times that of the sum.
"""

import functools
from typing import Any, Callable, Iterable, List, Optional, Tuple, Union

import tensorflow as tf

from supcon_tf.distribute import gather, local_slice_start
from supcon_tf.losses import forms
from supcon_tf.losses.classes import classes_with_memory, image_classes
from supcon_tf.losses.forms import Anchors, Count, Form, Masks
from supcon_tf.losses.inputs import Memory
from supcon_tf.losses.tiles import Received, Rows, Side, Tile, Tiles, make_rows
from supcon_tf.shapes import Size, maximum, minimum, size_of

# exp s and its sums stay well inside float32 while |s| is at most this. Beyond, each anchor's largest s is found first
# and taken off.
LARGEST_EXPONENT = 30.0

LOWEST = tf.float32.min


@tf.autograph.experimental.do_not_convert
def contrastive_losses(
    projections: tf.Tensor,
    labels: tf.Tensor,
    temperature: Union[float, tf.Tensor],
    form: Form,
    *,
    unit_length: bool,
    tile_size: Optional[int] = None,
    memory: Optional[Memory] = None,
) -> tf.Tensor:
    """L_i of this replica's anchors, contrasted with the batch of all replicas and with a memory.

    Args:
      projections: `[batch, views, dim]` float32.
      labels: `[batch]` int32 or int64, negative for unlabelled.
      temperature: τ, a number or a scalar tensor; differentiable.
      form: which of the losses.
      unit_length: whether the projections are known to be no longer than 1, the memory's too.
      tile_size: rows and columns of a tile, at most; None for what suits the device.
      memory: as `contrasts_of_memory` returns it, with the same on every replica; not with a cap on the positives. It
        gets no gradient.

    Returns:
      `[batch, views]` float32; 0 for an anchor without positives, or without anything in its denominator.
    """
    batch, views = size_of(projections, 0), size_of(projections, 1)
    shift_free = None
    if unit_length and not tf.is_tensor(temperature):
        shift_free = 1.0 / temperature <= LARGEST_EXPONENT

    @tf.custom_gradient
    def losses(rows: tf.Tensor, temperature: tf.Tensor) -> Tuple[tf.Tensor, Callable[..., Any]]:
        loss = _Loss(rows, labels, views, temperature, form, shift_free, tile_size, memory)
        return loss.value(), loss.gradient

    rows = tf.reshape(projections, [batch * views, projections.shape[2]])
    return tf.reshape(losses(rows, tf.convert_to_tensor(temperature, tf.float32)), [batch, views])


def default_tile_size(length: Size) -> Size:
    """Rows of a tile, of `length` rows in all: what a CPU's caches hold, or what keeps an accelerator busy."""
    if not _only_cpus():
        return 2048
    return maximum(512, minimum(length // 16, 1024))


class _Loss:
    """One evaluation, of rows `[batch * views, dim]`; the other arguments are as above.

    Rows are sorted by class and divided by √τ on the way in, and put back into the order of the batch on the way out.
    """

    def __init__(
        self,
        rows: tf.Tensor,
        labels: tf.Tensor,
        views: Size,
        temperature: tf.Tensor,
        form: Form,
        shift_free: Optional[bool],
        tile_size: Optional[int],
        memory: Optional[Memory],
    ) -> None:
        self._form = form
        self._temperature = temperature
        all_rows = gather(rows)
        # Scaled alike on both sides of a product, so that s_ij and s_ji are equal to the last bit on any replica.
        self._all_rows = all_rows / tf.sqrt(temperature)
        all_labels = gather(labels)
        images = size_of(all_labels, 0)
        if memory is None:
            classes = image_classes(all_labels)
            order, class_of_image = classes.order, classes.number
        else:  # its rows are numbered as if they were images behind those of the batch
            classes, in_memory = classes_with_memory(all_labels, memory)
            order, memory_order = _split(classes.order, classes.order < images, images)
            class_of_image = classes.number[:images]

        batch = size_of(labels, 0)
        start = local_slice_start(batch)
        own, others = order, None
        if all_rows is not rows:
            own, others = _split(order, (order >= start) & (order < start + batch), batch)
        self._index = _rows_of(own, views)
        self._other_index = None if others is None else _rows_of(others, views)
        self._sorted = self._index - start * views
        self._unsorted = tf.argsort(self._sorted)
        self._class_of_row = tf.repeat(class_of_image, views)
        self._classes = tf.size(classes.number)  # at most

        marks = tf.stack([classes.number, classes.rank, classes.size], axis=1)

        def cut(rows: tf.Tensor, index: tf.Tensor, largest_block: Size) -> Rows:
            return make_rows(rows, index, tf.gather(marks, index // views), largest_block)

        side = tile_size or default_tile_size(size_of(rows, 0))
        self._rows = tf.gather(self._all_rows, self._index)
        own_rows, other_rows, memory_rows = cut(self._rows, self._index, side), None, None
        largest_block = side * side // own_rows.rows  # the fewer own rows, the more columns make a tile of usual size
        if self._other_index is not None:
            other_rows = cut(tf.gather(self._all_rows, self._other_index), self._other_index, largest_block)
        self._memory: Optional[tf.Tensor] = None
        if memory is not None:
            self._memory = memory.projections / tf.sqrt(temperature)
            self._class_of_memory = classes.number[images:]
            place = memory_order - images
            index = tf.where(tf.gather(memory.valid, place), images * views + place, -1)
            marks_of_memory = tf.gather(marks, memory_order)
            memory_rows = make_rows(
                tf.gather(self._memory, place), index, marks_of_memory, largest_block, some_absent=True
            )
        self._has_gaps = any(rows is not None and rows.may_have_gaps for rows in (own_rows, other_rows, memory_rows))

        self._shift_free: Union[bool, tf.Tensor] = shift_free
        if shift_free is None:
            longest = _longest(self._all_rows)
            if self._memory is not None:
                longest = tf.maximum(longest, _longest(self._memory))
            self._shift_free = longest <= LARGEST_EXPONENT
        self._tiles = Tiles(own_rows, other_rows, memory_rows, self._content, by_class=form.by_class)

        of_image = self._index // views
        class_in_memory: Count = 0
        valid: Count = 0
        if memory is not None:
            class_in_memory = tf.gather(in_memory, of_image)
            valid = tf.math.count_nonzero(memory.valid, dtype=tf.int32)
        size = tf.gather(classes.size, of_image)
        positives, in_denominator, self._counted = forms.counts(form, size, images, views, class_in_memory, valid)
        self._positives = tf.cast(tf.maximum(positives, 1), tf.float32)
        self._has_denominator = in_denominator > 0

    def value(self) -> tf.Tensor:
        """L_i, `[batch * views]`; 0 for anchors that do not count."""
        form = self._form
        zeros = tf.zeros_like(self._positives)
        shifts = _choose(self._shift_free, lambda: tf.stack([zeros, zeros], axis=1), self._largest)
        sums = self._tiles.sweep(self._sums, 2 if form.by_class else 1, own_values=shifts, keep=True)
        shift, inside_shift = tf.unstack(shifts, axis=1)
        denominator, share, inside = _log(sums[:, 0]), tf.ones_like(zeros), zeros
        if form.denominator == "one_positive":
            denominator = tf.where(self._has_denominator, denominator, LOWEST / 2)
            losses, share, inside_shift, inside = self._with_one_positive(shift, denominator, inside_shift)
        elif form.summation == "in":
            inside = _log(sums[:, 1])
            losses = shift - inside_shift + denominator - inside + tf.math.log(self._positives)
        else:
            of_positives = sums[:, 1] if form.by_class else self._similarities_of_class()
            losses = shift - of_positives / self._positives + denominator
        self._anchors = Anchors(zeros, shift, denominator, share, self._positives, inside_shift, inside)
        return tf.gather(tf.where(self._counted, losses, 0.0), self._unsorted)

    def _with_one_positive(
        self, shift: tf.Tensor, denominator: tf.Tensor, largest_positive: tf.Tensor
    ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """L_i, and `share`, `inside_shift` and `inside` of `Anchors`, once D_i is known."""
        inside_shift = _choose(
            self._shift_free,
            lambda: tf.zeros_like(denominator),
            lambda: tf.math.log_sigmoid(largest_positive - shift - denominator),
        )
        known = tf.stack([shift, denominator, inside_shift], axis=1)
        sums = self._tiles.sweep(self._one_positive_sums, 2, own_values=known, only_near=True)
        inside = _log(sums[:, 0])
        if self._form.summation == "out":
            return sums[:, 0] / self._positives, sums[:, 1] / self._positives, inside_shift, inside
        losses = tf.math.log(self._positives) - inside_shift - inside
        return losses, tf.math.divide_no_nan(sums[:, 1], sums[:, 0]), inside_shift, inside

    def gradient(self, upstream: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """∂/∂z of this replica's rows, `[batch * views, dim]`, and its part of ∂/∂τ; `upstream` are the w_i."""
        weight = tf.where(self._counted, tf.gather(upstream, self._sorted), 0.0)
        anchors = tf.stack(self._anchors._replace(weight=weight), axis=1)
        every = gather(tf.gather(anchors, self._unsorted))
        others = None if self._other_index is None else tf.gather(every, self._other_index)
        rows = self._rows

        def sweep(of_memory: bool) -> tf.Tensor:
            return self._tiles.sweep(
                self._gradient, rows.shape[1], own_values=anchors, other_values=others, of_memory=of_memory
            )

        gradient = sweep(of_memory=False)
        if not self._form.by_class:
            per_positive = weight / self._positives
            of_all = Anchors(*tf.unstack(every, axis=1))
            weighted_rows = (of_all.weight / of_all.positives)[:, tf.newaxis] * self._all_rows
            gradient -= per_positive[:, tf.newaxis] * (
                self._sum_of_class(self._all_rows, self._class_of_row) - 2.0 * rows
            )
            gradient -= self._sum_of_class(weighted_rows, self._class_of_row)
        of_temperature = -tf.reduce_sum(rows * gradient) / (2.0 * self._temperature)
        if self._memory is not None:
            of_memory = sweep(of_memory=True)
            if not self._form.by_class:
                of_memory -= per_positive[:, tf.newaxis] * self._sum_of_class(self._memory, self._class_of_memory)
            of_temperature -= tf.reduce_sum(rows * of_memory) / self._temperature
            gradient += of_memory
        return tf.gather(gradient, self._unsorted) / tf.sqrt(self._temperature), of_temperature

    def _content(self, s: tf.Tensor, rows: Side, columns: Side, near: bool) -> tf.Tensor:
        """What is kept of a tile: s_ij, or exp s_ij if that is enough; for j not in A(i), −∞ or 0."""
        exponentials = self._holds_exponentials(near)
        content = tf.exp(s) if exponentials else s
        if not near:
            return content
        return tf.where(self._distinct(rows, columns), content, 0.0 if exponentials else -float("inf"))

    def _holds_exponentials(self, near: bool) -> bool:
        return self._shift_free is True and not (near and self._form.by_class)

    def _distinct(self, rows: Side, columns: Side) -> tf.Tensor:
        i, j = rows.index[:, tf.newaxis], columns.index
        return (i != j) & (tf.minimum(i, j) >= 0) if self._has_gaps else i != j

    def _masks(self, tile: Tile) -> Tuple[Masks, Masks]:
        """With the rows as anchors, and with the columns."""
        distinct = self._distinct(tile.rows, tile.columns)
        rows, columns = tile.rows.marks[:, tf.newaxis], tile.columns.marks[tf.newaxis]
        of_rows = forms.masks(self._form, rows, columns, distinct)
        if self._form.positives_cap is None:
            return of_rows, of_rows
        return of_rows, forms.masks(self._form, columns, rows, distinct)

    def _largest(self) -> tf.Tensor:
        """Of each own anchor, max s_ij over its denominator and max s_ip over its positives: `[own rows, 2]`."""

        def visit(tile: Tile) -> Received:
            if not self._looks_at_classes(tile):
                by_rows = by_columns = [tile.content]
            else:
                of_rows, of_columns = self._masks(tile)
                by_rows = [tf.where(mask, tile.content, LOWEST) for mask in of_rows]
                by_columns = [tf.where(mask, tile.content, LOWEST) for mask in of_columns]
            to_rows = [tf.reduce_max(x, axis=1) for x in by_rows]
            to_columns = [tf.reduce_max(x, axis=0) for x in by_columns]
            return _stack(to_rows, 2, LOWEST), _stack(to_columns, 2, LOWEST)

        own = tf.zeros([tf.size(self._index), 0])
        largest = self._tiles.sweep(visit, 2, own_values=own, combine=tf.maximum, start=LOWEST)
        return tf.where(largest > LOWEST, largest, 0.0)

    def _sums(self, tile: Tile) -> Received:
        """Of the terms of the denominator, and of the positives; with one column where classes don't matter."""
        s, rows = tile.content, _as_rows(tile.rows.values)
        columns = _as_columns(tile.columns.values) if tile.symmetric else None
        if self._looks_at_classes(tile):
            of_rows, of_columns = self._masks(tile)
            by_rows = forms.sums(self._form, s, of_rows, rows)
            by_columns = forms.sums(self._form, s, of_columns, columns) if columns else []
        elif self._holds_exponentials(tile.near):
            by_rows = by_columns = [s]
        else:
            by_rows, by_columns = _choose(
                self._shift_free,
                lambda: [[tf.exp(s)]] * 2,
                lambda: [[tf.exp(s - rows[0])], [tf.exp(s - columns[0]) if columns else s]],
            )
        width = 2 if self._form.by_class else 1
        return _stack(map(_sum_rows, by_rows), width), _stack(map(_sum_columns, by_columns), width)

    def _one_positive_sums(self, tile: Tile) -> Received:
        """Of what the positives give once D_i is known."""
        s = tile.content
        of_rows, of_columns = self._masks(tile)
        by_rows = forms.one_positive_sums(self._form, s, of_rows.positives, *_as_rows(tile.rows.values))
        by_columns = []
        if tile.symmetric:
            columns = _as_columns(tile.columns.values)
            by_columns = forms.one_positive_sums(self._form, s, of_columns.positives, *columns)
        return _stack(map(_sum_rows, by_rows), 2), _stack(map(_sum_columns, by_columns), 2)

    def _gradient(self, tile: Tile) -> Received:
        """Σ_j (G_kj + G_jk) z_j of the tile; without the positives where classes don't matter, or G_jk of a memory."""
        s = tile.content
        anchors = [Anchors(*_as_rows(tile.rows.values))]
        if tile.columns.values is not None:
            anchors.append(Anchors(*_as_columns(tile.columns.values)))
        if self._looks_at_classes(tile):
            both = _add(forms.gradient(self._form, s, mask, a) for mask, a in zip(self._masks(tile), anchors))
        else:
            both = self._gradient_of_negatives(s, anchors, self._holds_exponentials(tile.near))
        to_rows = tf.matmul(both, tile.columns.projections)
        return to_rows, tf.matmul(both, tile.rows.projections, transpose_a=True) if tile.symmetric else None

    def _gradient_of_negatives(self, content: tf.Tensor, anchors: List[Anchors], exponentials: bool) -> tf.Tensor:
        def shared() -> tf.Tensor:
            e = content if exponentials else tf.exp(content)
            return e * _add(a.weight * a.share * tf.exp(-a.shift - a.denominator) for a in anchors)

        def apart() -> tf.Tensor:
            return _add(a.weight * a.share * tf.exp(content - a.shift - a.denominator) for a in anchors)

        return _choose(self._shift_free, shared, apart)

    def _looks_at_classes(self, tile: Tile) -> bool:
        return tile.near and self._form.by_class

    def _sum_of_class(self, values: tf.Tensor, class_of_value: tf.Tensor) -> tf.Tensor:
        """Sum of `values` `[rows of all replicas, dim]`, or of a memory, over the class of each own row."""
        sums = tf.math.unsorted_segment_sum(values, class_of_value, self._classes)
        return tf.gather(sums, tf.gather(self._class_of_row, self._index))

    def _similarities_of_class(self) -> tf.Tensor:
        """Σ_{p ∈ P(i)} s_ip of each own anchor."""
        positives = self._sum_of_class(self._all_rows, self._class_of_row) - self._rows
        if self._memory is not None:
            positives += self._sum_of_class(self._memory, self._class_of_memory)
        return tf.reduce_sum(self._rows * positives, axis=1)


def _rows_of(images: tf.Tensor, views: Size) -> tf.Tensor:
    return tf.reshape(images[:, tf.newaxis] * views + tf.range(views), [-1])


def _split(images: tf.Tensor, is_first: tf.Tensor, number: Size) -> Tuple[tf.Tensor, tf.Tensor]:
    """The `number` images that `is_first` says, and the others, in the order in which they are."""
    first_ones_first = tf.gather(images, tf.argsort(tf.where(is_first, 0, 1), stable=True))
    return first_ones_first[:number], first_ones_first[number:]


def _longest(rows: tf.Tensor) -> tf.Tensor:
    """Largest z·z."""
    return tf.reduce_max(tf.reduce_sum(rows**2, axis=1))


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


def _choose(condition: Union[bool, tf.Tensor], if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)


def _log(x: tf.Tensor) -> tf.Tensor:
    """The logarithm, finite at 0."""
    return tf.math.log(tf.maximum(x, 1e-37))


def _sum_rows(x: tf.Tensor) -> tf.Tensor:
    """Of each row; on CPUs as a matrix product, which is several times faster than `reduce_sum`."""
    if not _only_cpus():
        return tf.reduce_sum(x, axis=1)
    return tf.linalg.matvec(x, tf.ones([size_of(x, 1)]))


def _sum_columns(x: tf.Tensor) -> tf.Tensor:
    """Of each column."""
    if not _only_cpus():
        return tf.reduce_sum(x, axis=0)
    return tf.linalg.matvec(x, tf.ones([size_of(x, 0)]), transpose_a=True)


def _only_cpus() -> bool:
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
