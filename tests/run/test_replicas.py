"""Checks that the models of a run stay equal on all replicas, and train as on one: every optimizer, mode and loss.

All of it is slow: tests/optimizers and tests/models have fast tests of an optimizer and of a step on two replicas.
"""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.optimizers import WarmupThenDecay
from supcon_tf.run import build

STEPS, BATCH, CLASSES, SHAPE = 5, 8, 3, (8, 8, 1)
TINY = {
    "encoder": "small",
    "encoder_width": 0.125,
    "projection_layers": (8, 4),
    "projection_batch_norm": True,
    "sync_batch_norm": True,
    "weight_decay": 0.1,
    "batch_size": BATCH,
}
MODES = [
    {"mode": "simclr"},
    {"mode": "ce"},
    {"mode": "ce", "mix": "mixup", "label_smoothing": 0.1},
    {"learn_temperature": True},
    {"queue_size": 16},
    {"joint_ce": 0.5},
    {"clip_norm": 0.1},
    {"summation": "in", "denominator": "one_positive"},
    {"denominator": "only_negatives", "positives_cap": 1},
    {"anchors": "one"},
    {"contrastive_loss": "npairs"},
    {"contrastive_loss": "triplet"},
]


def trained(options, replicas):
    """Returns the models' weights after training, for each its values on all replicas, by name and position."""
    devices = [f"CPU:{i}" for i in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(devices) if replicas > 1 else tf.distribute.OneDeviceStrategy(devices[0])
    config = config_lib.from_values({"mode": "supcon", **TINY, **options})
    rng = np.random.default_rng(0)
    views = 1 if config.run.mode == "ce" else 2
    images = rng.integers(0, 256, (STEPS * BATCH, views, *SHAPE)).astype(np.uint8)
    labels = rng.integers(0, CLASSES, STEPS * BATCH)
    rate = WarmupThenDecay(0.02, 2, STEPS)
    with strategy.scope():
        if config.run.mode == "ce":
            model = build.make_classifier(config, SHAPE, CLASSES, stage="pretrain")
            optimizer = build.make_optimizer(config.pretrain, config.training, model, rate)
            smoothing = config.training.label_smoothing
            build.compile_classifier(model, optimizer, config.hardware, label_smoothing=smoothing)
        else:
            model = build.make_contrastive_model(config, SHAPE, CLASSES)
            optimizer = build.make_optimizer(config.pretrain, config.training, model, rate)
            build.compile_contrastive_model(model, optimizer, config)
        starts = {weight.name: weight.numpy() for weight in model.trainable_weights}
    model.fit(tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH, drop_remainder=True), verbose=0)
    ends = {
        weight.name: [copy.numpy() for copy in strategy.experimental_local_results(weight)]
        for weight in model.trainable_weights
    }
    assert len(ends) == len(model.trainable_weights)
    return starts, ends


def check(options):
    starts, two_replicas = trained(options, 2)
    _, one_replica = trained(options, 1)
    # Adam-like optimizers divide small gradients by their size, which amplifies rounding.
    tolerance = 1e-2 if options["optimizer"] in ("adam", "adamw", "lamb", "rmsprop") else 1e-3
    for name, (first, second) in two_replicas.items():
        np.testing.assert_array_equal(second, first, err_msg=name)
        (expected,) = one_replica[name]
        moved = np.abs(expected - starts[name]).max()
        np.testing.assert_allclose(first, expected, rtol=0, atol=tolerance * moved + 1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", config_lib.OPTIMIZERS)
def test_two_replicas_train_as_one_device_with_every_optimizer(name):
    check({"optimizer": name})


@pytest.mark.slow
@pytest.mark.parametrize("options", MODES, ids=str)
def test_two_replicas_train_as_one_device_in_every_mode(options):
    check({"optimizer": "lars", **options})


@pytest.mark.slow
def test_replicas_stay_equal_with_microbatches():
    """Statistics of microbatches depend on which images are together, so that one device trains other weights."""
    _, ends = trained({"optimizer": "lars", "microbatch_size": 2}, 2)
    for name, (first, second) in ends.items():
        np.testing.assert_array_equal(second, first, err_msg=name)
