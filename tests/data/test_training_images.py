import dataclasses

import numpy as np

from supcon_tf.data.training_images import TrainingImages
from tests.data import numbered


def test_only_classes_with_images_to_train_on_are_counted(tmp_path):
    data = numbered.prepare(tmp_path, size=10, files=2)
    data = dataclasses.replace(data, class_names=(*data.class_names, "absent"))
    numbers = numbered.stored_numbers(data)
    some = TrainingImages(data, left_out=[position for position, number in enumerate(numbers) if number % 5 == 3])
    positions, sizes = some.classes
    assert sizes.tolist() == [2, 2, 2, 2]
    labels = np.delete(numbers, some.left_out)[positions] % 5
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 4, 4]
