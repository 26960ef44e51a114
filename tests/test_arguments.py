"""Gives each public class and function of the library bad arguments, and reads the error."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import augment, evaluation, losses, models, optimizers
from supcon_tf.config import AugmentOptions, LossOptions, ModelOptions
from supcon_tf.errors import NAME_ONLY, ArgumentError, as_keyword

SHAPE = (8, 8, 3)
IMAGE, SEED = tf.zeros(SHAPE, tf.uint8), tf.constant([0, 0])
VIEWS, LABELS, PROJECTIONS = tf.zeros([2, 1, 8, 8, 3], tf.uint8), tf.constant([0, 1]), tf.ones([2, 2, 4])
SHARES, NUMBERS = tf.zeros([2, 3]), tf.zeros([2, 1, 8])
MEMORY = losses.Memory(tf.ones([3, 4]), tf.zeros([3], tf.int32), tf.ones([3], tf.bool))
INFINITE = float("inf")


@pytest.fixture(scope="module")
def good():
    """Arguments that are allowed, by the name of what takes them; nothing for what needs none."""
    encoder = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4)])
    head = models.ProjectionHead((4,))
    small = {"options": ModelOptions(encoder="small"), "image_shape": SHAPE}
    classifier = models.Classifier(encoder, 2, freeze_encoder=True)
    inputs = evaluation.EvaluationInputs(classifier, lambda: (tf.data.Dataset.range(0), 0), ["a", "b"])
    return {
        "Augmentation": {"options": AugmentOptions(), "num_views": 2, "image_size": 8, "flip": True},
        "augmented_views": {
            **{"image": IMAGE, "seed": SEED, "num_views": 2, "image_size": 8, "options": AugmentOptions()},
            "flip": False,
        },
        "draw_numbers": {"seed": SEED, "alpha": 1.0},
        "evaluation_view": {"images": IMAGE, "image_size": 8, "crop": 1.0},
        "finish": {"views": VIEWS, "numbers": NUMBERS, "steps": ["grey"], "style": "torchvision"},
        "mix": {"views": VIEWS, "labels": tf.eye(2), "numbers": SHARES, "kind": "mixup"},
        "policy_of_each_view": {"options": AugmentOptions(), "num_views": 2},
        "steps_for_device": {"options": AugmentOptions(), "accelerated": True},
        "EvaluationInputs": {"model": classifier, "held_out": list, "class_names": ["a", "b"]},
        "evaluate": {"inputs": inputs, "evaluators": {}},
        "report_html": {
            **{"title": "t", "results": {}, "class_names": [], "options": {}, "history": {}},
            "log_every": 1,
        },
        "make_contrastive_loss": {
            **{"options": LossOptions(), "mode": "supcon", "normalize": True, "mix": "none", "temperature": 0.1},
            "memory": None,
        },
        "supervised_contrastive_loss": {"labels": LABELS, "projections": PROJECTIONS},
        "build_application": {"name": "MobileNetV2", "image_shape": (32, 32, 3)},
        "build_encoder": {"name": "small", "image_shape": SHAPE},
        "load_encoder": {"path": "mine.keras", "image_shape": SHAPE},
        "make_encoder": small,
        "Classifier": {"encoder": encoder, "num_classes": 2, "freeze_encoder": True},
        "ContrastiveModel": {"encoder": encoder, "projection_head": head},
        "make_classifier": {**small, "num_classes": 2, "freeze_encoder": True},
        "make_contrastive_model": {**small, "num_classes": 2},
        "WarmupThenDecay": {"peak": 1.0, "warmup_steps": 1, "total_steps": 9},
        "make_optimizer": {"name": "sgd", "learning_rate": 0.1},
        "scale_rates": {"optimizer": keras.optimizers.SGD(0.1), "factors": []},
    }


AUGMENTED, MODEL = AugmentOptions, ModelOptions
TWO = ("simclr", "none")
BAD = [
    # Function, its bad argument, and the argument that the error names if it differs
    (augment.Augmentation, {"options": AUGMENTED(jitter_strength=-1.0)}, {"jitter_strength": -1.0}),
    (
        augment.Augmentation,
        {"options": AUGMENTED(augment=TWO), "num_views": 3},
        {"augment": TWO},
    ),
    (augment.Augmentation, {"num_views": 0}),
    (augment.Augmentation, {"image_size": 8.5}),
    (augment.Augmentation, {"flip": "auto"}),
    (augment.Augmentation, {"device_steps": ("crop",)}),
    (augment.Augmentation, {"num_classes": -1}),
    (augment.Augmentation, {"options": AUGMENTED(mix="mixup")}, {"num_classes": 0}),
    (augment.Augmentation, {"microbatch_size": 0}),
    (augment.augmented_views, {"image": IMAGE[0]}, {"image": NAME_ONLY}),
    (augment.augmented_views, {"seed": tf.constant(3)}, {"seed": NAME_ONLY}),
    (augment.augmented_views, {"num_views": -1}),
    (augment.augmented_views, {"image_size": 0}),
    (augment.augmented_views, {"flip": "on"}),
    (augment.augmented_views, {"options": AUGMENTED(augment=("simclir",))}, {"augment": "simclir"}),
    (augment.draw_numbers, {"alpha": 0.0}),
    (augment.evaluation_view, {"images": IMAGE[0]}, {"images": NAME_ONLY}),
    (augment.evaluation_view, {"image_size": 0}),
    (augment.evaluation_view, {"crop": 1.5}),
    (augment.finish, {"views": IMAGE}, {"views": NAME_ONLY}),
    (augment.finish, {"numbers": NUMBERS[..., :3]}, {"numbers": NAME_ONLY}),
    (augment.finish, {"steps": "grey"}),
    (augment.finish, {"style": "pytorch"}),
    (augment.finish, {"at_a_time": 0}),
    (augment.mix, {"views": IMAGE}, {"views": NAME_ONLY}),
    (augment.mix, {"labels": LABELS}, {"labels": NAME_ONLY}),
    (augment.mix, {"numbers": SHARES[:, 1:]}, {"numbers": NAME_ONLY}),
    (augment.mix, {"kind": "none"}),
    (augment.policy_of_each_view, {"num_views": 0}),
    (
        augment.policy_of_each_view,
        {"options": AUGMENTED(augment=TWO), "num_views": 3},
        {"augment": TWO},
    ),
    (augment.steps_for_device, {"options": AUGMENTED(blur_on_device="yes")}, {"blur_on_device": "yes"}),
    (augment.steps_for_device, {"accelerated": "GPU"}),
    (evaluation.EvaluationInputs, {"model": "runs/mine"}),
    (evaluation.EvaluationInputs, {"held_out": []}),
    (evaluation.EvaluationInputs, {"class_names": "cats"}),
    (evaluation.EvaluationInputs, {"class_names": [0, 1]}),
    (evaluation.EvaluationInputs, {"multi_label": "no"}),
    (evaluation.evaluate, {"inputs": "runs/mine"}),
    (evaluation.evaluate, {"evaluators": ["classifier"]}),
    (evaluation.evaluate, {"evaluators": {"classifier": "classifier"}}),
    (evaluation.report_html, {"title": None}),
    (evaluation.report_html, {"results": []}),
    (evaluation.report_html, {"class_names": "cats"}),
    (evaluation.report_html, {"options": None}),
    (evaluation.report_html, {"history": []}),
    (evaluation.report_html, {"log_every": 0}),
    (evaluation.as_metrics, {"results": [0.5]}),
    (evaluation.scalars, {"metrics": 0.5}),
    (losses.SupConLoss, {"temperature": 0.0}),
    (losses.SupConLoss, {"temperature": INFINITE}),
    (losses.SupConLoss, {"temperature": True}),
    (losses.SupConLoss, {"temperature": [0.1]}),
    (losses.SupConLoss, {"summation": "inside"}),
    (losses.SupConLoss, {"denominator": None}),
    (losses.SupConLoss, {"positives_cap": 1.5}),
    (losses.SupConLoss, {"anchors": 1}),
    (losses.SupConLoss, {"scale_by_temperature": "no"}),
    (losses.SupConLoss, {"normalize": None}),
    (losses.SupConLoss, {"tile_size": 0}),
    (losses.SupConLoss, {"memory": MEMORY}, {"memory": "Memory"}),
    (losses.NTXentLoss, {"temperature": -1}),
    (losses.NTXentLoss, {"tile_size": True}),
    (losses.MixedSupConLoss, {"temperature": "cold"}),
    (losses.MixedSupConLoss, {"scale_by_temperature": 2}),
    (losses.MixedSupConLoss, {"normalize": "no"}),
    (losses.MixedSupConLoss, {"tile_size": -8}),
    (losses.NPairsLoss, {"temperature": 0}),
    (losses.NPairsLoss, {"normalize": "no"}),
    (losses.TripletLoss, {"normalize": "no"}),
    (losses.make_contrastive_loss, {"options": LossOptions(contrastive_loss="supcn")}, {"contrastive_loss": "supcn"}),
    (losses.make_contrastive_loss, {"options": LossOptions(positives_cap=-1)}, {"positives_cap": -1}),
    (losses.make_contrastive_loss, {"mode": "ce"}),
    (losses.make_contrastive_loss, {"normalize": "no"}),
    (losses.make_contrastive_loss, {"mix": "cut"}),
    (losses.make_contrastive_loss, {"temperature": -1.0}),
    (losses.make_contrastive_loss, {"memory": 3}, {"memory": "int"}),
    (losses.supervised_contrastive_loss, {"labels": LABELS[:1]}, {"labels": NAME_ONLY}),
    (losses.supervised_contrastive_loss, {"projections": LABELS}, {"projections": NAME_ONLY}),
    (losses.supervised_contrastive_loss, {"temperature": None}),
    (losses.supervised_contrastive_loss, {"tile_size": 1.0}),
    (losses.supervised_contrastive_loss, {"normalize": "no"}),
    (losses.supervised_contrastive_loss, {"memory": tuple(MEMORY)}, {"memory": "tuple"}),
    (models.build_application, {"name": "MobilNetV2"}),
    (models.build_application, {"name": 50}),
    (models.build_application, {"image_shape": (32, 32)}),
    (models.build_application, {"image_shape": (32, 32, 2)}),
    (models.build_application, {"weights": 3}),
    (models.build_application, {"seed": "one"}),
    (models.build_application, {"trust_model": "yes"}),
    (models.build_encoder, {"name": "resnet51"}),
    (models.build_encoder, {"name": 50}),
    (models.build_encoder, {"image_shape": (None, None, 3)}),
    (models.build_encoder, {"image_shape": (32, 32)}),
    (models.build_encoder, {"image_shape": 32}),
    (models.build_encoder, {"image_shape": (32, 32, 0)}),
    (models.build_encoder, {"image_shape": (32.0, 32, 3)}),
    (models.build_encoder, {"width": 0}),
    (models.build_encoder, {"stem": "foo"}),
    (models.build_encoder, {"whitening": ((0.5,), (0.0,))}),
    (models.build_encoder, {"whitening": ((0.5, 0.5), (1.0, 1.0))}),
    (models.build_encoder, {"whitening": (0.5, 1.0)}),
    (models.build_encoder, {"whitening": None}),
    (models.build_encoder, {"synchronized_batch_norm": "auto"}),
    (models.build_encoder, {"initialization": "keras"}),
    (models.build_encoder, {"seed": 0.5}),
    (models.family_of, {"encoder": "resnet"}),
    (models.family_of, {"encoder": 50}),
    (models.load_encoder, {"path": "missing.keras"}),
    (models.load_encoder, {"path": 3}),
    (models.load_encoder, {"image_shape": (None, None, 3)}),
    (models.load_encoder, {"trust_model": "yes"}),
    (models.make_encoder, {"options": MODEL(encoder="resnet51")}, {"encoder": "resnet51"}),
    (models.make_encoder, {"options": MODEL(encoder="small", encoder_width=-1.0)}, {"encoder_width": -1.0}),
    (models.make_encoder, {"image_shape": (8, 8)}, {"image_size": (8, 8)}),
    (models.ProjectionHead, {"layers": ()}),
    (models.ProjectionHead, {"layers": 128}),
    (models.ProjectionHead, {"layers": (128, 0)}),
    (models.ProjectionHead, {"layers": (128.0,)}),
    (models.ProjectionHead, {"layers": "128"}),
    (models.ProjectionHead, {"batch_norm": "yes"}),
    (models.ProjectionHead, {"normalize": "yes"}),
    (models.ProjectionHead, {"synchronized_batch_norm": "yes"}),
    (models.ProjectionHead, {"initialization": "he"}),
    (models.ProjectionHead, {"seed": None}),
    (models.Classifier, {"encoder": "resnet50"}),
    (models.Classifier, {"num_classes": 0}),
    (models.Classifier, {"freeze_encoder": "yes"}),
    (models.Classifier, {"normalize_embedding": None}),
    (models.Classifier, {"weight_decay": -1.0}),
    (models.Classifier, {"decay_normalization": "yes"}),
    (models.Classifier, {"augmentation": "simclr"}),
    (models.Classifier, {"seed": 0.5}),
    (models.ContrastiveModel, {"encoder": "resnet50"}),
    (models.ContrastiveModel, {"projection_head": (512, 128)}),
    (models.ContrastiveModel, {"num_classes": 0}),
    (models.ContrastiveModel, {"learned_temperature": -1}),
    (models.ContrastiveModel, {"queue_size": -4}),
    (models.ContrastiveModel, {"momentum_encoder": 3}),
    (models.ContrastiveModel, {"microbatch_size": 0}),
    (models.ContrastiveModel, {"normalize_embedding": "no"}),
    (models.ContrastiveModel, {"weight_decay": "1e-4"}),
    (models.ContrastiveModel, {"decay_normalization": "no"}),
    (models.ContrastiveModel, {"augmentation": AUGMENTED()}),
    (models.ContrastiveModel, {"seed": "one"}),
    (models.make_classifier, {"num_classes": -1}),
    (models.make_classifier, {"options": MODEL(encoder="small", stem="foo")}, {"stem": "foo"}),
    (models.make_contrastive_model, {"num_classes": 0}),
    (models.make_contrastive_model, {"options": MODEL(projection_layers=(0,))}, {"projection_layers": 0}),
    (models.CrossEntropy, {"label_smoothing": -0.1}),
    (models.CrossEntropy, {"label_smoothing": 1.1}),
    (optimizers.AdamW, {"learning_rate": -1}),
    (optimizers.AdamW, {"weight_decay": None}),
    (optimizers.AdamW, {"exclude_from_weight_decay": "bias"}),
    (optimizers.LAMB, {"learning_rate": "fast"}),
    (optimizers.LAMB, {"beta_1": 1}),
    (optimizers.LAMB, {"beta_2": -0.5}),
    (optimizers.LAMB, {"epsilon": -1e-6}),
    (optimizers.LAMB, {"weight_decay": -1}),
    (optimizers.LAMB, {"exclude_from_weight_decay": "bias"}),
    (optimizers.LARS, {"learning_rate": -1}),
    (optimizers.LARS, {"learning_rate": None}),
    (optimizers.LARS, {"learning_rate": INFINITE}),
    (optimizers.LARS, {"momentum": 2}),
    (optimizers.LARS, {"weight_decay": -1}),
    (optimizers.LARS, {"trust_coefficient": 0}),
    (optimizers.LARS, {"exclude_from_weight_decay": "bias"}),
    (optimizers.LARS, {"exclude_from_layer_adaptation": [0.5]}),
    (optimizers.make_optimizer, {"name": "sdg"}),
    (optimizers.make_optimizer, {"learning_rate": -0.1}),
    (optimizers.make_optimizer, {"momentum": 1}),
    (optimizers.make_optimizer, {"weight_decay": -1}),
    (optimizers.make_optimizer, {"undecayed": "bias"}),
    (optimizers.make_optimizer, {"unadapted": 3}),
    (optimizers.make_optimizer, {"clip_norm": 0.0}),
    (optimizers.scale_rates, {"factors": [(tf.Variable(1.0), 0.0)]}),
    (optimizers.WarmupThenDecay, {"peak": -1.0}),
    (optimizers.WarmupThenDecay, {"warmup_steps": -1}),
    (optimizers.WarmupThenDecay, {"warmup_steps": None}),
    (optimizers.WarmupThenDecay, {"total_steps": "ten"}),
    (optimizers.WarmupThenDecay, {"decay": "cosin"}),
    (optimizers.WarmupThenDecay, {"decay_rate": 0}),
    (optimizers.WarmupThenDecay, {"decay_steps": 3}),
    (optimizers.WarmupThenDecay, {"decay": "exponential", "decay_steps": (0,)}, {"decay_steps": 0}),
    (optimizers.WarmupThenDecay, {"decay": "piecewise"}, {"decay_steps": ()}),
]


@pytest.mark.parametrize("row", BAD, ids=lambda row: f"{row[0].__name__}-{'-'.join(row[1])}")
def test_a_bad_argument_is_named_with_its_value(row, good):
    called, bad = row[:2]
    ((argument, value),) = row[-1].items()
    with pytest.raises(ArgumentError) as error:
        called(**{**good.get(called.__name__, {}), **bad})
    assert error.value.argument == argument
    assert str(error.value).startswith(f"{as_keyword(argument, value)}: ")


@pytest.mark.parametrize("room", [augment, evaluation, losses, models, optimizers], ids=lambda room: room.__name__)
def test_every_public_class_and_function_has_a_row(room):
    public = {name: getattr(room, name) for name in room.__all__}
    called = {name for name, thing in public.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    assert called - {row[0].__name__ for row in BAD} <= {"Memory", "Accuracy", "HitAtOne", "SigmoidCrossEntropy"}


@pytest.mark.parametrize("called", [models.SigmoidCrossEntropy(), models.HitAtOne()], ids=["loss", "metric"])
def test_labels_of_several_classes_have_the_shape_of_the_logits(called):
    for labels in (LABELS, tf.zeros([2, 4])):
        with pytest.raises(ArgumentError, match=r"^labels: must be \[batch, classes\] like the logits"):
            called(labels, tf.zeros([2, 3]))


def test_good_arguments_are_taken(good):
    for name in ("Augmentation", "Classifier", "ContrastiveModel", "EvaluationInputs", "WarmupThenDecay"):
        rooms = (augment, evaluation, models, optimizers)
        next(getattr(room, name) for room in rooms if hasattr(room, name))(**good[name])


@pytest.mark.parametrize("optimizer", [optimizers.LARS, optimizers.LAMB, optimizers.AdamW])
@pytest.mark.parametrize(
    "rate",
    [0.5, np.float32(0.5), tf.constant(0.5), tf.Variable(0.5), optimizers.WarmupThenDecay(0.5, 0, 9), lambda: 0.5],
    ids=["number", "numpy", "tensor", "variable", "schedule", "function"],
)
def test_every_kind_of_learning_rate_is_taken(optimizer, rate):
    assert float(optimizer(learning_rate=rate).learning_rate) == 0.5


@pytest.mark.parametrize("number", [np.int64(3), np.int32(3)])
def test_whole_numbers_of_numpy_are_taken(number, good):
    assert models.ProjectionHead((number,))(tf.zeros([2, 4])).shape == [2, 3]
    assert models.Classifier(**{**good["Classifier"], "num_classes": number}).linear.units == 3
    assert losses.SupConLoss(np.float32(0.5), tile_size=number).tile_size == 3
