"""A last batch that leaves replicas different numbers of images takes the step of one device."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.losses import SupConLoss
from supcon_tf.models import Classifier, ContrastiveModel, CrossEntropy, ProjectionHead

SHAPE, IMAGES = (6, 6, 3), 7  # 4 and 3 on two replicas


def encoder():
    """Has no statistics of the batch, which would differ between replicas."""
    images = keras.Input(SHAPE)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = keras.layers.Conv2D(4, 3, activation="tanh", kernel_initializer=keras.initializers.HeNormal(0))(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def trained(kind, replicas, images, reduction="auto", weights=None, **options):
    """Returns the weights after a step of plain gradient descent, and the loss that it reports."""
    rng = np.random.default_rng(0)
    views, labels = rng.integers(0, 256, (images, 2, *SHAPE)).astype(np.uint8), np.arange(images) % 3
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    with strategy.scope():
        if kind == "classifier":
            model = Classifier(encoder(), 3, freeze_encoder=False, weight_decay=0.1, seed=1)
            model.compile(keras.optimizers.SGD(1.0), CrossEntropy(reduction=reduction))
            views = views[:, 0]
        else:
            head = ProjectionHead((8, 4), seed=1)
            model = ContrastiveModel(encoder(), head, num_classes=3, weight_decay=0.1, seed=1, **options)
            model.compile(keras.optimizers.SGD(1.0), SupConLoss(0.5, reduction=reduction))
    data = (views, labels) if weights is None else (views, labels, np.array(weights[:images], np.float32))
    history = model.fit(tf.data.Dataset.from_tensor_slices(data).batch(8), verbose=0).history
    return [weight.numpy() for weight in model.trainable_weights], history["loss"][0]


WEIGHTS = {"weights": [0.5, 2.0, 1.0, 0.0, 3.0, 1.0, 1.0]}
CASES = [
    ("classifier", IMAGES, WEIGHTS),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("contrastive", IMAGES, {}),
            ("contrastive", 1, {"microbatch_size": 2}),  # a replica has no image
            ("contrastive", IMAGES, WEIGHTS),
            ("classifier", 1, {}),
            ("classifier", IMAGES, {"reduction": "sum"}),
            ("contrastive", IMAGES, {"reduction": "sum"}),
        )
    ),
]


@pytest.mark.parametrize("kind, images, options", CASES, ids=str)
def test_two_replicas_take_the_step_of_one_device(kind, images, options):
    (weights, loss), (expected, expected_loss) = (trained(kind, n, images, **options) for n in (2, 1))
    for weight, other in zip(weights, expected):
        np.testing.assert_allclose(weight, other, rtol=2e-6, atol=2e-6)  # some weights are above 10
    if "reduction" not in options:  # Keras reports the mean over replicas of their sums
        assert loss == pytest.approx(expected_loss, rel=1e-5)
