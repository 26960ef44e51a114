"""Looks into a SavedModel before it is loaded: which of its operations reach beyond the memory of the process."""

import os
import re
from typing import Any, Dict, Iterator, List, Set

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from supcon_tf.errors import UserError

# Operations that TensorFlow calls stateful, but which change nothing except the memory of the process.
STATEFUL_BUT_HARMLESS = (
    "Assert|AssignVariableOp|AssignAddVariableOp|AssignSubVariableOp|Case|CheckNumerics|CheckNumericsV2|CudnnRNN.*|"
    "DatasetToSingleElement|Empty|GuaranteeConst|HashTableV2|If|InitializeTableV2|LookupTable(Find|Import|Size)V2|"
    "Multinomial|ParameterizedTruncatedNormal|PartitionedCall|Placeholder|Random.*|RangeDataset|ReadVariableOp|"
    "ReduceDataset|Stack.*V2|StatefulPartitionedCall|Tensor(Slice)?Dataset|TensorArray.*V3|TruncatedNormal|VarHandleOp|"
    "VarIsInitializedOp|While|DestroyResourceOp|AnonymousHashTable|Rng.*|NonDeterministicInts|Stateful(Random|Standard|"
    "Truncated|Uniform).*"
)
# Operations that TensorFlow calls stateless, although they touch files, the network or Python.
STATELESS_BUT_NOT = (
    "(Cache|.*Snapshot|Register|Rewrite|ModelD|.*Service).*Dataset.*|DatasetFromGraph|DatasetToGraph.*|Debug.*|Copy|"
    "CopyHost|.*File.*|.*PyFunc.*|Reader.*|RegisterDataset.*|ImmutableConst|GenerateVocabRemapping|ShardedFile.*|.*TPU.*|"
    "Xla.*Host.*|DecodeProtoV2|EncodeProto|Abort|_.*"
)


def unsafe_operations(path: str) -> List[str]:
    """Returns the sorted names of operations in a SavedModel that may touch files, the network or other programs.

    Looks at all functions that loading the model or calling a signature can reach. Loads nothing.

    Args:
      path: folder of the SavedModel; may be a gs:// address.

    Raises:
      UserError: the file is damaged, or was written by TensorFlow 1.
    """
    saved = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(os.path.join(path, "saved_model.pb"), "rb") as file:
            saved.ParseFromString(file.read())
        (graph,) = saved.meta_graphs
    except Exception:  # the parser's error has no public type
        raise UserError(f"{path}: its saved_model.pb is damaged") from None
    if not graph.object_graph_def.nodes:
        raise UserError(f"{path}: was written by TensorFlow 1; export it again with TensorFlow 2")
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    waiting = [name for name in graph.object_graph_def.concrete_functions if name in functions]
    seen: Set[str] = set(waiting)
    operations: Set[str] = set()
    while waiting:
        for node in functions[waiting.pop()].node_def:
            operations.add(node.op)
            for called in (node.op, *_functions_in(node.attr)):
                if called in functions and called not in seen:
                    seen.add(called)
                    waiting.append(called)
    return sorted(name for name in operations - functions.keys() if not _is_harmless(name))


def _functions_in(attributes: Dict[str, Any]) -> Iterator[str]:
    """Yields the names of functions among the attributes of a node."""
    for value in attributes.values():
        if value.HasField("func"):
            yield value.func.name
            yield from _functions_in(value.func.attr)
        for function in value.list.func:
            yield function.name
            yield from _functions_in(function.attr)


def _is_harmless(name: str) -> bool:
    """Returns whether an operation of TensorFlow only computes. An unknown operation is not harmless."""
    definition = op_def_registry.get(name)
    if definition is None:
        return False
    if definition.is_stateful:
        return re.fullmatch(STATEFUL_BUT_HARMLESS, name) is not None
    return re.fullmatch(STATELESS_BUT_NOT, name) is None
