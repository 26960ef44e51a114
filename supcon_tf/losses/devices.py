"""Choices that depend on the device: CPUs want tiles that fit their caches, accelerators want large ones."""

import tensorflow as tf

from supcon_tf.shapes import Size, maximum, minimum

ACCELERATOR_TILE = 2048


def only_cpus() -> bool:
    """Tells whether TensorFlow sees no accelerator."""
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def default_tile_size(length: Size) -> Size:
    """Returns the number of rows of a tile, out of `length` rows: one sixteenth on CPUs, between 512 and 1024."""
    if not only_cpus():
        return ACCELERATOR_TILE
    return maximum(512, minimum(length // 16, 1024))
