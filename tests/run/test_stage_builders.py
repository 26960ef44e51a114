"""Training stages are built from options and images, without a run and its folder."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import losses, models
from supcon_tf.run import batches, resolve, schedule, stage_builders

OPTIONS = {
    "dataset": "digits",
    "encoder": "small",
    "encoder_width": 0.125,
    "projection_layers": (8,),
    "batch_size": 32,
    "linear_batch_size": 16,
    "pretrain_epochs": 2,
    "linear_epochs": 3,
    "warmup_epochs": 0.0,
    "augment": ("crop_flip",),
}


@pytest.mark.parametrize(
    ("mode", "stage", "model_class", "loss_class", "views"),
    [
        ("supcon", "pretrain", models.ContrastiveModel, losses.SupConLoss, 2),
        pytest.param("simclr", "pretrain", models.ContrastiveModel, losses.NTXentLoss, 2, marks=pytest.mark.slow),
        ("supcon", "linear", models.Classifier, models.CrossEntropy, 1),
        pytest.param("ce", "pretrain", models.Classifier, models.CrossEntropy, 1, marks=pytest.mark.slow),
    ],
)
def test_a_stage_needs_options_and_images_only(mode, stage, model_class, loss_class, views, digits_dir):
    options = config_lib.from_values({**OPTIONS, "data_dir": digits_dir, "mode": mode})
    config, data, *_ = resolve.resolve_config(options)
    images = batches.training_images(config.data, data, seed=0)
    shape = resolve.image_shape(config.data, data)
    steps = schedule.step_schedule(config, stage, images, None, 1)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    if model_class is models.Classifier:
        built = stage_builders.build_classifier_training(config, stage, images, steps, shape, strategy)
    else:
        built = stage_builders.build_contrastive_training(config, images, steps, shape, strategy)

    model = built.model
    assert type(model) is model_class and type(model.loss) is loss_class
    assert model.freeze_encoder == (stage == "linear") if model_class is models.Classifier else built.callbacks
    batch = next(iter(built.stage.make_batches(0, tf.distribute.InputContext())))
    size = OPTIONS["linear_batch_size" if stage == "linear" else "batch_size"]
    assert batch["views"].shape[:2] == (size, views)
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(tf.data.Dataset.from_tensors(batch), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert not all(np.array_equal(weight, old) for weight, old in zip(model.trainable_weights, before))
