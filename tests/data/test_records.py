import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.data import decoding, load, records
from supcon_tf.errors import UserError
from tests import voc
from tests.data import numbered


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return numbered.prepare(tmp_path_factory.mktemp("numbered"))


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """The files of these tests are shorter than a block."""
    monkeypatch.setattr(records, "BLOCK", 4)


SPLITS = ["train", "train[13:77]", "train[:5]+train[40:90]"]


def number(data, record):
    return numbered.number_of(decoding.decode(data, records.parse(data, record)[0]))


@pytest.mark.parametrize("split", SPLITS)
def test_each_example_is_read_once_with_its_place_in_the_split(data, split):
    stored = numbered.stored_numbers(data, split)
    parts = records.columns(records.file_parts(data, split, first=1000))
    found = {int(index): number(data, record) for index, record in records.read(parts)}
    assert found == {1000 + i: value for i, value in enumerate(stored)}
    assert list(found) == [int(index) for index in records.indices(parts)]
    assert list(found) != sorted(found)  # files are read side by side


@pytest.mark.parametrize("split", SPLITS)
def test_any_example_can_be_read_by_itself(data, split):
    stored = numbered.stored_numbers(data, split)
    index = records.read_index(data, split)
    np.testing.assert_array_equal(index.labels, np.array(stored) % 5)
    places = np.random.default_rng(0).permutation(len(stored))
    read = tf.data.Dataset.from_tensor_slices(places).map(lambda place: records.record_at(index, place))
    assert [number(data, record) for record in read] == [stored[place] for place in places]


def test_label_is_that_of_the_image_or_none(data):
    for _, record in records.read(records.columns(records.file_parts(data, "train[:9]"))):
        assert int(records.parse(data, record)[1]) == number(data, record) % 5


@pytest.mark.parametrize(("split", "images"), [("train+validation", range(22)), ("test", range(22, 42))])
def test_label_says_of_each_class_whether_it_is_there_or_only_difficult(voc_dir, split, images):
    data = load.load(config.DataOptions(dataset="voc/2007", data_dir=voc_dir), labels=True)
    found = {}
    for _, record in records.read(records.columns(records.file_parts(data, split))):
        encoded, label = records.parse(data, record)
        found[voc.number_of(decoding.decode(data, encoded))] = label.numpy()
    assert sorted(found) == list(images)
    for number, label in found.items():
        # VOC's marks are 1, 0 for difficult, and −1 for not there.
        np.testing.assert_array_equal(label, np.select([voc.marks(number) == 1, voc.marks(number) == 0], [1, -1], 0))


def test_other_formats_are_rejected(data, monkeypatch):
    monkeypatch.setattr(type(data.builder.info), "file_format", type("Format", (), {"value": "array_record"}))
    with pytest.raises(UserError, match="as array_record files, but training reads only tfrecord"):
        records.file_parts(data, "train")


@pytest.mark.parametrize("left", [0, 1])
def test_an_index_of_a_file_that_has_lost_examples_is_an_error_about_damage(tmp_path, left):
    data = numbered.prepare(tmp_path, size=40, files=2)
    path = records.file_parts(data, "train")[1].path
    with open(path, "rb") as file:
        whole = file.read()
    first = int.from_bytes(whole[:8], "little") + records.FRAME  # bytes of the first record
    with open(path, "wb") as file:
        file.write(whole[: first * left])
    with pytest.raises(tf.errors.DataLossError, match="has lost examples") as error:
        records.read_index(data, "train")
    assert records.is_about_damage(error.value)
    assert records.find_damaged_file(data, "train") == (path, f"{left} of 20 examples")
