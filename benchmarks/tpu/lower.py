"""Writes the training step of one of the paper's recipes as the program that each core of a TPU pod would run.

    PYTHONPATH=. .venv/bin/python benchmarks/tpu/lower.py RECIPE FOLDER

RECIPE is a key of `RECIPES`; `--list` prints them. The script writes three programs in XLA's HLO into the folder: the
step; the loss with its gradient alone, with the shapes of the step; and this loss with products in full float32.
`recipe.json` describes the recipe.

The model, the loss and the step are those of the application. Images are zeros of the right shape. `replica.py` makes
the program that of one replica.
"""

import json
import os
import pathlib
import sys
from typing import Any, Callable, Dict, NamedTuple, Tuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from replica import PodStrategy, replica_of
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import optimizers
from supcon_tf.losses import devices
from supcon_tf.models.precision import precision_policy
from supcon_tf.run import build

IMAGE_SHAPE, VIEWS, CLASSES = (224, 224, 3), 2, 1000
STEPS = 1000  # length of a schedule that is never run

# Options of the authors' ImageNet scripts that change the program.
COMMON = {"dataset": "imagenet2012", "precision": "bfloat16", "sync_batch_norm": True, "optimizer": "nesterov"}
MODES: Dict[str, Dict[str, Any]] = {
    "supcon": {"projection_layers": (128,), "scale_by_temperature": True, "weight_decay": 1e-4},
    "simclr": {
        "projection_layers": (2048, 2048, 128),
        "projection_batch_norm": True,
        "normalize_embedding": False,
        "weight_decay": 1e-4,
    },
    "ce": {"normalize_embedding": False, "weight_decay": 1e-4},
}


class Recipe(NamedTuple):
    """A stage of a recipe, and the number of cores that the authors used."""

    mode: str
    encoder: str
    stage: str
    batch: int
    cores: int

    @property
    def images_per_core(self) -> int:
        return self.batch // self.cores

    @property
    def contrastive(self) -> bool:
        return self.mode != "ce" and self.stage == "pretrain"


RECIPES: Dict[str, Recipe] = {
    "supcon_resnet50": Recipe("supcon", "resnet50", "pretrain", 6144, 128),
    "supcon_resnet101": Recipe("supcon", "resnet101", "pretrain", 4096, 128),
    "supcon_resnet200": Recipe("supcon", "resnet200", "pretrain", 4096, 256),
    "simclr_resnet50": Recipe("simclr", "resnet50", "pretrain", 6144, 128),
    "ce_resnet50": Recipe("ce", "resnet50", "pretrain", 6144, 128),
    "ce_resnet200": Recipe("ce", "resnet200", "pretrain", 4096, 256),
    "linear_resnet50": Recipe("supcon", "resnet50", "linear", 6144, 128),
}


def make_model(recipe: Recipe, strategy: tf.distribute.Strategy) -> keras.Model:
    """Returns the compiled model of the stage, with all its variables."""
    values = {**COMMON, **MODES[recipe.mode], "mode": recipe.mode, "encoder": recipe.encoder}
    config = config_lib.from_values({**values, "batch_size": recipe.batch, "linear_weight_decay": 1e-6})
    optimizer = optimizers.make_optimizer(config.pretrain.optimizer, optimizers.WarmupThenDecay(1.0, 0, STEPS))
    with strategy.scope(), precision_policy(config.hardware.precision):
        if recipe.contrastive:
            model: keras.Model = build.make_contrastive_model(config, IMAGE_SHAPE, CLASSES)
            model.compile(optimizer, build.make_contrastive_loss(config, model))
        else:
            model = build.make_classifier(config, IMAGE_SHAPE, CLASSES, stage=recipe.stage)
            build.compile_classifier(model, optimizer, config.hardware)
        optimizer.build(model.trainable_variables)
    return model


def batch(recipe: Recipe) -> Tuple[tf.Tensor, ...]:
    """Returns a core's share of a batch: uint8 images, labels, and weights for a classifier."""
    images = recipe.images_per_core
    labels = tf.zeros([images], tf.int32)
    if recipe.contrastive:
        return tf.zeros([images, VIEWS, *IMAGE_SHAPE], tf.uint8), labels
    return tf.zeros([images, *IMAGE_SHAPE], tf.uint8), labels, tf.ones([images])


def write(name: str, folder: pathlib.Path, function: Callable[..., Any], *inputs: tf.Tensor) -> None:
    """Writes `function(*inputs)` as a program."""
    compiled = tf.function(function, jit_compile=True, autograph=False)
    program = compiled.experimental_get_compiler_ir(*inputs)(stage="hlo_serialized")
    (folder / f"{name}.hlo").write_bytes(program)


def main(name: str, folder: pathlib.Path) -> None:
    """Writes the programs."""
    recipe = RECIPES[name]
    devices.only_cpus = lambda: False  # the loss's way on accelerators
    strategy = PodStrategy(recipe.cores)
    model = make_model(recipe, strategy)
    outputs = tf.zeros(
        [recipe.images_per_core, VIEWS, 128] if recipe.contrastive else [recipe.images_per_core, CLASSES]
    )
    inputs = batch(recipe)
    replica = tf.Variable(0)  # not a constant, because XLA would use its value

    def loss_alone(labels: tf.Tensor, outputs: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        with replica_of(strategy, replica), tf.GradientTape() as tape:
            tape.watch(outputs)
            value = tf.reduce_sum(model.loss.call(labels, outputs))
            return value, tape.gradient(value, outputs)

    def step(*data: tf.Tensor) -> Any:
        with replica_of(strategy, replica):
            return model.train_step(data)

    write("loss", folder, loss_alone, inputs[1], outputs)
    write("step", folder, step, *inputs)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    write("loss_float32", folder, loss_alone, inputs[1], outputs)
    (folder / "recipe.json").write_text(json.dumps({**recipe._asdict(), "images": recipe.images_per_core}))


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        sys.exit(print(*RECIPES))
    if len(sys.argv) != 3 or sys.argv[1] not in RECIPES:
        sys.exit(__doc__)
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
