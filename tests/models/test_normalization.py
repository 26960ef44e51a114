import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.models.normalization import with_images_on_each_replica
from tests.models.tiny import tiny_encoder

SHAPE = (8, 8, 3)


def shared_by_two(encoder, images):
    """Passes a batch through the check on two replicas, which share it as Keras shares the last batch of an epoch."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    batches = strategy.experimental_distribute_dataset(tf.data.Dataset.range(images).batch(4))

    @tf.function
    def step(batch):
        return strategy.run(lambda part: tf.reduce_sum(with_images_on_each_replica(part, encoder) + 1), [batch])

    return [strategy.experimental_local_results(step(batch)) for batch in batches]


def test_a_replica_without_images_is_named_where_batch_normalisation_needs_some():
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="a replica has no image of this batch.*drop_remainder=True"
    ):
        shared_by_two(tiny_encoder(SHAPE), 9)
    assert np.ravel(shared_by_two(tiny_encoder(SHAPE), 8)).tolist() == [3, 7, 11, 15]
    without = keras.Sequential([keras.layers.Flatten(input_shape=SHAPE)])
    assert np.ravel(shared_by_two(without, 9)).tolist() == [3, 7, 11, 15, 9, 0]
