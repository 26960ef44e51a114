"""All pairs of rows of a batch, a tile at a time, so that no matrix of all similarities is ever in memory.

The rows are those of the global batch. A replica's own rows come first, and only what they receive is worked out:

             own        others'      memory
          ┌──┬──┬──┐┌─────┬─────┐┌─────┬─────┐
          │ D│ U│ U││  O  │  O  ││  M  │  M  │   D: on the diagonal.
    own   ├──┼──┼──┤├─────┼─────┤├─────┼─────┤   U: above it. As s_ij = s_ji, such a tile serves its rows and its
          │  │ D│ U││  O  │  O  ││  M  │  M  │      columns, and those below the diagonal are never computed.
          ├──┼──┼──┤├─────┼─────┤├─────┼─────┤   O: against the rows of the other replicas.
          │  │  │ D││  O  │  O  ││  M  │  M  │   M: against the rows of a memory, which are no anchors.
          └──┴──┴──┘└─────┴─────┘└─────┴─────┘

A tile is *near* if some of its pairs may be other than plain negatives: an anchor with itself, two images of a class
(rows are sorted by class, so these lie together), or a row that is absent: padding, or not valid in a memory. Far tiles
need no masks. The tiles of the first sweep are kept for the later ones as long as they fit into `KEPT_BYTES`; the rest
is computed anew.
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf.shapes import Size, is_zero, maximum, minimum, size_of

# With this all tiles are kept of up to 14,000 rows; of the paper's largest batch, 6,144 images in two views, too.
KEPT_BYTES = 448 * 2**20

# While the exponentials of one tile are computed, another's matrix products keep the cores busy.
TILES_IN_FLIGHT = 2


class Rows(NamedTuple):
    """Rows of the batch or of a memory, cut into blocks of one size.

    Attributes:
      projections: array of blocks `[rows, dim]`, which copies nothing when it is read; zeros in the padding.
      index: `[blocks, rows]` int32, the row's place in the batch, a memory's behind it; −1 for a row that is absent.
      marks: `[blocks, rows, marks]` int32, what says which pairs are positives; the class first.
      length: number of rows without padding.
      some_absent: whether rows without padding, too, may be absent.
    """

    projections: tf.TensorArray
    index: tf.Tensor
    marks: tf.Tensor
    length: Size
    some_absent: bool

    @property
    def blocks(self) -> Size:
        return size_of(self.index, 0)

    @property
    def rows(self) -> Size:
        return size_of(self.index, 1)

    @property
    def may_have_gaps(self) -> bool:
        """Whether an index may be −1."""
        sizes = (self.blocks, self.rows, self.length)
        is_known = all(isinstance(size, int) for size in sizes)
        return self.some_absent or not is_known or self.blocks * self.rows != self.length


class Side(NamedTuple):
    """The rows or the columns of a tile: a block of `Rows`, and `[values, rows]` of what a sweep knows of each."""

    projections: tf.Tensor
    index: tf.Tensor
    marks: tf.Tensor
    values: Optional[tf.Tensor]


class Tile(NamedTuple):
    """What a sweep visits.

    Attributes:
      content: `[rows, columns]` float32, made of the similarities.
      rows, columns: its sides.
      near: whether some of its pairs may be other than plain negatives.
      symmetric: whether the columns, too, are anchors that receive from it.
    """

    content: tf.Tensor
    rows: Side
    columns: Side
    near: bool
    symmetric: bool


# What the rows `[rows, width]`, and if it is symmetric the columns `[columns, width]`, of a tile receive.
Received = Tuple[tf.Tensor, Optional[tf.Tensor]]

# (similarities [rows, columns], rows, columns, near) → content of the tile
MakeContent = Callable[[tf.Tensor, Side, Side, bool], tf.Tensor]


class Run(NamedTuple):
    """Tiles `first` to `end` − 1 of a part, which are all near or not, and all kept or not."""

    first: Size
    end: Size
    near: bool
    kept: bool


class Part(NamedTuple):
    """The tiles D, U, O or M.

    Attributes:
      columns: what the own rows are held against.
      pairs: `[number, 2]` int32, block of rows and block of columns of each tile, near ones first.
      near: how many are near.
      number: how many there are.
      kept: how many are kept from the first sweep on.
      symmetric: as in `Tile`.
    """

    columns: Rows
    pairs: tf.Tensor
    near: Size
    number: Size
    kept: Size
    symmetric: bool

    def runs(self) -> Iterator[Run]:
        """All tiles, as runs."""
        for near, first, end in ((True, 0, self.near), (False, self.near, self.number)):
            yield Run(first, minimum(end, self.kept), near, True)
            yield Run(maximum(first, self.kept), end, near, False)


class Tiles:
    """The tiles of a replica.

    Args:
      own: the replica's own rows, sorted by class.
      others: the other replicas' rows; None with one replica.
      memory: its rows; None without one.
      make_content: what tiles hold.
      by_class: whether pairs of one class are other than plain negatives.
    """

    def __init__(
        self,
        own: Rows,
        others: Optional[Rows],
        memory: Optional[Rows],
        make_content: MakeContent,
        *,
        by_class: bool,
    ) -> None:
        self._own = own
        self._memory = memory
        self._make_content = make_content
        self._kept: Dict[int, tf.TensorArray] = {}
        self._parts: List[Part] = []
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
            self._parts.append(Part(columns, pairs, near, number, kept, symmetric))

    def sweep(
        self,
        visit: Callable[[Tile], Received],
        width: int,
        *,
        own_values: tf.Tensor,
        other_values: Optional[tf.Tensor] = None,
        combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = tf.add,
        start: float = 0.0,
        keep: bool = False,
        only_near: bool = False,
        of_memory: Optional[bool] = None,
    ) -> tf.Tensor:
        """Visits every tile, and combines what each own row receives.

        Args:
          visit: tile → what its sides receive.
          width: of what a row receives.
          own_values: `[own rows, values]`, what `visit` gets to know of each row.
          other_values: the same for the other replicas' rows.
          combine: two things received → one.
          start: what a row has received before the first.
          keep: whether later sweeps use the tiles of this one.
          only_near: whether far tiles are passed over.
          of_memory: whether only the memory's tiles are visited, or only those of the batch; None for all.

        Returns:
          `[own rows, width]`.
        """
        own = self._own
        totals = _array(own.blocks, [own.rows, width]).unstack(tf.fill([own.blocks, own.rows, width], start))
        values_of_own = _values(own_values, own)
        for number, part in enumerate(self._parts):
            is_memory = part.columns is self._memory
            if of_memory is not None and of_memory != is_memory:
                continue
            values = None if is_memory else other_values
            of_columns = values_of_own if part.columns is own else _values(values, part.columns)
            if keep and not is_zero(part.kept):
                self._kept[number] = _array(maximum(part.kept, 1), [own.rows, part.columns.rows])
            for run in part.runs():
                if only_near and not run.near:
                    continue
                kept = self._kept.get(number) if run.kept else None

                def step(
                    k: Size,
                    totals: tf.TensorArray,
                    *to_keep: tf.TensorArray,
                    part: Part = part,
                    run: Run = run,
                    kept: Optional[tf.TensorArray] = kept,
                    of_columns: Optional[tf.Tensor] = of_columns,
                ) -> Tuple[Any, ...]:
                    i, j = tf.unstack(tf.gather(part.pairs, k))
                    rows = _side(own, values_of_own, i)
                    columns = _side(part.columns, of_columns, j)
                    if kept is not None and not to_keep:
                        content = kept.read(k)
                    else:
                        similarities = tf.matmul(rows.projections, columns.projections, transpose_b=True)
                        content = self._make_content(similarities, rows, columns, run.near)
                    to_rows, to_columns = visit(Tile(content, rows, columns, run.near, part.symmetric))
                    totals = totals.write(i, combine(totals.read(i), to_rows))
                    if part.symmetric:
                        totals = totals.write(j, combine(totals.read(j), to_columns))
                    return (k + 1, totals, *(array.write(k, content) for array in to_keep))

                if keep and kept is not None:
                    totals, self._kept[number] = _repeat(step, run, (totals, kept))
                else:
                    (totals,) = _repeat(step, run, (totals,))
        return join(totals.stack(), own.length)


def cut(values: tf.Tensor, blocks: Size, rows: Size, padding: int = 0) -> tf.Tensor:
    """`[length, ...]` → `[blocks, rows, ...]`."""
    missing = blocks * rows - size_of(values, 0)
    if not is_zero(missing):
        values = tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1), constant_values=padding)
    return tf.reshape(values, [blocks, rows, *values.shape[1:]])


def join(blocks: tf.Tensor, length: Size) -> tf.Tensor:
    """`[blocks, rows, ...]` → `[length, ...]`, without the padding."""
    return tf.reshape(blocks, [-1, *blocks.shape[2:]])[:length]


def make_rows(
    projections: tf.Tensor, index: tf.Tensor, marks: tf.Tensor, largest_block: Size, *, some_absent: bool = False
) -> Rows:
    """Cuts rows into as few blocks as `largest_block` allows, of equal size.

    Args:
      projections: `[length, dim]`.
      index: `[length]` int32; −1 for a row that is absent.
      marks: `[length, marks]` int32.
      largest_block: rows in a block, at most.
      some_absent: whether a row may be.
    """
    length = size_of(index, 0)
    blocks = maximum(-(-length // largest_block), 1)
    rows = maximum(-(-length // blocks), 1)  # also in an empty batch, which a replica may get at an epoch's end
    padded = (
        _array(blocks, [rows, projections.shape[1]]).unstack(cut(projections, blocks, rows)),
        cut(index, blocks, rows, padding=-1),
        cut(marks, blocks, rows, padding=-1),
    )
    return Rows(*padded, length, some_absent)


def _array(length: Size, shape: Sequence[Size]) -> tf.TensorArray:
    """Room for tensors that are read and written again and again, in place."""
    static = [size if isinstance(size, int) else None for size in shape]
    return tf.TensorArray(tf.float32, length, element_shape=static, clear_after_read=False)


def _values(values: Optional[tf.Tensor], rows: Rows) -> Optional[tf.Tensor]:
    """`[length, values]` → `[blocks, values, rows]`."""
    return None if values is None else tf.transpose(cut(values, rows.blocks, rows.rows), [0, 2, 1])


def _side(rows: Rows, values: Optional[tf.Tensor], block: tf.Tensor) -> Side:
    others = (None if x is None else tf.gather(x, block) for x in (rows.index, rows.marks, values))
    return Side(rows.projections.read(block), *others)


def _pairs(own: Rows, columns: Rows, diagonal: bool, symmetric: bool, by_class: bool) -> Tuple[tf.Tensor, Size, Size]:
    """Pairs of blocks that are the tiles of a part, near ones first; how many are near; how many there are."""
    i, j = tf.range(own.blocks), tf.range(columns.blocks)
    if diagonal:
        return tf.stack([i, i], axis=1), own.blocks, own.blocks
    may_have_gaps = own.may_have_gaps or columns.may_have_gaps
    near = tf.zeros([own.blocks, columns.blocks], tf.bool)
    if by_class:  # sorted, so blocks share a class if their ranges of classes overlap
        of_own, of_columns = own.marks[..., 0], columns.marks[..., 0]
        near |= (tf.reduce_min(of_own, 1)[:, tf.newaxis] <= tf.reduce_max(of_columns, 1)) & (
            tf.reduce_max(of_own, 1)[:, tf.newaxis] >= tf.reduce_min(of_columns, 1)
        )
    if may_have_gaps:
        near |= (tf.reduce_min(own.index, 1)[:, tf.newaxis] < 0) | (tf.reduce_min(columns.index, 1) < 0)
    is_tile, number = tf.ones_like(near), own.blocks * columns.blocks
    if symmetric:
        is_tile, number = i[:, tf.newaxis] < j, own.blocks * (own.blocks - 1) // 2
    near_number: Size = 0
    if by_class or may_have_gaps:
        near_number = tf.math.count_nonzero(near & is_tile, dtype=tf.int32)
    rank = tf.where(is_tile, tf.where(near, 0, 1), 2)
    order = tf.argsort(tf.reshape(rank, [-1]), stable=True)[: maximum(number, 1)]  # XLA wants none empty
    return tf.stack([order // columns.blocks, order % columns.blocks], axis=1), near_number, number


def _repeat(step: Callable[..., Tuple[Any, ...]], run: Run, state: Sequence[Any]) -> Tuple[Any, ...]:
    """`step(k, *state)` for each k of the run."""
    if isinstance(run.first, int) and isinstance(run.end, int) and run.end - run.first <= 1:
        if run.first >= run.end:
            return tuple(state)
        state = step(run.first, *state)[1:]
        for array in state:
            _ = array.flow  # else TensorFlow complains of what only the gradient reads, where there is no gradient
        return state
    loop = tf.while_loop(
        lambda k, *_: k < run.end,
        step,
        (tf.convert_to_tensor(run.first), *state),
        parallel_iterations=TILES_IN_FLIGHT,
    )
    return tuple(loop[1:])
