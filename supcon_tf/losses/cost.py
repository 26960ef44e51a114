"""Estimates what the losses take of one replica in a step, from numbers of rows: products, memory, gathered bytes."""

from typing import Dict, List, NamedTuple, Tuple

from supcon_tf.losses import tiles
from supcon_tf.losses.devices import ACCELERATOR_TILE
from supcon_tf.losses.variants import Anchors

FLOAT = 4


class LossCost(NamedTuple):
    """Holds the cost of a loss with its gradient.

    Attributes:
      flops: operations in the matrix products; a multiply and an add are two.
      memory: approximate bytes of arrays with as many rows as the global batch, and of tiles.
      gathered: for each thing that replicas gather, the bytes that every replica holds afterwards.
    """

    flops: int
    memory: int
    gathered: Dict[str, int]


class _Blocks(NamedTuple):
    """Counts tiles of one size: their number, pairs of rows in each, and whether a tile also serves its columns."""

    number: int
    pairs: int
    symmetric: bool


def supcon_cost(
    images: int, replicas: int, views: int, dim: int, *, memory: int = 0, by_class: bool = False, exponents: bool = True
) -> LossCost:
    """Returns the cost of the streaming loss (`engine.py`, `tiles.py`) on an accelerator.

    Args:
      images: number of images in the global batch.
      replicas: number of replicas that share it equally.
      views: number of views of each image.
      dim: dimension of a projection.
      memory: number of past projections beside the batch.
      by_class: see `variants.LossVariant`.
      exponents: whether similarities are known to be so small that no maximum has to be subtracted.
    """
    rows = images * views
    blocks = _blocks(rows // replicas, rows - rows // replicas, memory)
    room = tiles.KEPT_BYTES // FLOAT
    kept_pairs = computed = gradient = 0
    for number, pairs, symmetric in blocks:
        kept = min(room // pairs, number)
        room -= kept * pairs
        kept_pairs += kept * pairs
        # The sweep for the sums makes every tile. The gradient's sweep makes those again that are not kept.
        computed += pairs * (number + (number - kept) + (0 if exponents else number))
        gradient += pairs * number * (2 if symmetric else 1)
    working = max(pairs for _, pairs, _ in blocks)
    # Projections as gathered, as scaled, and as sorted; in Eq. 2 also weighted, for the sums of each class.
    batch_rows = (rows * (3 if by_class else 4) + 2 * memory) * dim
    anchor_values = 2 * rows * len(Anchors._fields)
    gathered = {
        "projections": rows * dim * FLOAT,
        # The loss and its diagnostics each gather labels and the replica that a row belongs to.
        "labels and places": 4 * images * FLOAT,
        "numbers of the anchors": rows * len(Anchors._fields) * FLOAT,
    }
    return LossCost(
        2 * dim * (computed + gradient),
        FLOAT * (kept_pairs + working + batch_rows + anchor_values),
        _gathered(gathered, replicas),
    )


# Loss → matrices of all pairs that a replica holds. The cost of a loss that is not in here is unknown.
MATRICES = {"npairs": 4, "triplet": 8}


def all_pairs_cost(images: int, replicas: int, views: int, dim: int, *, name: str) -> LossCost:
    """Returns the cost of 'npairs' and 'triplet' (`baselines.py`): every replica holds a few matrices of all pairs."""
    rows = images if name == "npairs" else images * views
    pairs = rows * rows
    gathered = {"projections": images * views * dim * FLOAT, "labels and places": images * FLOAT}
    # The gradients at the projections are summed over replicas.
    gathered["gradients at the projections"] = images * views * dim * FLOAT
    return LossCost(
        3 * 2 * pairs * dim, FLOAT * (MATRICES[name] * pairs + 2 * rows * dim), _gathered(gathered, replicas)
    )


def _gathered(gathered: Dict[str, int], replicas: int) -> Dict[str, int]:
    return gathered if replicas > 1 else {}


def _blocks(own: int, others: int, memory: int) -> List[_Blocks]:
    """Returns the tiles D, U, O and M of `tiles.py`."""
    number, rows = _cut(own, ACCELERATOR_TILE)
    blocks = [_Blocks(number, rows * rows, False), _Blocks(number * (number - 1) // 2, rows * rows, True)]
    for columns in (others, memory):
        if columns:
            along, width = _cut(columns, ACCELERATOR_TILE**2 // rows)
            blocks.append(_Blocks(number * along, rows * width, False))
    return [part for part in blocks if part.number]


def _cut(length: int, largest: int) -> Tuple[int, int]:
    """Returns number of blocks, and rows in each, like `rows.make_rows`."""
    number = max(-(-length // largest), 1)
    return number, max(-(-length // number), 1)
