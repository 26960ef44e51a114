"""Sets each option to another value and looks whether anything that a run does becomes different."""

import contextlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import experiment as experiment_lib
from supcon_tf import models

ROOT = pathlib.Path(__file__).parents[1]

# Small and quick, and such that every option has something to act on.
BASE = {
    "mode": "supcon",
    "encoder": "small",
    "encoder_width": 0.25,
    "image_size": 12,
    "projection_layers": (8, 4),
    "pretrain_epochs": 12,
    "batch_size": 64,
    "linear_batch_size": 64,
    "crop_max_area": 0.9,
    "crop_min_area": 0.3,
    "linear_warmup_epochs": 1.0,
}

ANOTHER = {
    "mode": "simclr",
    "seed": 1,
    "log_every": 7,
    "checkpoint_minutes": 1.0,
    "train_split": "train[:50%]",
    "validation_split": "none",
    "eval_split": "test[:50%]",
    "max_examples": 300,
    "label_noise": 0.5,
    "classes_per_batch": 4,
    "unlabelled": "digits",
    "unlabelled_share": 0.25,
    "image_size": 10,
    "augment": ("crop_flip",),
    "jitter_style": "tensorflow",
    "randaugment_layers": 3,
    "randaugment_magnitude": 4.0,
    "mix": "mixup",
    "mix_alpha": 0.5,
    "augment_on_device": "on",
    "blur_on_device": "on",
    "num_views": 3,
    "crop_min_area": 0.5,
    "crop_max_area": 0.7,
    "crop_aspect": 2.0,
    "flip": "on",
    "jitter_strength": 0.5,
    "jitter_probability": 0.1,
    "blur_probability": 0.0,
    "eval_crop": 0.5,
    "encoder": "resnet18",
    "encoder_width": 0.5,
    "stem": "imagenet",
    "normalize_embedding": False,
    "projection_layers": (8, 2),
    "projection_batch_norm": True,
    "initialization": "pytorch",
    "zero_classifier": True,
    "normalize_projection": False,
    "sync_batch_norm": True,
    "contrastive_loss": "npairs",
    "temperature": 0.2,
    "learn_temperature": True,
    "summation": "in",
    "denominator": "only_negatives",
    "anchors": "one",
    "positives_cap": 2,
    "queue_size": 48,
    "momentum_encoder": 0.5,
    "microbatch_size": 16,
    "scale_by_temperature": True,
    "base_temperature": 0.5,
    "pretrain_epochs": 13,
    "batch_size": 32,
    "optimizer": "sgd",
    "learning_rate": 0.3,
    "warmup_epochs": 2.0,
    "scale_learning_rate": True,
    "schedule": "constant",
    "decay_rate": 0.5,
    "decay_epochs": (0.5,),
    "momentum": 0.5,
    "weight_decay": 0.1,
    "decay_normalization": True,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "linear_epochs": 7,
    "linear_batch_size": 32,
    "linear_optimizer": "adam",
    "linear_learning_rate": 0.3,
    "linear_warmup_epochs": 2.0,
    "linear_schedule": "constant",
    "linear_decay_rate": 0.5,
    "linear_decay_epochs": (2.0,),
    "linear_weight_decay": 0.1,
    "linear_augment": "none",
    "precision": "bfloat16",
    "jit_compile": True,
    "steps_per_execution": 3,
}

# What cannot be seen in one process on one data set of grey images, and the test that sees to it.
ELSEWHERE = {
    "grey_probability": "tests/augment/test_views.py",
    "dataset": "tests/data/test_load.py",
    "data_dir": "tests/data/test_load.py",
    "source_files": "tests/data/test_source_files.py",
    "on_bad_image": "tests/data/test_decoding.py",
    "cache": "tests/data/test_pipeline.py",
    "whitening": "tests/test_experiment.py",
    "encoder_weights": "tests/test_experiment.py",
    "warm_start": "tests/training/test_warm_start.py",
    "warm_start_parts": "tests/training/test_warm_start.py",
    "stages": "tests/end_to_end/test_app.py",
    "run_dir": "tests/end_to_end/test_app.py",
    "cpu_devices": "tests/end_to_end/test_app.py",
    "recipe": "tests/test_flags.py",
    "strategy": "tests/distribute/test_strategy.py",
    "tpu": "tests/distribute/test_strategy.py",
    "tpu_zone": "tests/distribute/test_strategy.py",
    "tpu_project": "tests/distribute/test_strategy.py",
}


# Options that another must be set for.
TOGETHER = {
    "mix_alpha": {"mix": "cutmix"},
    "randaugment_layers": {"augment": ("randaugment",)},
    "randaugment_magnitude": {"augment": ("randaugment",)},
    "base_temperature": {"scale_by_temperature": True},
    "momentum_encoder": {"queue_size": 32},
    "decay_rate": {"schedule": "piecewise", "decay_epochs": (1.0,)},
    "decay_epochs": {"schedule": "piecewise", "decay_epochs": (1.0,)},
    "linear_decay_rate": {"linear_schedule": "exponential", "linear_decay_epochs": (3.0,)},
    "linear_decay_epochs": {"linear_schedule": "exponential", "linear_decay_epochs": (3.0,)},
    "unlabelled": {"max_examples": 600},
    "unlabelled_share": {"unlabelled": "digits", "max_examples": 600},
}


def seen_in(model, stage, options):
    """What a stage was about to do, in numbers and names that can be compared."""
    last = range(stage.steps.total_steps - 40, stage.steps.total_steps, 5)
    rates = [float(stage.learning_rate(step)) for step in (1, 20, stage.steps.total_steps // 2, *last)]
    batch = next(iter(stage.make_batches(0, tf.distribute.InputContext())))
    views = tf.cast(model.batch_of(batch)["views"], tf.float32)
    answer = model(views if isinstance(model, models.ContrastiveModel) else views[:, 0])
    return (
        stage.name,
        stage.steps,
        rates,
        stage.validation and stage.validation[1],
        model.optimizer.get_config(),
        model.loss.get_config(),
        model._jit_compile,
        model.compiled_loss._user_loss_weights,
        int(model._steps_per_execution),
        [(weight.name, weight.shape.as_list()) for weight in model.weights],
        [getattr(layer, "synchronized", None) for layer in model.encoder.layers],
        [layer.compute_dtype for layer in model.encoder.layers],
        {name: value for name, value in model.get_config().items() if isinstance(value, (int, float))},
        float(tf.add_n(model.losses)) if model.losses else 0.0,
        [np.asarray(part, np.float64).round(4).tolist() for part in (*tf.nest.flatten(batch), answer)],
        (options["log_every"], options["checkpoint_minutes"]),
    )


@pytest.fixture(scope="module")
def observe(digits_dir, tmp_path_factory):
    """Options → what a run with them sees and does, part by part, without training."""
    gradient = tf.constant(np.add.outer(np.arange(30), np.arange(40))[..., np.newaxis] * 3, tf.uint8)

    def run(values, linear_first=False):
        seen = []

        def look(model, stage, run_dir, **options):
            seen.append(seen_in(model, stage, options))

        config = config_lib.from_values({**BASE, "dataset": "digits", "data_dir": digits_dir, **values})
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp("runs"))
            patch.setattr(experiment_lib, "fit", look)
            patch.setattr(experiment_lib, "_require", lambda *_, **__: None)
            patch.setattr(experiment_lib.checkpoints, "restore", lambda *_, **__: None)
            experiment_lib.set_precision(config.hardware.precision)
            experiment = experiment_lib.prepare(config, tf.distribute.OneDeviceStrategy("/cpu:0"))
            final = (experiment.data.eval_split, experiment.data.num_examples(experiment.data.eval_split))
            yield final, experiment.evaluation_view(gradient).numpy().tolist()
            stages = [experiment_lib.pretrain, experiment_lib.train_linear_classifier]
            for stage in reversed(stages) if linear_first else stages:
                stage(experiment)
                yield seen.pop()

    return run


@pytest.fixture(scope="module")
def before(observe):
    """What a run does when no option is set to another value, with the linear stage last, and first."""
    first, *stages = observe({})
    return [first, *stages], [first, *reversed(stages)]


@pytest.mark.slow
def test_the_same_options_do_the_same(observe, before):
    assert list(observe({})) == before[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ANOTHER)
def test_option_changes_what_a_run_does(name, observe, before):
    others, linear_first = TOGETHER.get(name, {}), name.startswith("linear_")
    usual = list(observe(others, linear_first)) if others else before[linear_first]
    with contextlib.closing(observe({**others, name: ANOTHER[name]}, linear_first)) as seen:
        assert any(part != its for part, its in zip(seen, usual))  # looks no further than to the first difference


def test_every_option_is_looked_at():
    assert {*ANOTHER, *ELSEWHERE} == {option.name for option in config_lib.options()}
    assert not {*ANOTHER} & {*ELSEWHERE}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_test_that_is_named_speaks_of_the_option(name):
    assert name in (ROOT / ELSEWHERE[name]).read_text()
