"""Sets each option to another value and checks that something a run does becomes different."""

import contextlib
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow import keras

from supcon_tf import augment, distribute, models
from supcon_tf import config as config_lib
from supcon_tf.cli import flags, main
from supcon_tf.errors import UserError
from supcon_tf.models.precision import precision_policy
from supcon_tf.run import build, stages
from supcon_tf.run import run as run_lib

# Small and quick, and every option has something to act on.
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
    "frozen_epochs": 1,
    "layer_decay": 0.5,
    "freeze_batch_norm": True,
    "class_balance": 0.9,
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
    "linear_solver": "lbfgs",
    "budget": "5epochs",
    "precision": "bfloat16",
    "jit_compile": True,
    "steps_per_execution": 3,
}

# Options that another must be set for.
TOGETHER = {
    "mix_alpha": {"mix": "cutmix"},
    "randaugment_layers": {"augment": ("randaugment",)},
    "randaugment_magnitude": {"augment": ("randaugment",)},
    "base_temperature": {"scale_by_temperature": True},
    "decay_rate": {"schedule": "piecewise", "decay_epochs": (1.0,)},
    "decay_epochs": {"schedule": "piecewise", "decay_epochs": (1.0,)},
    "linear_decay_rate": {"linear_schedule": "exponential", "linear_decay_epochs": (3.0,)},
    "linear_decay_epochs": {"linear_schedule": "exponential", "linear_decay_epochs": (3.0,)},
    "unlabelled": {"max_examples": 600},
    "unlabelled_share": {"unlabelled": "digits", "max_examples": 600},
}


def seen_in(model, stage):
    """Returns what a stage is about to do, in numbers and names that can be compared."""
    last = range(stage.steps.total_steps - 40, stage.steps.total_steps, 5)
    rates = [float(stage.learning_rate(step)) for step in (1, 20, stage.steps.total_steps // 2, *last)]
    batch = next(iter(stage.make_batches(0, tf.distribute.InputContext())))
    views = model.batch_of(batch)["views"]
    answer = model(tf.cast(views if isinstance(model, models.ContrastiveModel) else views[:, 0], tf.float32))
    return (
        stage.name,
        stage.steps,
        rates,
        stage.validation and stage.validation[1],
        stage.frozen_epochs,
        len(model.trainable_weights),
        model.optimizer.update_step.__qualname__,  # tests/optimizers/test_rates.py has the effect
        model.optimizer.get_config(),
        model.loss.get_config(),
        model._jit_compile,
        model.compiled_loss._user_loss_weights,
        int(model._steps_per_execution),
        [(weight.name, weight.shape.as_list()) for weight in model.weights],
        [getattr(layer, "synchronized", None) for layer in model.encoder.layers],
        [layer.compute_dtype for layer in model.encoder.layers],
        float(tf.add_n(model.losses)) if model.losses else 0.0,
        [np.asarray(part, np.float64).round(4).tolist() for part in (*tf.nest.flatten(batch), answer)],
    )


@pytest.fixture(scope="module")
def observe(digits_dir, tmp_path_factory):
    """Returns a function from options to what a run with them sees and does, part by part, without training."""
    gradient = tf.constant(np.add.outer(np.arange(30), np.arange(40))[..., np.newaxis] * 3, tf.uint8)

    def run(values, linear_first=False):
        config = config_lib.from_values({**BASE, "dataset": "digits", "data_dir": digits_dir, **values})
        with pytest.MonkeyPatch.context() as patch, precision_policy(config.hardware.precision):
            patch.chdir(tmp_path_factory.mktemp("runs"))
            experiment = run_lib.prepare(config, tf.distribute.OneDeviceStrategy("/cpu:0"))
            final = (experiment.data.eval_split, experiment.data.num_examples(experiment.data.eval_split))
            yield final, experiment.evaluation_view(gradient).numpy().tolist()
            for stage in ("linear", "pretrain") if linear_first else ("pretrain", "linear"):
                training = stages.build_training(experiment, stage)
                yield seen_in(training.model, training.stage)

    return run


@pytest.fixture(scope="module")
def before(observe):
    """Returns what a run with the base options does, with the linear stage last, and with it first."""
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


# Options whose effect a run on grey digits on one device does not show; the tests below look for it.


def test_grey_probability_changes_views_of_coloured_images():
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (12, 12, 3)), tf.uint8)

    def channels_differ(**options):
        made = augment.augmented_views(
            image,
            tf.constant([1, 2]),
            num_views=1,
            image_size=8,
            options=config_lib.AugmentOptions(jitter_probability=0.0, **options),
            flip=False,
        )
        return bool(np.ptp(made[0].numpy(), axis=-1).max() > 1e-3)

    assert channels_differ(grey_probability=0.0) and not channels_differ(grey_probability=1.0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of coloured images with two classes, one image of which cannot be decoded."""
    folder = tmp_path_factory.mktemp("pictures")
    for split, name in itertools.product(("train", "test"), ("cat", "dog")):
        (folder / split / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng([i, len(name), len(split)]).integers(0, 200, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def prepare(tmp_path, **values):
    small = {**BASE, "batch_size": 4, "linear_batch_size": 4, "data_dir": str(tmp_path / "data")}
    config = config_lib.from_values({**small, "run_dir": str(tmp_path / "run"), **values})
    return run_lib.prepare(config, tf.distribute.OneDeviceStrategy("/cpu:0"))


def test_dataset_and_data_dir_and_run_dir_choose_what_is_read_and_written(tmp_path, digits_dir, pictures):
    digits = prepare(tmp_path, dataset="digits", data_dir=digits_dir)
    folder = prepare(tmp_path, dataset=f"folder:{pictures}", run_dir=str(tmp_path / "other"))
    assert (digits.num_classes, folder.num_classes) == (10, 2)
    assert digits.data.builder.data_path.is_relative_to(digits_dir)
    assert folder.data.builder.data_path.is_relative_to(tmp_path / "data")
    assert [(tmp_path / name / "config.json").exists() for name in ("run", "other", "third")] == [True, True, False]


def test_class_level_decides_which_folders_are_classes(tmp_path, pictures):
    folder = tmp_path / "pictures"
    for year in ("2020", "2021"):
        shutil.copytree(pictures / "train", folder / year)
    classes = [
        prepare(tmp_path, dataset=f"folder:{folder}", run_dir=str(tmp_path / str(level)), class_level=level).data
        for level in (1, 2)
    ]
    assert [data.class_names for data in classes] == [("2020", "2021"), ("cat", "dog")]


def test_whitening_changes_the_encoders_first_layer(tmp_path, pictures):
    def rescaled(name, **values):
        experiment = prepare(tmp_path, dataset=f"folder:{pictures}", run_dir=str(tmp_path / name), **values)
        model = build.make_classifier(
            experiment.config, experiment.image_shape, experiment.num_classes, whitening=experiment.whitening
        )
        return model.encoder.get_layer("rescale")(np.full((1, 1, 1, 3), 100.0))

    assert np.abs(rescaled("auto") - rescaled("none", whitening="none")).max() > 0.1


def test_cache_decides_whether_encoded_images_stay_in_memory(tmp_path, digits_dir):
    held = {
        cache: prepare(tmp_path, dataset="digits", data_dir=digits_dir, cache=cache, run_dir=str(tmp_path / cache))
        for cache in ("memory", "off")
    }
    assert [held[cache].images.in_memory(1000) for cache in ("memory", "off")] == [True, False]


def test_bad_images_stop_a_run_or_are_skipped(tmp_path, pictures):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    (folder / "train" / "cat" / "9.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"9\.png"):
        prepare(tmp_path, dataset=f"folder:{folder}")
    assert prepare(tmp_path, dataset=f"folder:{folder}", on_bad_image="skip").images.size == 12


def test_source_files_are_looked_for_in_the_given_folder(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path / "originals")):
        prepare(tmp_path, dataset="cifar10", source_files=str(tmp_path / "originals"))


def test_encoder_weights_are_read(tmp_path, pictures):
    given = {"dataset": f"folder:{pictures}", "encoder": "keras:MobileNet", "encoder_width": 1.0, "image_size": 32}
    missing = str(tmp_path / "missing.h5")
    experiment = prepare(tmp_path, **given, encoder_weights=missing)
    stages.build_training(experiment, "linear")  # its weights come from a checkpoint
    with pytest.raises(UserError, match=r"missing\.h5"):
        stages.build_training(experiment, "linear", encoder_weights=True)


def test_a_model_with_a_lambda_layer_must_be_trusted(tmp_path, pictures):
    path = str(tmp_path / "model.h5")
    images = keras.Input([8, 8, 3])
    keras.Model(images, keras.layers.Flatten()(keras.layers.Lambda(lambda x: x)(images))).save(path)
    given = {"dataset": f"folder:{pictures}", "encoder": path, "encoder_width": 1.0, "image_size": 8}
    with pytest.raises(UserError, match="contains a Lambda layer"):
        stages.build_training(prepare(tmp_path / "a", **given), "linear")
    stages.build_training(prepare(tmp_path / "b", **given, trust_model=True), "linear")


RECORD = {
    "record_version": config_lib.RECORD_VERSION,
    "mode": "supcon",
    "whitening": "none",
    "prepared_data": "digits",
    "whitening_constants": {"mean": [0.0], "std": [1.0]},
    "total_steps": {"pretrain": 5, "linear": 5},
}


def test_warm_start_and_its_parts_say_what_another_run_must_have(tmp_path, digits_dir):
    other = tmp_path / "other"
    given = {"dataset": "digits", "data_dir": digits_dir, "warm_start": str(other)}
    with pytest.raises(UserError, match="holds no run"):
        prepare(tmp_path, **given)
    other.mkdir()
    (other / "config.json").write_text(json.dumps(RECORD))
    for part, stage in (("encoder", "'linear' or 'pretrain'"), ("classifier", "'linear'")):
        with pytest.raises(UserError, match=f"has no finished stage {stage}, "):
            prepare(tmp_path, **given, warm_start_parts=(part,))


@pytest.fixture(scope="module")
def short_run(digits_dir, tmp_path_factory):
    """Returns a function that pretrains for four steps with further options, and returns the run's folder."""

    def run(**values):
        folder = tmp_path_factory.mktemp("short")
        given = {**BASE, "dataset": "digits", "data_dir": digits_dir, "run_dir": str(folder), "max_examples": 256}
        given.update(pretrain_epochs=1, warmup_epochs=0.0, stages=("pretrain",), **values)
        run_lib.run(config_lib.from_values(given), tf.distribute.OneDeviceStrategy("/cpu:0"))
        return folder

    return run


def saved_in(folder):
    """Returns the names of the checkpoints in a run's folder."""
    return sorted(path.name for path in (folder / "checkpoints" / "pretrain").glob("*.index"))


def points_in(folder):
    """Returns the steps at which the loss was written."""
    curve = json.loads((folder / "history.json").read_text())["pretrain"]["train/loss"]
    return [step for step, _ in curve]


def losses_in(folder):
    """Returns the loss of each step."""
    return [loss for _, loss in json.loads((folder / "history.json").read_text())["pretrain"]["train/loss"]]


@pytest.mark.slow
def test_queue_momentum_encoder_and_microbatches_change_the_losses_of_later_steps(short_run):
    usual, queue, fast_queue, microbatches = (
        losses_in(short_run(log_every=1, **options))
        for options in ({}, {"queue_size": 48}, {"queue_size": 48, "momentum_encoder": 0.5}, {"microbatch_size": 16})
    )
    assert usual[0] == pytest.approx(queue[0], rel=1e-5)  # the queue is empty
    assert abs(usual[1] - queue[1]) > 0.1  # more contrasts
    assert fast_queue[0] == pytest.approx(queue[0], rel=1e-5)
    assert fast_queue[1] != pytest.approx(queue[1], rel=1e-5)  # another encoder has filled the queue
    assert usual[0] != pytest.approx(microbatches[0], rel=1e-5)  # batch statistics are of 16 images


def test_stages_checkpoints_and_points_of_the_curves_are_those_asked_for(short_run):
    quick = {"augment": ("crop_flip",), "contrastive_loss": "triplet"}
    usual, often = short_run(**quick), short_run(log_every=1, checkpoint_minutes=1e-9, **quick)
    assert (saved_in(usual), points_in(usual)) == (["ckpt-4.index"], [4])
    assert (saved_in(often), points_in(often)) == (["ckpt-3.index", "ckpt-4.index"], [1, 2, 3, 4])
    assert not (usual / "metrics.json").exists() and not (usual / "saved_model").exists()


@pytest.mark.parametrize(
    "name, flags",
    [
        ("strategy", ["--strategy=mirrored"]),
        ("tpu", ["--tpu=other"]),
        ("tpu_zone", ["--tpu=mine", "--tpu_zone=here"]),
        ("tpu_project", ["--tpu=mine", "--tpu_project=ours"]),
        ("cpu_devices", ["--cpu_devices=2"]),
    ],
)
def test_options_of_the_devices_reach_the_strategy(monkeypatch, name, flags):
    made = []
    monkeypatch.setattr(distribute, "make_strategy", lambda *given, **named: made.append((given, named)))
    monkeypatch.setattr(distribute, "watch_workers", lambda strategy: contextlib.nullcontext())
    monkeypatch.setattr(run_lib, "run", lambda config, strategy, **named: None)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    for given in ([], flags):
        main.run(["app.py", "--mode=supcon", "--dataset=digits", *given])
    usual, seen = ({"strategy": given[0], **named} for given, named in made)
    assert seen[name] != usual[name]


def test_deterministic_asks_tensorflow_for_deterministic_operations(monkeypatch):
    asked = []
    monkeypatch.setattr(distribute, "make_deterministic", asked.append)
    monkeypatch.setattr(distribute, "watch_workers", lambda strategy: contextlib.nullcontext())
    monkeypatch.setattr(run_lib, "run", lambda config, strategy, **named: None)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    for given in ([], ["--deterministic", "--seed=3"]):
        main.run(["app.py", "--mode=supcon", "--dataset=digits", *given])
    assert asked == [3]


def test_recipe_sets_other_options():
    recipe, none = (
        flags.parse(["app.py", "--mode=ce", "--dataset=digits", *given]) for given in ([], ["--recipe=none"])
    )
    assert recipe.config.model.encoder == "small" and none.config.model.encoder == config_lib.ModelOptions().encoder


def test_joint_cross_entropy_reaches_the_model(tmp_path, digits_dir):
    for weight in (0.0, 0.5):
        run_dir = str(tmp_path / str(weight))
        experiment = prepare(tmp_path, dataset="digits", data_dir=digits_dir, joint_ce=weight, run_dir=run_dir)
        model = stages.build_training(experiment, "pretrain").model
        assert model.online_classifier.joint_ce == weight  # tests/models/test_contrastive.py has its gradient


def test_a_preset_sets_other_options():
    tiny, base = (
        flags.parse(["app.py", "--mode=ce", "--dataset=folder:/x", f"--preset={name}"]) for name in ("tiny", "base")
    )
    assert (tiny.config.model.encoder, base.config.model.encoder) == ("small", "resnet18")
    assert "batch_size" in tiny.undecided and "encoder" not in tiny.undecided


SEEN_ABOVE = {
    *("joint_ce", "preset"),
    *("path_column", "label_column", "group"),  # tests/data/test_table.py
    *("grey_probability", "dataset", "data_dir", "run_dir", "whitening", "cache", "on_bad_image", "source_files"),
    *("encoder_weights", "trust_model", "warm_start", "warm_start_parts", "stages", "recipe"),
    "class_level",
    *("queue_size", "momentum_encoder", "microbatch_size"),
    *("log_every", "checkpoint_minutes"),
    *("redo", "deterministic"),  # also in tests/run/test_redo.py and tests/end_to_end/test_app.py
    *("strategy", "tpu", "tpu_zone", "tpu_project", "cpu_devices"),
}


def test_every_option_is_looked_at():
    assert {*ANOTHER, *SEEN_ABOVE} == {option.name for option in config_lib.options()}
    assert not {*ANOTHER} & SEEN_ABOVE
