"""A model from elsewhere is looked into before it is loaded, and runs nothing that could do more than compute."""

import importlib
import json
import os
import re
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from tensorflow.core.protobuf import saved_model_pb2

from supcon_tf.errors import ArgumentError, UserError
from supcon_tf.keras_version import KERAS_2
from supcon_tf.models import build_application, load_encoder
from supcon_tf.models.graph_ops import unsafe_operations

saved_metadata_pb2 = importlib.import_module(f"{KERAS_2}.protobuf.saved_metadata_pb2")

SHAPE = (8, 8, 3)


def model_with(layer):
    images = keras.Input(SHAPE)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(layer(images)))


def lambda_model(mark):
    """Returns a model whose Lambda layer makes a folder when it is called."""
    code = f"lambda images: (__import__('os').makedirs({mark!r}, exist_ok=True), images)[1]"
    return model_with(keras.layers.Lambda(eval(code), output_shape=SHAPE))


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_a_lambda_layer_runs_only_if_the_model_is_trusted(suffix, tmp_path):
    path, mark = f"{tmp_path}/model{suffix}", tmp_path / "ran"
    lambda_model(str(mark)).save(path)
    mark.rmdir()
    with pytest.raises(ArgumentError, match="contains a Lambda layer, .*add trust_model=True") as error:
        load_encoder(path, SHAPE)
    assert not mark.exists() and "\n" not in str(error.value)
    encoder = load_encoder(path, SHAPE, trust_model=True)
    encoder(np.zeros([1, *SHAPE], np.float32))
    assert mark.exists()


def in_a_user_block(path, to):
    """Copies an HDF5 file so that its signature does not stand at the beginning."""
    with h5py.File(path) as source, h5py.File(to, "w", userblock_size=512) as target:
        target.attrs.update(source.attrs)
        for name in source:
            source.copy(name, target)


def with_a_harmless_archive(path, to):
    """Appends a .keras file, so that the file is both."""
    harmless = f"{path}.keras"
    model_with(keras.layers.ReLU()).save(harmless)
    with open(to, "wb") as file:
        for part in (path, harmless):
            with open(part, "rb") as source:
                file.write(source.read())


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model"])
@pytest.mark.parametrize("disguise", [in_a_user_block, with_a_harmless_archive])
def test_a_disguised_file_is_seen_through(disguise, name, tmp_path):
    mark = tmp_path / "ran"
    lambda_model(str(mark)).save(f"{tmp_path}/plain.h5")
    mark.rmdir()
    disguise(f"{tmp_path}/plain.h5", f"{tmp_path}/{name}")
    with pytest.raises(ArgumentError, match="contains a Lambda layer"):
        load_encoder(f"{tmp_path}/{name}", SHAPE)
    assert not mark.exists()


def test_metadata_in_the_graph_of_a_saved_model_are_read(tmp_path):
    path, mark = tmp_path / "model", tmp_path / "ran"
    lambda_model(str(mark)).save(path)
    metadata, saved_model = saved_metadata_pb2.SavedMetadata(), saved_model_pb2.SavedModel()
    metadata.ParseFromString((path / "keras_metadata.pb").read_bytes())
    saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    for node in metadata.nodes:
        user_object = saved_model.meta_graphs[0].object_graph_def.nodes[node.node_id].user_object
        user_object.identifier, user_object.metadata = node.identifier, node.metadata
    (path / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    (path / "keras_metadata.pb").unlink()
    mark.rmdir()
    with pytest.raises(ArgumentError, match="contains a Lambda layer"):
        load_encoder(str(path), SHAPE)
    assert not mark.exists()


def test_weights_come_from_a_keras_file_with_a_lambda_layer_only_if_it_is_trusted(tmp_path):
    path = str(tmp_path / "model.keras")
    lambda_model(str(tmp_path / "ran")).save(path)
    with pytest.raises(ArgumentError, match="weights=.*contains a Lambda layer"):
        build_application("MobileNet", (32, 32, 3), weights=path)


def edited(model, path, edit):
    """Saves a model as .keras, after `edit` has changed the configuration of each layer."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    for layer in config["config"]["layers"]:
        edit(layer)
    contents["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def as_gadget(layer):
    """Makes an activation of a function of another module."""
    if layer["class_name"] == "Activation":
        function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}
        layer["config"]["activation"] = function


def as_foreign_class(layer):
    if layer["class_name"] == "Activation":
        layer.update(module="http.server", class_name="HTTPServer")


def as_file_writer(layer):
    if layer["class_name"] == "TFOpLambda":
        layer["config"]["function"] = "io.gfile.rmtree"


def as_file_reader(layer):
    """Makes a layer that reads a file of the machine when it is loaded (CVE-2025-12058)."""
    if layer["class_name"] == "Activation":
        layer.update(module="keras.layers", class_name="IntegerLookup", registered_name=None)
        layer["config"] = {"name": layer["config"]["name"], "vocabulary": "/etc/passwd"}


def as_other_model(layer):
    if layer["class_name"] == "Activation":
        layer.update(module="keras.src.export.export_lib", class_name="ReloadedLayer", registered_name=None)
        layer["config"] = {"filepath": "/elsewhere"}


@pytest.mark.parametrize(
    ("layer", "edit", "complaint"),
    [
        (keras.layers.Activation("relu"), as_gadget, r"os\.system"),
        (keras.layers.Activation("relu"), as_foreign_class, r"http\.server\.HTTPServer"),
        (keras.layers.Activation("relu"), as_file_reader, "a vocabulary to be read from /etc/passwd"),
        (keras.layers.Activation("relu"), as_other_model, "the layer ReloadedLayer, which loads a SavedModel"),
        (tf.nn.relu, as_file_writer, r"the function io\.gfile\.rmtree"),
    ],
)
def test_a_configuration_that_names_foreign_functions_is_refused(layer, edit, complaint, tmp_path):
    path = str(tmp_path / "model.keras")
    edited(model_with(layer), path, edit)
    with pytest.raises(ArgumentError, match=complaint):
        load_encoder(path, SHAPE)


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_ordinary_models_need_no_trust(suffix, tmp_path):
    def layers(images):
        x = keras.layers.Conv2D(4, 3, activation=keras.activations.swish, kernel_regularizer="l2")(images)
        x = keras.layers.RandomFlip()(keras.layers.Dropout(0.1)(keras.layers.BatchNormalization()(x)))
        attention = keras.layers.MultiHeadAttention(2, 4)(x, x)
        both = tf.nn.gelu(tf.concat([x, attention], axis=-1)) * 2.0
        return both + tf.reshape(tf.cast(x, tf.float32), [-1, 6, 6, 4])[:, :, :, :1]

    path = f"{tmp_path}/model{suffix}"
    model_with(layers).save(path)
    assert load_encoder(path, SHAPE).output_shape == (None, 8)


class Writer(tf.Module):
    """Writes a file with its signature, and another one when it is loaded."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def hidden(self, encoded):
        return tf.map_fn(self._write, encoded)

    def _write(self, encoded):
        tf.io.write_file(self.path, encoded)
        return encoded


def test_operations_that_touch_files_are_found_in_nested_functions(tmp_path):
    writer = Writer(str(tmp_path / "written"))
    tf.saved_model.save(writer, str(tmp_path / "model"), signatures={"serve_encoded": writer.hidden})
    assert unsafe_operations(str(tmp_path / "model")) == ["WriteFile"]
    assert not os.path.exists(tmp_path / "written")


def python_function(images):
    return tf.numpy_function(lambda x: x, [images], tf.float32)


def printing(images):
    tf.print("text", output_stream="file:///tmp/never")
    return images


def reading(images):
    return images + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def caching(images):
    return tf.data.Dataset.from_tensors(images).cache("/tmp/never").get_single_element()


def looking_up(images):
    return images + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)


def reading_a_descriptor(images):
    decoded = tf.io.decode_proto(tf.constant([b""]), "a.B", ["c"], [tf.float32], descriptor_source="/etc/hostname")
    return images + tf.cast(tf.size(decoded.sizes), tf.float32)


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (reading_a_descriptor, "DecodeProtoV2"),
        (python_function, "PyFunc"),
        (printing, "PrintV2"),
        (reading, "ReadFile"),
        (caching, "CacheDataset.*"),
        (looking_up, "MatchingFiles"),
    ],
)
def test_each_way_out_of_the_process_is_found(function, operation, tmp_path):
    module = tf.Module()
    module.call = tf.function(function, input_signature=[tf.TensorSpec([2], tf.float32)])
    tf.saved_model.save(module, str(tmp_path))
    assert any(re.fullmatch(operation, found) for found in unsafe_operations(str(tmp_path)))


def test_a_damaged_saved_model_is_named_in_one_line(tmp_path):
    for content in (b"", b"\xff" * 99, b"\x08"):
        (tmp_path / "saved_model.pb").write_bytes(content)
        with pytest.raises(UserError, match="is damaged") as error:
            unsafe_operations(str(tmp_path))
        assert "\n" not in str(error.value)


def test_a_damaged_h5_is_named_in_one_line(tmp_path):
    model_with(keras.layers.Conv2D(2, 3)).save(tmp_path / "whole.h5")
    (tmp_path / "half.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:3000])
    with pytest.raises(ArgumentError, match="cannot be read as a Keras model") as error:
        load_encoder(str(tmp_path / "half.h5"), SHAPE)
    assert "\n" not in str(error.value)
