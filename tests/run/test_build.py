"""Models, losses and optimizers are built from options alone, without a run."""

import pytest
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import losses, optimizers
from supcon_tf.run import build

SHAPE, CLASSES = (8, 8, 3), 3
TINY = {"mode": "supcon", "encoder": "small", "encoder_width": 0.125, "projection_layers": (8,), "warmup_epochs": 0.0}
RATE = optimizers.WarmupThenDecay(0.1, 0, 10)


def config_of(**values):
    return config_lib.from_values({**TINY, **values})


@pytest.mark.parametrize("name", config_lib.OPTIMIZERS)
def test_weights_decay_in_the_loss_or_in_the_optimizer_but_not_in_both(name):
    config = config_of(
        optimizer=name, weight_decay=0.1, linear_optimizer=name, linear_weight_decay=0.2, linear_epochs=2
    )
    decays = optimizers.OPTIMIZERS[name].decays
    model = build.make_contrastive_model(config, SHAPE, CLASSES)
    classifier = build.make_classifier(config, SHAPE, CLASSES, stage="linear")
    assert len(model.losses) == len(classifier.losses) == (0 if decays else 1)
    optimizer = build.make_optimizer(config.pretrain, config.training, model, RATE)
    settings = optimizer.get_config()
    in_optimizer = [settings.get(key) for key in ("weight_decay", "weight_decay_rate") if settings.get(key)]
    assert in_optimizer == ([0.1] if decays else [])


def test_a_classifier_that_no_stage_trains_has_no_decay_and_a_frozen_encoder():
    model = build.make_classifier(config_of(weight_decay=0.1), SHAPE, CLASSES)
    assert model.losses == [] and model.freeze_encoder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, losses.SupConLoss),
        ({"mode": "simclr"}, losses.NTXentLoss),
        ({"mix": "mixup"}, losses.MixedSupConLoss),
        ({"contrastive_loss": "npairs"}, losses.NPairsLoss),
        ({"contrastive_loss": "triplet"}, losses.TripletLoss),
    ],
)
def test_the_loss_is_the_one_that_mode_and_options_name(options, expected):
    config = config_of(**options)
    model = build.make_contrastive_model(config, SHAPE, CLASSES)
    loss = build.make_contrastive_loss(config, model)
    assert type(loss) is expected
    build.compile_contrastive_model(model, keras.optimizers.SGD(), config)


def test_the_loss_weight_undoes_the_base_temperature_only_where_the_loss_is_scaled():
    assert build.loss_weight(config_lib.LossOptions(scale_by_temperature=True, base_temperature=0.07)) == 1 / 0.07
    assert build.loss_weight(config_lib.LossOptions(base_temperature=0.07)) == 1.0
