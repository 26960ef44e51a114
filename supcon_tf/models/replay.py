"""Random layers in microbatches: both passes of a microbatch draw the same numbers.

Keras' random layers (dropout, noise, augmentation) draw from a generator of their own. Inside `replayed` they draw by
stateless operations instead. The seed of a draw follows from the step, the microbatch and the number of draws before.
"""

import contextlib
import functools
import inspect
import itertools
import threading
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.keras_version import KERAS_2

RandomGenerator: Any = type(keras.layers.Dropout(0.0)._random_generator)

# Operations that draw from a state. Two passes of a microbatch would draw different numbers.
RANDOM_OPERATIONS = frozenset(
    (
        "EagerPyFunc",  # Python code may draw
        "Multinomial",
        "ParameterizedTruncatedNormal",
        "PyFunc",
        "PyFuncStateless",
        "RandomGamma",
        "RandomPoisson",
        "RandomPoissonV2",
        "RandomShuffle",
        "RandomStandardNormal",
        "RandomUniform",
        "RandomUniformInt",
        "RngReadAndSkip",
        "RngSkip",
        "StatefulRandomBinomial",
        "StatefulStandardNormal",
        "StatefulStandardNormalV2",
        "StatefulTruncatedNormal",
        "StatefulUniform",
        "StatefulUniformFullInt",
        "StatefulUniformInt",
        "TruncatedNormal",
    )
)
KERAS_LAYERS = (f"{KERAS_2}.src.layers.", f"{KERAS_2}.src.engine.", "supcon_tf.")
FREE_LAYERS = ("AddLoss", "Lambda", "SlicingOpLambda", "TFOpLambda")  # Keras' own, but they run code of the user


class _Draws(NamedTuple):
    """Holds the seed of the present microbatch, and counts its draws."""

    seed: Callable[[], tf.Tensor]
    calls: Iterator[int]


_draws = threading.local()  # replicas build their graphs in threads of their own


@contextlib.contextmanager
def replayed(seed: Callable[[], tf.Tensor]) -> Iterator[None]:
    """Lets the layers that `make_replayable` has prepared draw the same numbers in every block with an equal seed.

    Args:
      seed: a function that returns the seed `[2]` int32. It is called for each draw, in the graph of the draw.
    """
    before = getattr(_draws, "now", None)
    _draws.now = _Draws(seed, itertools.count())
    try:
        yield
    finally:
        _draws.now = before


def make_replayable(layers: Sequence[keras.layers.Layer]) -> None:
    """Prepares layers for `replayed`. Outside it they draw as before."""
    for part in parts_of(layers):
        generator = vars(part).get("_random_generator")
        if generator is not None and not isinstance(generator, ReplayableGenerator):
            vars(part)["_random_generator"] = ReplayableGenerator(generator)  # Keras does not track it either


class ReplayableGenerator(RandomGenerator):
    """A layer's generator that draws by stateless operations inside `replayed`."""

    def __init__(self, original: Any) -> None:
        original._maybe_init()
        self._type_outside = original._rng_type
        self.__dict__.update(vars(original))

    @property
    def _rng_type(self) -> str:
        return self._type_outside if getattr(_draws, "now", None) is None else self.RNG_STATELESS

    def make_seed_for_stateless_op(self) -> Any:
        now = getattr(_draws, "now", None)
        if now is None:
            return super().make_seed_for_stateless_op()
        return tf.random.experimental.stateless_fold_in(now.seed(), next(now.calls))


def check_replayable(
    layers: Sequence[keras.layers.Layer],
    embed_and_project: Callable[[tf.Tensor], Any],
    views: tf.TensorSpec,
    microbatch_size: int,
) -> None:
    """Checks that microbatches give the gradient of the whole batch. Layers that are not Keras' own are traced.

    Args:
      layers: the layers that `embed_and_project` uses.
      embed_and_project: maps views to projections, in training mode.
      views: their shape and type.
      microbatch_size: as the user gave it.

    Raises:
      ArgumentError: a layer draws random numbers by itself, changes a state, or adds a loss of its activations.
    """
    parts = parts_of(layers)
    adding = [part for part in parts if getattr(part, "activity_regularizer", None) is not None]
    if all(_is_known(part) for part in parts):
        _refuse_losses(adding, microbatch_size)
        return
    make_replayable(layers)
    random: List[str] = []

    def trace(views: tf.Tensor) -> None:
        with replayed(lambda: tf.constant([0, 0])):
            embed_and_project(views)
        adding.extend(part for part in parts if part._eager_losses)

    graph = tf.function(trace, autograph=False).get_concrete_function(views).graph
    _refuse_state(graph, parts, microbatch_size)
    definition = graph.as_graph_def()
    nodes = itertools.chain(definition.node, *(function.node_def for function in definition.library.function))
    random = [node.name for node in nodes if node.op in RANDOM_OPERATIONS]
    _refuse_losses(adding, microbatch_size)
    if random:
        problem = f"the gradient would be wrong, because '{random[0]}' draws random numbers that cannot be drawn again"
        advice = "use Keras' random layers, such as keras.layers.Dropout, or no microbatches"
        raise ArgumentError("microbatch_size", microbatch_size, f"{problem}; {advice}")


def parts_of(layers: Sequence[keras.layers.Layer]) -> List[keras.layers.Layer]:
    """Returns layers and all layers inside them."""
    inside = (part for layer in layers for part in layer.submodules if isinstance(part, keras.layers.Layer))
    return [*layers, *inside]


def _refuse_losses(adding: Sequence[keras.layers.Layer], microbatch_size: int) -> None:
    if adding:
        problem = f"layer '{adding[0].name}' adds a loss of its activations, which microbatches do not support"
        raise ArgumentError("microbatch_size", microbatch_size, problem)


def _refuse_state(graph: Any, parts: Sequence[keras.layers.Layer], microbatch_size: int) -> None:
    """Refuses a layer that changes its own state in a call, except averages: the second pass would find another state.

    Args:
      graph: a forward pass in training. Assignments inside its conditions and loops are not found.
      parts: all layers.
      microbatch_size: as the user gave it.
    """
    handles = [op.inputs[0] for op in graph.get_operations() if op.type.startswith("Assign") and op.inputs]
    changed = {id(handle) for handle in handles}
    outside = {id(given) for given, inside in graph.captures if id(inside) in changed}
    for weight in itertools.chain.from_iterable(part.non_trainable_weights for part in parts):
        is_average = weight.synchronization == tf.VariableSynchronization.ON_READ
        copies = getattr(weight, "values", (weight,))  # one for each replica
        if not is_average and any(id(copy.handle) in outside for copy in copies):
            problem = f"a layer changes its variable '{weight.name}' in a call, so that the second pass would differ"
            raise ArgumentError("microbatch_size", microbatch_size, f"{problem}; use no microbatches")


def _is_known(layer: keras.layers.Layer) -> bool:
    """Tells whether the layer is known to draw from a generator only, and to add no loss in a call."""
    kind = type(layer)
    own = kind.__module__.startswith(KERAS_LAYERS) and kind.__name__ not in FREE_LAYERS
    return own and not any(_is_foreign(value) for value in vars(layer).values())


def _is_foreign(value: Any) -> bool:
    """Tells whether a value is a function, or another object to call, that the user gave and that may draw by itself.

    An activation may also be a method, a `functools.partial`, or an object of any class with `__call__`.
    """
    if isinstance(value, functools.partial):
        return True
    if inspect.isroutine(value):
        module = getattr(value, "__module__", None)
    elif callable(value) and not inspect.isclass(value):
        module = type(value).__module__
    else:
        return False
    return str(module).split(".")[0] not in (KERAS_2, "keras", "tensorflow", "supcon_tf", "builtins")
