"""Looks into a Keras model's file before it is loaded: what in it would run code or touch files."""

import importlib
import io
import json
import os
import zipfile
from typing import Any, Iterable, Iterator, Optional

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.keras_version import KERAS_2
from supcon_tf.models.graph_ops import unsafe_operations

# Functions of TensorFlow that a layer of Keras may call by name.
TENSOR_MODULES = ("math.", "nn.", "linalg.", "image.", "signal.", "__operators__.", "compat.v1.nn.", "compat.v1.math.")
TENSOR_FUNCTIONS = {
    *("broadcast_to", "cast", "clip_by_value", "concat", "constant", "convert_to_tensor", "einsum", "expand_dims"),
    *("fill", "gather", "gather_nd", "identity", "norm", "one_hot", "ones", "ones_like", "pad", "range", "rank"),
    *("repeat", "reshape", "reverse", "roll", "slice", "split", "squeeze", "stack", "stop_gradient", "strided_slice"),
    *("tile", "transpose", "unstack", "where", "zeros", "zeros_like"),
    *("compat.v1.gather", "compat.v1.shape", "compat.v1.squeeze", "compat.v1.transpose"),
}


def check_trusted(argument: str, path: str, *, trust_model: bool) -> None:
    """Refuses a Keras model that could run code or touch files, unless it is trusted. Loads nothing.

    Args:
      argument: name of the argument that gave the path.
      path: a .keras or .h5 file, or the folder of a SavedModel.
      trust_model: whether the file is trusted.

    Raises:
      ArgumentError: the model is not trusted and could do more than compute.
    """
    found = None if trust_model else unsafe_part(path)
    if found is not None:
        problem = f"contains {found}, which can run code or touch files; if you trust its source, add {{trust_model}}"
        raise ArgumentError(argument, path, problem, trust_model=True)


def unsafe_part(path: str) -> Optional[str]:
    """Returns what in a Keras model could do more than compute; None if nothing could, or if it is no such model."""
    if tf.io.gfile.isdir(path):
        if not tf.io.gfile.exists(os.path.join(path, "saved_model.pb")):
            return None
        operations = unsafe_operations(path)
        if operations:
            return f"the operation {operations[0]}"
    return next((found for config in _configs(path) for found in _unsafe_in(config)), None)


def _configs(path: str) -> Iterator[Any]:
    """Yields the configurations in a model's file, read as JSON."""
    if tf.io.gfile.isdir(path):
        from tensorflow.core.protobuf import saved_model_pb2

        saved_metadata_pb2 = importlib.import_module(f"{KERAS_2}.protobuf.saved_metadata_pb2")
        # Keras reads the metadata in the graph where the file beside it is missing.
        saved_model = saved_model_pb2.SavedModel()
        saved_model.ParseFromString(_content(os.path.join(path, "saved_model.pb")))
        for graph in saved_model.meta_graphs:
            yield from _read_json(node.user_object.metadata for node in graph.object_graph_def.nodes)
        metadata_path = os.path.join(path, "keras_metadata.pb")
        if tf.io.gfile.exists(metadata_path):
            metadata = saved_metadata_pb2.SavedMetadata()
            metadata.ParseFromString(_content(metadata_path))
            yield from _read_json(node.metadata for node in metadata.nodes)
        return
    import h5py

    content = io.BytesIO(_content(path))  # may be both, whatever its name says
    if zipfile.is_zipfile(content):
        config = json.loads(zipfile.ZipFile(content).read("config.json"))
        config.pop("compile_config", None)  # is not read
        yield config
    if _is_hdf5(content.getvalue()):
        with h5py.File(content, "r") as file:
            yield json.loads(file.attrs.get("model_config", "{}"))


def _is_hdf5(content: bytes) -> bool:
    """Returns whether content is HDF5: its signature may stand at 0, 512, 1024 and so on, each twice the one before."""
    places = [0, *(512 * 2**power for power in range(64) if 512 * 2**power < len(content))]
    return any(content[place : place + 8] == b"\x89HDF\r\n\x1a\n" for place in places)


def _read_json(texts: Iterable[str]) -> Iterator[Any]:
    """Yields the metadata of those objects that have any; other programs may write other text there."""
    for text in texts:
        if text:
            try:
                yield json.loads(text)
            except ValueError:
                continue


def _content(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def _unsafe_in(config: Any) -> Iterator[str]:
    """Yields what in a layer's configuration could do more than compute."""
    if isinstance(config, list):
        for item in config:
            yield from _unsafe_in(item)
    if not isinstance(config, dict):
        return
    name = str(config.get("class_name")).rsplit(".", 1)[-1]
    if name in ("Lambda", "__lambda__"):
        yield "a Lambda layer"
    module = config.get("module")
    if isinstance(module, str) and not _is_known(module, name, config.get("registered_name")):
        called = config["config"] if name == "function" else name
        yield f"{module}.{called}"
    if name in ("ReloadedLayer", "TFSMLayer"):
        yield f"the layer {name}, which loads a SavedModel"
    details = config.get("config")
    if isinstance(details, dict) and isinstance(details.get("vocabulary"), str):
        yield f"a vocabulary to be read from {details['vocabulary']}"
    function = details.get("function") if isinstance(details, dict) else None
    if name.endswith("OpLambda") and not _is_tensor_function(function):
        yield f"the function {function}"
    for item in config.values():
        yield from _unsafe_in(item)


def _is_known(module: str, name: str, registered_name: Any) -> bool:
    """Returns whether Keras, or the program that runs, brings an object of a configuration."""
    if isinstance(registered_name, str) and keras.saving.get_registered_object(registered_name) is not None:
        return True
    if name == "function":
        return module == "builtins" or module.startswith(("keras.activations", "tf_keras.src.activations"))
    return module in ("builtins", "keras") or module.startswith(("keras.", "tf_keras.src."))


def _is_tensor_function(name: Any) -> bool:
    """Returns whether a name is that of a function of TensorFlow that only computes."""
    return isinstance(name, str) and (name in TENSOR_FUNCTIONS or name.startswith(TENSOR_MODULES))
