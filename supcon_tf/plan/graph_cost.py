"""Counts a training step from its graph: operations, memory for the gradient, bytes moved.

Runs nothing and fills no weights. Traces the graph for a batch of `TRACED_IMAGES` and scales costs that grow with it.
"""

import contextlib
import math
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

# A prime that is no dimension of a layer. A tensor grows with the batch if this number divides its first dimension.
TRACED_IMAGES = 127

# Operations whose output is their input under another name or shape. ReadVariableOp returns the variable itself.
ALIASES = ("Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "PreventGradient", "IdentityN")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")

Mark = Callable[[str], None]  # names the part that the operations since the last mark belong to
Forward = Callable[[tf.Tensor, Mark], Sequence[tf.Tensor]]


class GraphCost(NamedTuple):
    """Cost of a step, per image unless stated otherwise.

    Attributes:
      forward: FLOPs of each part of the forward pass. Only convolutions and matrix products count; a multiply and an
        add are two.
      backward: FLOPs of the gradient.
      moved: bytes that the other operations read and write, forward and backward, except those that rename or reshape.
      moved_forward: the same bytes in the forward pass alone.
      kept: bytes that the forward pass keeps for the gradient.
      peak: largest number of bytes in use at a time, including `kept`.
      copies: total bytes of copies of the weights in another precision that the gradient needs; not per image.
      uncounted: types of operations that were left out because their shapes are unknown.
    """

    forward: Dict[str, float]
    backward: float
    moved: float
    moved_forward: float
    kept: float
    peak: float
    copies: int
    uncounted: Tuple[str, ...]

    @property
    def forward_flops(self) -> float:
        return sum(self.forward.values())

    @property
    def flops(self) -> float:
        """Forward and backward."""
        return self.forward_flops + self.backward


@contextlib.contextmanager
def unfilled_weights() -> Iterator[None]:
    """Creates all weights as zeros within the context, which is much faster than drawing them."""

    def zeros(next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        shape, dtype = tf.TensorShape(arguments.get("shape")), arguments.get("dtype")
        if shape.is_fully_defined() and dtype is not None:  # true of all weights of Keras layers
            arguments["initial_value"] = lambda: tf.zeros(shape, dtype)
        return next_creator(**arguments)

    with tf.variable_creator_scope(zeros):
        yield


def count(
    forward: Forward,
    image_shape: Sequence[int],
    weights: Sequence[tf.Variable],
) -> GraphCost:
    """Traces a forward pass with its gradient and counts its cost.

    Args:
      forward: maps uint8 images `[batch, *image_shape]` to the tensors that the gradient starts from. Calls
        `mark(name)` after each part.
      image_shape: height, width and channels.
      weights: variables to differentiate by; an empty sequence for no gradient.
    """
    graph = FuncGraph("plan")
    ends: List[Tuple[str, int]] = []
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, [TRACED_IMAGES, *image_shape])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            outputs = forward(images, lambda name: ends.append((name, len(graph.get_operations()))))
        end = len(graph.get_operations())
        gradients = tape.gradient(outputs, weights) if weights else []
    operations = graph.get_operations()
    # The graph holds the first layer's gradient at the images, but TensorFlow prunes operations without a use.
    needed = _leading_to([x.op for x in gradients if x is not None], operations)
    operations = operations[:end] + [op for op in operations[end:] if op in needed]
    image_operations = _depending_on(images.op, operations)
    uncounted: Set[str] = set()

    def flops(first: int, last: int) -> float:
        return _sum_of_flops(operations[first:last], graph, uncounted) / TRACED_IMAGES

    def moved(first: int, last: int) -> float:
        chosen = [op for op in operations[first:last] if op in image_operations]
        return sum(map(_moved, chosen)) / TRACED_IMAGES

    starts = [0, *(position for _, position in ends)]
    kept = _kept(operations, end)
    return GraphCost(
        forward={name: flops(start, position) for start, (name, position) in zip(starts, ends)},
        backward=flops(end, len(operations)),
        moved=moved(0, len(operations)),
        moved_forward=moved(0, end),
        kept=sum(map(_size, (x for x in kept if x.op in image_operations and x.op != images.op))) / TRACED_IMAGES,
        peak=_peak(operations, image_operations - {images.op}) / TRACED_IMAGES,
        copies=sum(_bytes(x) for x in kept if x.op.type == "Cast" and x.op not in image_operations),
        uncounted=tuple(sorted(uncounted)),
    )


def _depending_on(source: tf.Operation, operations: Sequence[tf.Operation]) -> Set[tf.Operation]:
    """Returns `source` and the operations, given in the order of creation, that depend on it."""
    found = {source}
    for op in operations:
        if any(x.op in found for x in op.inputs):
            found.add(op)
    return found


def _leading_to(targets: Sequence[tf.Operation], operations: Sequence[tf.Operation]) -> Set[tf.Operation]:
    """Returns `targets` and the operations, given in the order of creation, that lead to one of these."""
    found = set(targets)
    for op in reversed(operations):
        if op in found:
            found.update(x.op for x in op.inputs)
    return found


def _root(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensor whose memory this tensor shares."""
    while tensor.op.type in ALIASES:
        tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
    return tensor


def _kept(operations: Sequence[tf.Operation], end: int) -> List[tf.Tensor]:
    """Returns tensors of the forward pass, the first `end` operations, that later operations read."""
    first = set(operations[:end])
    refs = {_root(x).ref() for op in operations[end:] for x in op.inputs if _root(x).op in first}
    return [ref.deref() for ref in refs]


def _peak(operations: Sequence[tf.Operation], counted: Set[tf.Operation]) -> int:
    """Returns the largest number of bytes of outputs of `counted` in use at a time, each freed after its last use."""
    last_use: Dict[Any, int] = {}
    for position, op in enumerate(operations):
        for x in op.inputs:
            last_use[_root(x).ref()] = position
    freed: Dict[int, int] = {}
    live = peak = 0
    for position, op in enumerate(operations):
        if op in counted and op.type not in ALIASES:
            for tensor in op.outputs:
                size, last = _size(tensor), last_use.get(tensor.ref(), position)
                live += size
                freed[last] = freed.get(last, 0) + size
        peak = max(peak, live)
        live -= freed.pop(position, 0)
    return peak


def _size(tensor: tf.Tensor) -> int:
    """Returns the bytes of a tensor that grows with the batch, otherwise 0: weights are counted elsewhere."""
    grows = tensor.shape.rank and tensor.shape[0] is not None and tensor.shape[0] % TRACED_IMAGES == 0
    return _bytes(tensor) if grows else 0


def _bytes(tensor: tf.Tensor) -> int:
    """Returns the bytes of a tensor; 0 where the shape is unknown, which only small tensors have."""
    elements = tensor.shape.num_elements()
    return (elements or 0) * tensor.dtype.size if tensor.dtype.is_numpy_compatible else 0


def _moved(op: tf.Operation) -> int:
    if op.type in ALIASES or op.type in FLOPS:
        return 0
    return sum(map(_size, op.inputs)) + sum(map(_size, op.outputs))


def _sum_of_flops(operations: Sequence[tf.Operation], graph: tf.Graph, uncounted: Set[str]) -> int:
    total = 0
    for op in operations:
        if op.type in CALLS:  # in a SavedModel, for example
            called = graph._get_function(op.get_attr("f").name)
            inner = getattr(called, "graph", None)
            if inner is None:
                uncounted.add(op.type)
            else:
                total += _sum_of_flops(inner.get_operations(), inner, uncounted)
        elif op.type in FLOPS:
            flops = FLOPS[op.type](op)
            if flops is None:
                uncounted.add(op.type)
            else:
                total += flops
    return total


def _elements(*dimensions: Any) -> Optional[int]:
    """Returns twice the product; None where one is unknown."""
    return None if None in dimensions else 2 * math.prod(dimensions)


def _convolution_flops(result: Callable[[tf.Operation], tf.Tensor], kernel: Callable[[tf.Operation], tf.Tensor]) -> Any:
    """Counts height × width × input channels of the kernel for each output, or for each entry of its gradient."""
    return lambda op: _elements(result(op).shape.num_elements(), *kernel(op).shape.as_list()[:3])


def _depthwise_flops(result: Callable[[tf.Operation], tf.Tensor], kernel: Callable[[tf.Operation], tf.Tensor]) -> Any:
    return lambda op: _elements(result(op).shape.num_elements(), *kernel(op).shape.as_list()[:2])


def _matmul_flops(op: tf.Operation) -> Optional[int]:
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    inner = op.inputs[0].shape[-2 if transposed else -1]
    return _elements(op.outputs[0].shape.num_elements(), inner)


def _einsum_flops(op: tf.Operation) -> Optional[int]:
    """Counts one multiplication per combination of indices, for two operands whose indices all have names."""
    operands = op.get_attr("equation").decode().split("->")[0].split(",")
    if len(operands) != 2 or any("." in operand for operand in operands):
        return None
    sizes: Dict[str, Any] = {}
    for operand, x in zip(operands, op.inputs):
        sizes.update(zip(operand, x.shape.as_list()))
    return _elements(*sizes.values())


def _output(op: tf.Operation) -> tf.Tensor:
    return op.outputs[0]


def _input(number: int) -> Callable[[tf.Operation], tf.Tensor]:
    return lambda op: op.inputs[number]


FLOPS: Dict[str, Callable[[tf.Operation], Optional[int]]] = {
    "Conv2D": _convolution_flops(_output, _input(1)),
    "Conv2DBackpropInput": _convolution_flops(_input(2), _input(1)),
    "Conv2DBackpropFilter": _convolution_flops(_input(2), _output),
    "DepthwiseConv2dNative": _depthwise_flops(_output, _input(1)),
    "DepthwiseConv2dNativeBackpropInput": _depthwise_flops(_input(2), _input(1)),
    "DepthwiseConv2dNativeBackpropFilter": _depthwise_flops(_input(2), _output),
    "MatMul": _matmul_flops,
    "BatchMatMulV2": _matmul_flops,
    "BatchMatMulV3": _matmul_flops,
    "Einsum": _einsum_flops,
}
