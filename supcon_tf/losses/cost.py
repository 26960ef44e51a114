"""What the losses take of one replica in a step, by the numbers of rows alone: products, memory, what is gathered."""

from typing import Dict, List, NamedTuple, Tuple

from supcon_tf.losses import forms, tiles

ACCELERATOR_TILE = 2048  # as `engine.default_tile_size` where there is one
FLOAT = 4


class LossCost(NamedTuple):
    """Of a loss with its gradient.

    Attributes:
      flops: of the matrix products; a multiply and an add are two.
      memory: bytes, about: arrays with as many rows as the global batch, and tiles.
      gathered: what replicas gather of each other → bytes that each of them then has.
    """

    flops: int
    memory: int
    gathered: Dict[str, int]


class _Blocks(NamedTuple):
    """Tiles of one size: how many, pairs of rows in each, and whether a tile also serves its columns."""

    number: int
    pairs: int
    symmetric: bool


def of_supcon(
    images: int, replicas: int, views: int, dim: int, *, memory: int = 0, by_class: bool = False, exponents: bool = True
) -> LossCost:
    """The streaming loss (`engine.py`, `tiles.py`), on an accelerator.

    Args:
      images: in the global batch.
      replicas: that share it equally.
      views: of each image.
      dim: of a projection.
      memory: past projections beside the batch.
      by_class: see `forms.Form`.
      exponents: whether similarities are known to be small enough for no maximum to be taken off.
    """
    rows = images * views
    blocks = _blocks(rows // replicas, rows - rows // replicas, memory)
    room = tiles.KEPT_BYTES // FLOAT
    kept_pairs = computed = gradient = 0
    for number, pairs, symmetric in blocks:
        kept = min(room // pairs, number)
        room -= kept * pairs
        kept_pairs += kept * pairs
        # The sweep for the sums makes every tile, the gradient's makes those anew that are not kept.
        computed += pairs * (number + (number - kept) + (0 if exponents else number))
        gradient += pairs * number * (2 if symmetric else 1)
    working = max(pairs for _, pairs, _ in blocks)
    # Projections as gathered, as scaled, and as sorted; in Eq. 2 also weighted, for the sums of each class.
    of_batch = (rows * (3 if by_class else 4) + 2 * memory) * dim
    of_anchors = 2 * rows * len(forms.Anchors._fields)
    gathered = {
        "projections": rows * dim * FLOAT,
        # Labels and which replica a row is of, in the loss and again in what is reported of it.
        "labels and places": 4 * images * FLOAT,
        "numbers of the anchors": rows * len(forms.Anchors._fields) * FLOAT,
    }
    return LossCost(
        2 * dim * (computed + gradient),
        FLOAT * (kept_pairs + working + of_batch + of_anchors),
        _gathered(gathered, replicas),
    )


def of_all_pairs(images: int, replicas: int, views: int, dim: int, *, name: str) -> LossCost:
    """'npairs' and 'triplet' (`baselines.py`): every replica holds a few matrices of all pairs."""
    rows = images if name == "npairs" else images * views
    pairs = rows * rows
    gathered = {"projections": images * views * dim * FLOAT, "labels and places": images * FLOAT}
    # What flows back to another's projections is summed over replicas.
    gathered["gradients at the projections"] = images * views * dim * FLOAT
    matrices = 4 if name == "npairs" else 8
    return LossCost(3 * 2 * pairs * dim, FLOAT * (matrices * pairs + 2 * rows * dim), _gathered(gathered, replicas))


def _gathered(of_all: Dict[str, int], replicas: int) -> Dict[str, int]:
    return of_all if replicas > 1 else {}


def _blocks(own: int, others: int, memory: int) -> List[_Blocks]:
    """The tiles D, U, O and M of `tiles.py`."""
    number, rows = _cut(own, ACCELERATOR_TILE)
    blocks = [_Blocks(number, rows * rows, False), _Blocks(number * (number - 1) // 2, rows * rows, True)]
    for columns in (others, memory):
        if columns:
            along, width = _cut(columns, ACCELERATOR_TILE**2 // rows)
            blocks.append(_Blocks(number * along, rows * width, False))
    return [part for part in blocks if part.number]


def _cut(length: int, largest: int) -> Tuple[int, int]:
    """As `tiles.make_rows`: number of blocks, and rows in each."""
    number = max(-(-length // largest), 1)
    return number, max(-(-length // number), 1)
