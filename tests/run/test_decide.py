"""What the images decide: sizes, encoder, batch, epochs and views."""

import itertools

import pytest

from supcon_tf import config as config_lib
from supcon_tf.data.look import Look
from supcon_tf.run import decide as decide_lib
from supcon_tf.run.decide import ONE_CPU, SIDES, Devices, decide, image_side
from supcon_tf.run.looked_at import looked_at_text

ALL = [option.name for option in config_lib.options()]


def look(images=3000, classes=10, side=28, kind="tiny"):
    return Look(images, (images // classes,) * classes, side, side, side, kind)


def decided(seen, mode="supcon", devices=ONE_CPU, undecided=ALL, **given):
    config = config_lib.from_values({"mode": mode, "warmup_epochs": 0.0, **given})
    names = [name for name in undecided if name not in given]
    return {name: entry.value for name, entry in decide(seen, config, names, devices).items()}


@pytest.mark.parametrize(
    ("side", "accelerated", "expected"),
    [(28, False, 32), (32, False, 32), (40, False, 48), (65, True, 96), (500, False, 160), (500, True, 224)],
)
def test_images_are_enlarged_to_the_next_size_at_most(side, accelerated, expected):
    assert image_side(look(side=side), Devices(accelerated=accelerated)) == expected


def test_images_of_unknown_size_count_as_photographs():
    assert image_side(look(side=None), Devices()) == 160 and 160 in SIDES


@pytest.mark.parametrize("images", [1, 2, 7, 40, 300, 3000, 60_000, 1_300_000])
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_batch_fits_the_images_and_the_replicas(images, replicas):
    size = decided(look(images), devices=Devices(replicas))["batch_size"]
    assert size % replicas == 0 and (size <= images or size == replicas)


def test_a_batch_fits_the_options_that_are_given():
    values = decided(look(), classes_per_batch=5, microbatch_size=4)
    assert values["batch_size"] % 20 == 0


@pytest.mark.parametrize("mode, kind", itertools.product(config_lib.MODES, ("tiny", "drawn", "photograph")))
@pytest.mark.parametrize("accelerated", [False, True])
def test_what_is_decided_is_allowed_together(mode, kind, accelerated):
    seen = look(side=28 if kind == "tiny" else 700, kind=kind)
    values = decided(seen, mode, Devices(accelerated=accelerated))
    config_lib.from_values({"mode": mode, **values})
    assert set(values) <= set(config_lib.DECIDED_BY_IMAGES)


@pytest.mark.parametrize("name", sorted({*config_lib.DECIDED_BY_IMAGES} - {"microbatch_size"}))  # memory decides it
def test_each_option_is_decided_for_some_images(name):
    cases = [look(), look(side=700, kind="photograph"), look(side=700, kind="drawn")]
    assert any(name in decided(seen, mode) for seen in cases for mode in config_lib.MODES)


def test_nothing_that_is_given_is_decided():
    assert decided(look(), undecided=[]) == {}
    values = decided(look(), pretrain_epochs=1)
    assert "pretrain_epochs" not in values and values["warmup_epochs"] < 1


def test_the_solver_is_left_alone_where_options_of_the_other_are_given():
    assert decided(look())["linear_solver"] == "lbfgs"
    assert "linear_solver" not in decided(look(), linear_epochs=3)
    assert decided(look(), linear_weight_decay=0.01)["linear_solver"] == "lbfgs"
    assert "linear_solver" not in decided(look(), "ce")


def test_few_steps_have_more_warm_up():
    """With a fiftieth, that is one or two steps, the contrastive loss of small collections stayed at log(N-1)."""
    few, many = decided(look(200), pretrain_epochs=60), decided(look(3000))
    assert few["warmup_epochs"] == 6.0 and many["warmup_epochs"] == 0.8
    budgeted = decide_lib.warm_up(10, steps_per_epoch=47)
    assert budgeted.value == 1.0 and budgeted.reason == "few steps"


def test_few_images_are_seen_more_often():
    epochs = [decided(look(images))["pretrain_epochs"] for images in (100, 3000, 1_000_000)]
    assert epochs == sorted(epochs, reverse=True) and len(set(epochs)) == 3


def test_simclr_keeps_the_views_that_it_needs():
    assert "augment" not in decided(look(), "simclr") and decided(look())["augment"] == ("crop_flip",)


def test_what_was_seen_is_said_in_words():
    seen = Look(103, (100, 3), 640, 200, 4000, "photograph")
    lines = looked_at_text(seen, decide(seen, config_lib.Config(), ["image_size"], ONE_CPU)).splitlines()
    assert lines == [
        "103 training images in 2 classes of 3 to 100, longer sides of 200 to 4,000 pixels; they count as photographs",
        "Classes with fewer than 20 training images: 1; an encoder trained before helps (--preset=finetune)",
        "The largest class has 33 times the images of the smallest; --classes_per_batch balances batches",
        "Chosen for these images; a flag by hand wins:",
        "  --image_size=160  (the images have about 640 pixels a side)",
    ]
    assert looked_at_text(seen, {}) == looked_at_text(None, {}) == ""


def test_nothing_is_decided_that_the_mode_does_not_read():
    assert "projection_layers" in decided(look()) and "projection_layers" not in decided(look(), "ce")
