"""Visits all pairs of rows of a batch, a tile at a time, so that no matrix of all similarities is ever in memory.

The rows are those of the global batch. A replica's own rows come first, and only what they receive is computed:

             own        others'      memory
          ┌──┬──┬──┐┌─────┬─────┐┌─────┬─────┐
          │ D│ U│ U││  O  │  O  ││  M  │  M  │   D: on the diagonal.
    own   ├──┼──┼──┤├─────┼─────┤├─────┼─────┤   U: above it. Because s_ij = s_ji, such a tile serves its rows and its
          │  │ D│ U││  O  │  O  ││  M  │  M  │      columns. Tiles below the diagonal are never computed.
          ├──┼──┼──┤├─────┼─────┤├─────┼─────┤   O: own rows and the rows of the other replicas.
          │  │  │ D││  O  │  O  ││  M  │  M  │   M: own rows and the rows of a memory, which are no anchors.
          └──┴──┴──┘└─────┴─────┘└─────┴─────┘

A tile is *near* if some of its pairs may differ from plain negatives. Such pairs are an anchor with itself, two images
of a class, and a pair with an absent row: padding, or not valid in a memory. Rows are sorted by class, so two images of
a class lie together. Far tiles need no masks. The first sweep keeps its tiles for the later ones, up to `KEPT_BYTES`;
the later sweeps compute the rest again.
"""

from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf.losses.rows import Rows, cut, join, make_array
from supcon_tf.shapes import Size, is_zero, maximum, minimum

# Keeps all tiles of up to 14,000 rows, and so of the paper's largest batch: 6,144 images in two views.
KEPT_BYTES = 448 * 2**20

# While the exponentials of one tile are computed, another's matrix products keep the cores busy.
TILES_IN_FLIGHT = 2


class Side(NamedTuple):
    """Holds the rows or the columns of a tile: a block of `Rows`, and the sweep's values `[values, rows]` for them."""

    projections: tf.Tensor
    index: tf.Tensor
    marks: tf.Tensor
    values: Optional[tf.Tensor]


class Tile(NamedTuple):
    """Holds one tile that a sweep visits.

    Attributes:
      content: `[rows, columns]` float32, made from the similarities.
      rows, columns: its sides.
      near: whether some of its pairs may differ from plain negatives.
      symmetric: whether the columns are anchors too, and receive from it.
    """

    content: tf.Tensor
    rows: Side
    columns: Side
    near: bool
    symmetric: bool


# A tile gives this to its rows, `[rows, width]`, and if it is symmetric to its columns, `[columns, width]`.
Received = Tuple[tf.Tensor, Optional[tf.Tensor]]
Visit = Callable[[Tile], Received]

# (similarities [rows, columns], rows, columns, near) → content of the tile
MakeContent = Callable[[tf.Tensor, Side, Side, bool], tf.Tensor]

# The kept tiles of each part; None for a part of which none is kept.
Kept = Tuple[Optional[tf.TensorArray], ...]


class Run(NamedTuple):
    """Names the tiles `first` to `end` − 1 of a part, which are all near or all far, and all kept or all not."""

    first: Size
    end: Size
    near: bool
    kept: bool


class Part(NamedTuple):
    """Holds the tiles D, U, O or M.

    Attributes:
      columns: the rows that the own rows are compared with.
      pairs: `[number, 2]` int32, block of rows and block of columns of each tile, near ones first.
      near: number of near tiles.
      number: number of tiles.
      kept: number of tiles that the first sweep keeps.
      symmetric: whether the columns of a tile receive from it too.
      in_memory: whether these are the tiles M.
    """

    columns: Rows
    pairs: tf.Tensor
    near: Size
    number: Size
    kept: Size
    symmetric: bool
    in_memory: bool

    def runs(self) -> Iterator[Run]:
        """Yields all tiles, as runs. Leaves out those that are known to be empty, which saves the tracing of a loop."""
        sizes_are_known = isinstance(self.kept, int) and isinstance(self.number, int)
        for near, first, end in ((True, 0, self.near), (False, self.near, self.number)):
            if not is_zero(self.kept):
                yield Run(first, minimum(end, self.kept), near, True)
            if not (sizes_are_known and self.kept >= self.number):
                yield Run(maximum(first, self.kept), end, near, False)


class Tiles(NamedTuple):
    """Holds the tiles of a replica.

    Attributes:
      own: the replica's own rows, sorted by class.
      parts: D, U, O and M, except those without a tile.
      make_content: makes the content of a tile.
    """

    own: Rows
    parts: Tuple[Part, ...]
    make_content: MakeContent


def make_tiles(
    own: Rows, others: Optional[Rows], memory: Optional[Rows], make_content: MakeContent, *, by_class: bool
) -> Tiles:
    """Plans the tiles of a replica.

    Args:
      own: the replica's own rows, sorted by class.
      others: the other replicas' rows; None with one replica.
      memory: its rows; None without one.
      make_content: makes the content of a tile.
      by_class: whether pairs of one class differ from plain negatives.
    """
    parts: List[Part] = []
    room: Size = KEPT_BYTES // 4
    for columns, diagonal in ((own, True), (own, False), (others, False), (memory, False)):
        if columns is None:
            continue
        symmetric = columns is own and not diagonal
        pairs, near, number = _pairs(own, columns, diagonal, symmetric, by_class)
        if is_zero(number):
            continue
        kept = minimum(room // (own.rows * columns.rows), number)
        room = room - kept * own.rows * columns.rows
        parts.append(Part(columns, pairs, near, number, kept, symmetric, columns is memory))
    return Tiles(own, tuple(parts), make_content)


def sweep(
    tiles: Tiles,
    visit: Visit,
    width: int,
    *,
    own_values: tf.Tensor,
    other_values: Optional[tf.Tensor] = None,
    combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = tf.add,
    start: float = 0.0,
    kept: Optional[Kept] = None,
    only_near: bool = False,
    in_memory: Optional[bool] = None,
) -> tf.Tensor:
    """Visits every tile, and combines what each own row receives.

    Args:
      tiles: the tiles of the replica.
      visit: tile → what its sides receive.
      width: number of values that a row receives.
      own_values: `[own rows, values]`, passed to `visit` with the rows.
      other_values: `[other rows, values]`, for the other replicas' rows.
      combine: joins two things received.
      start: the value of a row before the first tile.
      kept: the tiles that `sweep_and_keep` kept; None computes all.
      only_near: whether to skip far tiles.
      in_memory: True visits only the memory's tiles, False only those of the batch, None all.

    Returns:
      `[own rows, width]`.
    """
    own = tiles.own
    totals, values_of_own = _start(own, width, start), _values(own_values, own)
    for number, part in enumerate(tiles.parts):
        if in_memory is not None and in_memory != part.in_memory:
            continue
        values = _values_of_columns(part, own, values_of_own, other_values)
        for run in part.runs():
            if only_near and not run.near:
                continue
            array = kept[number] if kept is not None and run.kept else None
            make_tile = _tile_maker(tiles, part, run, values_of_own, values)

            def step(
                k: Size,
                totals: tf.TensorArray,
                array: Optional[tf.TensorArray] = array,
                make_tile: Callable[..., Any] = make_tile,
            ) -> Tuple[Any, ...]:
                tile, i, j = make_tile(k, array)
                return k + 1, _give(totals, tile, i, j, visit, combine)

            (totals,) = _repeat(step, run, (totals,))
    return join(totals.stack(), own.length)


def sweep_and_keep(tiles: Tiles, visit: Visit, width: int, *, own_values: tf.Tensor) -> Tuple[tf.Tensor, Kept]:
    """Visits every tile like `sweep`, adds up what each own row receives, and keeps tiles while there is room.

    Returns:
      The sums `[own rows, width]`, and the tiles for later sweeps.
    """
    own = tiles.own
    totals, values_of_own = _start(own, width, 0.0), _values(own_values, own)
    kept: List[Optional[tf.TensorArray]] = []
    for part in tiles.parts:
        values = _values_of_columns(part, own, values_of_own, None)
        array = None if is_zero(part.kept) else make_array(maximum(part.kept, 1), [own.rows, part.columns.rows])
        for run in part.runs():
            make_tile = _tile_maker(tiles, part, run, values_of_own, values)

            def step(
                k: Size,
                totals: tf.TensorArray,
                *arrays: tf.TensorArray,
                make_tile: Callable[..., Any] = make_tile,
            ) -> Tuple[Any, ...]:
                tile, i, j = make_tile(k, None)
                totals = _give(totals, tile, i, j, visit, tf.add)
                return (k + 1, totals, *(array.write(k, tile.content) for array in arrays))

            if array is not None and run.kept:
                totals, array = _repeat(step, run, (totals, array))
            else:
                (totals,) = _repeat(step, run, (totals,))
        kept.append(array)
    return join(totals.stack(), own.length), tuple(kept)


def _start(own: Rows, width: int, start: float) -> tf.TensorArray:
    """Returns the array of blocks `[rows, width]` that a sweep adds to."""
    return make_array(own.blocks, [own.rows, width]).unstack(tf.fill([own.blocks, own.rows, width], start))


def _values(values: Optional[tf.Tensor], rows: Rows) -> Optional[tf.Tensor]:
    """`[length, values]` → `[blocks, values, rows]`."""
    return None if values is None else tf.transpose(cut(values, rows.blocks, rows.rows), [0, 2, 1])


def _values_of_columns(
    part: Part, own: Rows, values_of_own: Optional[tf.Tensor], other_values: Optional[tf.Tensor]
) -> Optional[tf.Tensor]:
    """Returns the values of a part's columns, `[blocks, values, rows]`; a memory has none."""
    if part.columns is own:
        return values_of_own
    return _values(None if part.in_memory else other_values, part.columns)


def _side(rows: Rows, values: Optional[tf.Tensor], block: tf.Tensor) -> Side:
    others = (None if x is None else tf.gather(x, block) for x in (rows.index, rows.marks, values))
    return Side(rows.projections.read(block), *others)


def _tile_maker(
    tiles: Tiles, part: Part, run: Run, values_of_own: Optional[tf.Tensor], values: Optional[tf.Tensor]
) -> Callable[[Size, Optional[tf.TensorArray]], Tuple[Tile, tf.Tensor, tf.Tensor]]:
    """Returns (k, kept tiles or None) → the k-th tile of the part, and its blocks of rows and of columns."""

    def make(k: Size, kept: Optional[tf.TensorArray]) -> Tuple[Tile, tf.Tensor, tf.Tensor]:
        i, j = tf.unstack(tf.gather(part.pairs, k))
        rows = _side(tiles.own, values_of_own, i)
        columns = _side(part.columns, values, j)
        if kept is not None:
            content = kept.read(k)
        else:
            similarities = tf.matmul(rows.projections, columns.projections, transpose_b=True)
            content = tiles.make_content(similarities, rows, columns, run.near)
        return Tile(content, rows, columns, run.near, part.symmetric), i, j

    return make


def _give(
    totals: tf.TensorArray,
    tile: Tile,
    i: tf.Tensor,
    j: tf.Tensor,
    visit: Visit,
    combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.TensorArray:
    """Visits a tile, and adds what it gives to the totals of its blocks `i` and, if it is symmetric, `j`."""
    to_rows, to_columns = visit(tile)
    totals = totals.write(i, combine(totals.read(i), to_rows))
    if tile.symmetric:
        totals = totals.write(j, combine(totals.read(j), to_columns))
    return totals


def _pairs(own: Rows, columns: Rows, diagonal: bool, symmetric: bool, by_class: bool) -> Tuple[tf.Tensor, Size, Size]:
    """Returns the tiles of a part as pairs of blocks, near ones first; the number of near ones; the number of all."""
    i, j = tf.range(own.blocks), tf.range(columns.blocks)
    if diagonal:
        return tf.stack([i, i], axis=1), own.blocks, own.blocks
    may_have_gaps = own.may_have_gaps or columns.may_have_gaps
    near = tf.zeros([own.blocks, columns.blocks], tf.bool)
    if by_class:  # sorted, so blocks share a class if their ranges of classes overlap
        row_marks, column_marks = own.marks[..., 0], columns.marks[..., 0]
        near |= (tf.reduce_min(row_marks, 1)[:, tf.newaxis] <= tf.reduce_max(column_marks, 1)) & (
            tf.reduce_max(row_marks, 1)[:, tf.newaxis] >= tf.reduce_min(column_marks, 1)
        )
    if may_have_gaps:
        near |= (tf.reduce_min(own.index, 1)[:, tf.newaxis] < 0) | (tf.reduce_min(columns.index, 1) < 0)
    is_tile, number = tf.ones_like(near), own.blocks * columns.blocks
    if symmetric:
        is_tile, number = i[:, tf.newaxis] < j, own.blocks * (own.blocks - 1) // 2
    near_number: Size = 0
    if isinstance(number, int) and number == 1:
        near_number = 1  # a far tile may be taken for a near one, and the nearness of the only tile needs no loop
    elif by_class or may_have_gaps:
        near_number = tf.math.count_nonzero(near & is_tile, dtype=tf.int32)
    rank = tf.where(is_tile, tf.where(near, 0, 1), 2)
    order = tf.argsort(tf.reshape(rank, [-1]), stable=True)[: maximum(number, 1)]  # XLA wants none empty
    return tf.stack([order // columns.blocks, order % columns.blocks], axis=1), near_number, number


def _repeat(step: Callable[..., Tuple[Any, ...]], run: Run, state: Sequence[Any]) -> Tuple[Any, ...]:
    """Computes `step(k, *state)` for each k of the run."""
    if isinstance(run.first, int) and isinstance(run.end, int) and run.end - run.first <= 1:
        if run.first >= run.end:
            return tuple(state)
        state = step(run.first, *state)[1:]
        for array in state:
            _ = array.flow  # avoids TensorFlow's complaint about an array that only a gradient reads, without gradient
        return state
    loop = tf.while_loop(
        lambda k, *_: k < run.end,
        step,
        (tf.convert_to_tensor(run.first), *state),
        parallel_iterations=TILES_IN_FLIGHT,
    )
    return tuple(loop[1:])
