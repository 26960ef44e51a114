import pytest

from supcon_tf import config as config_lib
from supcon_tf.augment import views
from supcon_tf.errors import ArgumentError
from supcon_tf.optimizers.by_name import make_optimizer


@pytest.mark.parametrize(
    "values, names, others",
    [
        (
            {"mode": "ce"},
            ["linear_epochs", "linear_augment", "temperature", "num_views", "projection_layers"],
            ["epochs"],
        ),
        ({"mode": "supcon"}, ["base_temperature"], ["linear_epochs", "temperature", "momentum", "jitter_strength"]),
        ({"scale_by_temperature": True}, [], ["base_temperature"]),
        ({"contrastive_loss": "triplet"}, ["temperature", "scale_by_temperature"], ["contrastive_loss"]),
        ({"contrastive_loss": "npairs"}, ["scale_by_temperature", "base_temperature"], ["temperature"]),
        ({"optimizer": "adam", "linear_optimizer": "lamb"}, ["momentum"], ["weight_decay"]),
        ({"optimizer": "adam"}, [], ["momentum"]),
        ({"optimizer": "adam", "mode": "ce"}, ["momentum"], []),
        ({"augment": "autoaugment"}, ["jitter_strength", "blur_on_device"], ["crop_min_area", "flip"]),
        ({"augment": ("autoaugment", "simclr")}, [], ["jitter_strength", "grey_probability"]),
        ({"augment": "autoaugment", "linear_augment": "simclr"}, [], ["jitter_strength"]),
        ({"augment": "none", "num_views": 1}, ["crop_min_area", "flip", "blur_probability"], ["eval_crop"]),
        (
            {"augment": "none", "num_views": 1, "linear_augment": "crop_flip"},
            ["jitter_style"],
            ["crop_min_area", "flip"],
        ),
    ],
)
def test_options_that_the_others_leave_without_effect_are_found(values, names, others):
    found = config_lib.without_effect(config_lib.from_values(values))
    assert {*names} <= {*found} and not {*others} & {*found}
    assert {*found} <= {option.name for option in config_lib.options()}


def test_policies_with_colours_are_those_of_the_augmentation():
    with_colours = {policy for policy, steps in views.POLICIES.items() if {"jitter", "grey", "blur"} & {*steps}}
    assert {*config_lib.COLOUR_POLICIES} == with_colours


def test_optimizers_with_momentum_are_those_that_take_it():
    def changes(name):
        one, other = (make_optimizer(name, 0.1, momentum=momentum).get_config() for momentum in (0.5, 0.9))
        return one != other

    assert tuple(name for name in config_lib.OPTIMIZERS if changes(name)) == config_lib.MOMENTUM_OPTIMIZERS


def test_a_loss_says_itself_which_options_it_takes(monkeypatch):
    loss = config_lib.ContrastiveLoss(("temperature", "anchors"), takes_with_soft_labels=("temperature",), views=3)
    monkeypatch.setitem(config_lib.CONTRASTIVE_LOSSES, "triplet", loss)
    given = {"contrastive_loss": "triplet", "num_views": 3}
    assert "temperature" not in config_lib.without_effect(config_lib.from_values({**given, "mix": "mixup"}))
    assert "scale_by_temperature" in config_lib.without_effect(config_lib.from_values({**given, "anchors": "one"}))
    for values, name in (
        ({"num_views": 2}, "num_views"),
        ({"summation": "in"}, "summation"),
        ({"mix": "mixup", "anchors": "one"}, "anchors"),
    ):
        with pytest.raises(ArgumentError) as error:
            config_lib.from_values({**given, **values})
        assert error.value.argument == name
