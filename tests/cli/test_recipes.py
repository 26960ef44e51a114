"""Recipes against docs/recipes.md, whose tables are written from the sources, and against the sources' step counts."""

import pathlib
import re

import numpy as np
import pytest

from supcon_tf import config as config_lib
from supcon_tf.cli import flags
from supcon_tf.data.steps import StepSchedule
from supcon_tf.run import schedule as schedules

ROOT = pathlib.Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "supcon_tf" / "recipes").glob("*.cfg"))
OURS = [name for name in RECIPES if name.split("_")[0] in ("digits", "fashion", "default", "preset")]
PUBLISHED = [name for name in RECIPES if name not in OURS]
IMAGES = {"imagenet2012": 1_281_167, "cifar10": 50_000, "cifar100": 50_000}
CHOSEN = ("recipe",)  # what is no value of a recipe


def rows_of_tables():
    """Recipe → row → cell, of all tables whose columns are recipes."""
    found, header = {}, None
    for line in (ROOT / "docs" / "recipes.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = None
        elif cells[0] == "option":
            header = [cell.strip("`") for cell in cells]
        elif header and not set(cells[0]) <= {"-"}:
            for recipe, cell in zip(header[1:-1], cells[1:-1]):
                found.setdefault(recipe, {})[cells[0]] = cell
            assert header[-1] == "source"
    return found


TABLES = rows_of_tables()


def table_of(recipe):
    """The column of a recipe; those of CIFAR-100 are CIFAR-10's, with the other data set."""
    column = TABLES[recipe.replace("cifar100", "cifar10")]
    return {**column, "dataset": recipe.split("_")[0]}


def config_of(recipe):
    return flags.parse(["app.py", f"--recipe={recipe}"]).config


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_every_value_is_that_of_the_table(recipe):
    table, values = table_of(recipe), config_lib.values(config_of(recipe))
    defaults = config_lib.values(config_lib.Config())
    for name, value in values.items():
        if name not in CHOSEN:
            told = table.get(name, "–")
            usual = config_lib.option_text(name, defaults[name])
            assert config_lib.option_text(name, value) == (usual if told == "–" else told), name
    assert {*table} - {"steps", "peak rate"} <= {*values}


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_in_a_recipe_that_changes_nothing(recipe):
    mode = ["--mode=supcon"] if recipe.startswith("preset_") else []
    command = flags.parse(["app.py", f"--recipe={recipe}", "--dataset=x", *mode])
    defaults = config_lib.values(config_lib.Config())
    for name, value in config_lib.values(command.config).items():
        if command.sources[name].startswith("recipe") and name != "mode":
            assert value != defaults[name] or name in SAID_FOR_THE_READER, name


# At their defaults now; what a recipe is known by stays in it.
SAID_FOR_THE_READER = (
    *("augment", "encoder", "temperature", "optimizer", "batch_size", "learning_rate", "warmup_epochs", "weight_decay"),
    *("projection_layers", "pretrain_epochs", "linear_optimizer", "linear_batch_size", "linear_learning_rate"),
    *("momentum_encoder", "dataset", "linear_decay_rate", "linear_epochs"),
    *("joint_ce", "linear_solver"),  # which the images would otherwise decide
)


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_the_command_at_its_head_runs_it(recipe):
    program, *arguments = (ROOT / "supcon_tf" / "recipes" / f"{recipe}.cfg").read_text().splitlines()[1].split()[2:]
    assert flags.parse([program, *arguments]).config.run.recipe == recipe


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_told_of_with_what_it_reached(recipe):
    assert re.search(rf"^\|.*`{recipe}`.*\|.*\|.*\|$", (ROOT / "docs" / "recipes.md").read_text(), re.MULTILINE)


def epochs_of(recipe, stage):
    config = config_of(recipe)
    images = IMAGES[recipe.split("_")[0]]
    if stage == "linear":
        return StepSchedule(config.linear.batch_size, images, config.linear.epochs)
    return StepSchedule(config.pretrain.batch_size, images, config.pretrain.epochs)


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_first_stage_has_the_sources_steps_and_rates(recipe):
    config, epochs, table = config_of(recipe), epochs_of(recipe, "pretrain"), table_of(recipe)
    assert epochs.total_steps == int(table["steps"])
    schedule = schedules.learning_rate_schedule(config, "pretrain", epochs)
    batch, total = config.pretrain.batch_size, epochs.total_steps
    warmup = int(config.pretrain.warmup_epochs * IMAGES[recipe.split("_")[0]] / batch)
    peak = float(table.get("peak rate", table["learning_rate"]))
    middle = (warmup + total) // 2
    cosine = 0.5 * (1 + np.cos(np.pi * (middle - warmup) / (total - warmup)))
    expected = {0: 0.0, warmup // 2: peak * (warmup // 2) / warmup, warmup: peak, middle: peak * cosine, total: 0.0}
    for step, rate in expected.items():
        np.testing.assert_allclose(schedule(step), rate, rtol=1e-4, atol=1e-5 * peak)


# Steps of both stages in google-research/supcon, which rounds their sum; the rates follow from the steps.
WITH_BOTH_STAGES = {
    "imagenet2012_supcon": 91750,
    "imagenet2012_supcon_resnet101": 137625,
    "imagenet2012_supcon_resnet200": 247100,
    "imagenet2012_simclr": 39619,
    "cifar10_supcon_tensorflow": 13427,
    "cifar10_simclr_tensorflow": 23925,
}


@pytest.mark.parametrize("recipe", WITH_BOTH_STAGES)
def test_both_stages_have_the_sources_steps_or_one_less(recipe):
    steps = sum(epochs_of(recipe, stage).total_steps for stage in ("pretrain", "linear"))
    assert WITH_BOTH_STAGES[recipe] - steps in (0, 1)


# Shares of the peak that are left at these epochs, counted from the end of the warm-up.
EXPONENTIAL = {0.25: 1.0, 0.75: 0.97, 39.25: 0.97**78, 77.75: 0.97**155}  # of 78 epochs
PIECEWISE = {0.5: 1.0, 59.5: 1.0, 60.5: 0.2, 75.5: 0.04, 90.5: 0.008, 99.5: 0.008}
COSINE = {0.0: 1.0, 0.5: 0.5, 1.0: 0.0}  # these are shares of the decay


@pytest.mark.parametrize("recipe", [recipe for recipe in PUBLISHED if "_ce" not in recipe])
def test_linear_stage_has_the_sources_rates(recipe):
    epochs, table = epochs_of(recipe, "linear"), table_of(recipe)
    schedule = schedules.learning_rate_schedule(config_of(recipe), "linear", epochs)
    scaled = "scale_learning_rate" in table and table["scale_learning_rate"] == "on"
    peak = float(table["linear_learning_rate"]) * (epochs.batch_size / 256 if scaled else 1)
    warmup = 12 if "imagenet" in recipe else 0
    if warmup:
        np.testing.assert_allclose(schedule(0), 0, atol=1e-9)
        np.testing.assert_allclose(schedule(int(6 * epochs.steps_per_epoch)), peak / 2, rtol=1e-3)
    decay, shares = table.get("linear_schedule", "–"), COSINE
    if decay != "–":
        shares = {"exponential": EXPONENTIAL, "piecewise": PIECEWISE}[decay]
    length = 1 if decay != "–" else int(table["linear_epochs"]) - warmup
    for epoch, share in shares.items():
        step = int((warmup + epoch * length) * epochs.steps_per_epoch)
        np.testing.assert_allclose(schedule(step), share * peak, rtol=2e-3, atol=2e-3 * peak * (share == 0))


def test_encoder_by_hand_chooses_its_recipe():
    def recipe(*arguments):
        return flags.parse(["app.py", "--dataset=imagenet2012", *arguments]).config.run.recipe

    assert recipe("--mode=supcon") == "imagenet2012_supcon"
    assert recipe("--mode=supcon", "--encoder=resnet200") == "imagenet2012_supcon_resnet200"
    assert recipe("--mode=ce", "--encoder=resnet101") == "imagenet2012_ce"
