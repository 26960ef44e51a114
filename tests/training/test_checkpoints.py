import os

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import UserError
from supcon_tf.optimizers import make_optimizer
from supcon_tf.training.checkpoints import Checkpoints, Misfit, exist, latest_step, restore, restore_elsewhere


def make_model(optimizer="nesterov"):
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, name="linear")])
    model.build((None, 3))
    model.compile(make_optimizer(optimizer, keras.optimizers.schedules.PolynomialDecay(0.1, 1, 0.1)), "mse")
    return model


def train(model, steps):
    for step in range(steps):
        x = np.random.default_rng(step).normal(size=(4, 3)).astype(np.float32)
        model.train_on_batch(x, x.sum(axis=1, keepdims=True))


def test_a_restored_model_trains_like_an_uninterrupted_one(tmp_path):
    for optimizer in ("nesterov", "adamw", "lamb"):
        directory = str(tmp_path / optimizer)
        model = make_model(optimizer)
        train(model, 3)
        Checkpoints(model, directory).save()
        other = make_model(optimizer)
        checkpoints = Checkpoints(other, directory)
        checkpoints.restore()
        assert checkpoints.step == latest_step(directory) == 3
        train(model, 2)
        train(other, 2)
        np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_without_a_checkpoint_the_stage_starts_at_step_0(tmp_path):
    checkpoints = Checkpoints(make_model(), str(tmp_path))
    checkpoints.restore()
    assert checkpoints.step == 0 and latest_step(str(tmp_path)) is None


def test_weights_that_are_not_finite_are_named_and_never_saved(tmp_path):
    model = make_model()
    train(model, 1)
    checkpoints = Checkpoints(model, str(tmp_path))
    checkpoints.save()
    model.layers[0].kernel.assign([[1.0], [np.nan], [1.0]])
    train(model, 1)
    with pytest.raises(UserError) as stopped:
        checkpoints.save()
    assert latest_step(str(tmp_path)) == 1
    assert str(stopped.value) == (
        "step 2: 1 of 1 weights are not finite, first linear/kernel; training stopped, the checkpoint of "
        "step 1 is kept. A lower learning_rate or more warmup_epochs usually helps"
    )


def test_weights_that_are_never_finite_leave_nothing_behind(tmp_path):
    model = make_model()
    model.layers[0].kernel.assign([[1.0], [np.inf], [1.0]])
    train(model, 1)
    with pytest.raises(UserError, match="not finite, .*; training stopped, nothing had been saved before"):
        Checkpoints(model, str(tmp_path)).save()
    assert latest_step(str(tmp_path)) is None


def test_weights_of_another_run_that_do_not_fit_are_a_misfit(tmp_path):
    model = make_model()
    train(model, 1)
    model.encoder = keras.layers.Dense(2)
    model.encoder.build((None, 3))
    Checkpoints(model, str(tmp_path)).save()
    other = keras.layers.Dense(4, name="other")
    other.build((None, 3))
    with pytest.raises(Misfit, match=r"has shape \((3, )?2,?\) there, \((3, )?4,?\) here$"):
        restore_elsewhere(str(tmp_path), encoder=other)


def test_two_checkpoints_are_kept(tmp_path):
    model = make_model()
    checkpoints = Checkpoints(model, str(tmp_path))
    for _ in range(4):
        train(model, 1)
        checkpoints.save()
    assert sorted(name for name in os.listdir(tmp_path) if name.endswith(".index")) == ["ckpt-3.index", "ckpt-4.index"]


def test_only_the_chief_writes_into_the_run(tmp_path):
    model = make_model()
    train(model, 1)
    Checkpoints(model, str(tmp_path), chief=False).save()
    assert os.listdir(tmp_path) == []


def test_parts_of_a_model_can_be_read_alone(tmp_path):
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = keras.layers.Dense(2)
            self.head = keras.layers.Dense(1)

        def call(self, x):
            return self.head(self.encoder(x))

    pair = Pair()
    pair(tf.zeros([1, 3]))
    pair.compile("sgd", "mse")
    pair.train_on_batch(np.ones([4, 3]), np.ones([4, 1]))
    Checkpoints(pair, str(tmp_path)).save()
    encoder = keras.layers.Dense(2)
    encoder.build((None, 3))
    restore(str(tmp_path), encoder=encoder)
    np.testing.assert_array_equal(encoder.kernel, pair.encoder.kernel)


def saved_twice(tmp_path):
    """Saves at steps 1 and 2; returns the weights of each."""
    model, ends = make_model(), []
    checkpoints = Checkpoints(model, str(tmp_path))
    for _ in range(2):
        train(model, 1)
        checkpoints.save()
        ends.append(model.get_weights()[0])
    return ends


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "changed": flip_a_byte,
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("file", ["ckpt-2.data-00000-of-00001", "ckpt-2.index"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, file, damage):
    first, second = saved_twice(tmp_path)
    DAMAGES[damage](tmp_path / file)
    model = make_model()
    checkpoints = Checkpoints(model, str(tmp_path))
    checkpoints.restore()
    np.testing.assert_array_equal(model.get_weights()[0], first)
    assert checkpoints.step == checkpoints.saved_step == latest_step(str(tmp_path)) == 1
    assert [*checkpoints.damaged] == ([] if "index" in file and damage == "missing" else [str(tmp_path / "ckpt-2")])
    for _ in range(3):
        x = np.random.default_rng(checkpoints.step).normal(size=(4, 3)).astype(np.float32)
        model.train_on_batch(x, x.sum(axis=1, keepdims=True))
        checkpoints.save()
    assert latest_step(str(tmp_path)) == 4 and second.shape == first.shape
    kept = sorted(name for name in os.listdir(tmp_path) if name.endswith(".index"))
    assert kept == ["ckpt-3.index", "ckpt-4.index"]


def test_a_checkpoint_is_read_once_for_all_looks_until_its_files_change(tmp_path, monkeypatch):
    saved_twice(tmp_path)
    opened = []
    reader = tf.compat.v1.train.NewCheckpointReader
    monkeypatch.setattr(tf.compat.v1.train, "NewCheckpointReader", lambda path: opened.append(path) or reader(path))
    assert [latest_step(str(tmp_path)) for _ in range(3)] == [2, 2, 2]
    assert opened == [str(tmp_path / "ckpt-2")]
    damaged = tmp_path / "ckpt-2.data-00000-of-00001"
    flip_a_byte(damaged)  # the size stays
    os.utime(damaged, (0, 0))  # TensorFlow tells times of change in whole seconds
    assert latest_step(str(tmp_path)) == 1


@pytest.mark.parametrize("content", [b"", b"nonsense", b'model_checkpoint_path: "ckpt-9"', None])
def test_the_list_of_checkpoints_is_not_needed(tmp_path, content):
    """TensorFlow's file `checkpoint` may be empty, wrong or missing: the checkpoints are those whose files exist."""
    _, second = saved_twice(tmp_path)
    if content is None:
        (tmp_path / "checkpoint").unlink()
    else:
        (tmp_path / "checkpoint").write_bytes(content)
    model = make_model()
    checkpoints = Checkpoints(model, str(tmp_path))
    checkpoints.restore()
    assert checkpoints.saved_step == 2
    np.testing.assert_array_equal(model.get_weights()[0], second)


def test_checkpoints_none_of_which_can_be_read_are_named(tmp_path):
    saved_twice(tmp_path)
    for step in (1, 2):
        (tmp_path / f"ckpt-{step}.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(UserError, match=f"ckpt-2: cannot be read .* nor can any other checkpoint in {tmp_path}; "):
        Checkpoints(make_model(), str(tmp_path)).restore()
    assert latest_step(str(tmp_path)) is None and exist(str(tmp_path))


def test_a_checkpoint_of_another_optimizer_is_told_apart_from_a_damaged_one(tmp_path):
    saved_twice(tmp_path)
    with pytest.raises(UserError, match="ckpt-2: holds other weights than this model .* give another run_dir$"):
        Checkpoints(make_model("lamb"), str(tmp_path)).restore()
