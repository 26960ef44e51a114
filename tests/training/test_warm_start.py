"""Parts of a model start with the weights of another run."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.config import RECORD_VERSION, ModelOptions, as_flag
from supcon_tf.errors import ArgumentError
from supcon_tf.models import Classifier, ContrastiveModel, CrossEntropy, ProjectionHead, build_encoder
from supcon_tf.training import warm_start
from supcon_tf.training.checkpoints import Checkpoints

SMALL = {"encoder": "small", "encoder_width": 0.25, "stem": "auto", "projection_layers": (4,)}
STEPS = {"pretrain": 3, "linear": 2}


def small(seed=0, width=0.25):
    return build_encoder("small", (8, 8, 1), width=width, seed=seed)


def write_run(path, *, mode="supcon", total_steps=STEPS, further=None, **models):
    """Writes a run that saved these models, by stage, after the steps in `STEPS`."""
    path.mkdir()
    found = {
        "record_version": RECORD_VERSION,
        "total_steps": total_steps,
        "class_names": ["a", "b", "c"],
        **(further or {}),
    }
    (path / "config.json").write_text(json.dumps({"mode": mode, **SMALL, **found}))
    for stage, model in models.items():
        loss = CrossEntropy() if isinstance(model, Classifier) else "mse"
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
        model.optimizer.iterations.assign(STEPS[stage])
        Checkpoints(model, str(path / "checkpoints" / stage)).save()
    return str(path)


@pytest.fixture(scope="module")
def pretrained():
    return ContrastiveModel(small(seed=1), ProjectionHead((4,), seed=1), num_classes=3)


@pytest.fixture(scope="module")
def linear():
    return Classifier(small(seed=2), 3, freeze_encoder=True, seed=2)


@pytest.fixture(scope="module")
def run(pretrained, linear, tmp_path_factory):
    """A finished run of mode supcon."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", pretrain=pretrained, linear=linear)


def load(path, **parts):
    warm_start.load(warm_start.find(path), parts, vars(ModelOptions(**SMALL)), "abc")


def assert_same(part, other):
    for weight, expected in zip(part.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(weight, expected)


def test_each_part_comes_from_the_last_stage_that_trains_it(run, pretrained, linear):
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        encoder, head = small(), ProjectionHead((4,))
        head.build((None, encoder.output_shape[-1]))
        classifier = Classifier(small(), 3, freeze_encoder=True)
        load(run, encoder=encoder, projection_head=head, classifier=classifier.linear)
    assert_same(encoder, linear.encoder)
    assert_same(head, pretrained.projection_head)
    assert_same(classifier.linear, linear.linear)
    assert np.any(classifier.encoder.get_weights()[0] != linear.encoder.get_weights()[0])


def test_unfinished_stage_does_not_count(pretrained, linear, tmp_path):
    longer = {**STEPS, "linear": 9}
    path = write_run(tmp_path / "run", pretrain=pretrained, linear=linear, total_steps=longer)
    encoder = small()
    load(path, encoder=encoder)
    assert_same(encoder, pretrained.encoder)
    with pytest.raises(
        ArgumentError, match="^warm_start=.*: has no finished stage 'linear', which would hold the class"
    ):
        warm_start.check(warm_start.find(path), ("encoder", "classifier"), "abc")


def test_parts_of_a_cross_entropy_run_come_from_its_one_stage(linear, tmp_path):
    path = write_run(tmp_path / "run", mode="ce", pretrain=linear)
    classifier = Classifier(small(), 3, freeze_encoder=False)
    load(path, encoder=classifier.encoder, classifier=classifier.linear)
    assert_same(classifier, linear)
    with pytest.raises(ArgumentError, match="a run of mode ce has no projection head"):
        warm_start.check(warm_start.find(path), ("projection_head",), "abc")


def test_part_that_does_not_fit_is_named_in_one_line(run):
    for encoder, complaint in [
        (small(width=0.5), r"\(stem_conv/kernel has shape \(3, 3, 1, 8\) there, \(3, 3, 1, 16\) here\)$"),
        (keras.Sequential(small().layers[:3]), r"\(50 weights there, 1 here\)$"),  # that one would fit
    ]:
        with pytest.raises(
            ArgumentError, match=f"^warm_start='{run}': its encoder does not fit this run's {complaint}"
        ):
            load(run, encoder=encoder)
    with pytest.raises(ArgumentError) as caught:
        other = vars(ModelOptions(**{**SMALL, "encoder": "resnet18", "stem": "imagenet"}))
        warm_start.load(warm_start.find(run), {"encoder": small(width=0.5)}, other, "abc")
    assert caught.value.text(as_flag).startswith(f"--warm_start={run}: its encoder does not fit this run's (")
    assert caught.value.text(as_flag).endswith("; it was trained with --encoder=small --stem=auto")
    with pytest.raises(ArgumentError, match=f"^warm_start='{run}': its classifier has other classes: "):
        warm_start.check(warm_start.find(run), ("encoder", "classifier"), "abcde")


def test_a_classifier_is_put_into_the_order_of_this_runs_classes(linear, tmp_path):
    path = write_run(tmp_path / "run", linear=linear, further={"class_names": ["cat", "dog", "fox"]})
    classifier = Classifier(small(), 3, freeze_encoder=True)
    other = warm_start.find(path)
    warm_start.check(other, ("classifier",), ("fox", "cat", "dog"))
    options = vars(ModelOptions(**SMALL))
    warm_start.load(other, {"classifier": classifier.linear}, options, ("fox", "cat", "dog"))
    for weight, expected in zip(classifier.linear.get_weights(), linear.linear.get_weights()):
        np.testing.assert_array_equal(weight, expected[..., [2, 0, 1]])


def test_a_classifier_of_other_classes_is_refused_by_name(linear, tmp_path):
    path = write_run(tmp_path / "run", linear=linear, further={"class_names": ["cat", "dog", "fox"]})
    with pytest.raises(ArgumentError, match="has other classes: 'cat' there, 'owl' here; leave 'classifier' out of w"):
        warm_start.check(warm_start.find(path), ("classifier",), ("dog", "fox", "owl"))


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="^warm_start=.*: holds no run; give the run_dir of one$"):
        warm_start.find(str(tmp_path))


def test_run_made_before_the_first_release_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"mode": "supcon", **SMALL}))
    with pytest.raises(ArgumentError, match="^warm_start=.*: holds a run of a version that this one cannot resume"):
        warm_start.find(str(tmp_path))
