"""Plans against counts by hand, published figures and graphs that TensorFlow makes."""

import functools
import re

import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import optimizers, plan
from supcon_tf.data import catalogue
from supcon_tf.errors import ArgumentError
from supcon_tf.losses import SupConLoss, cost, devices
from supcon_tf.models import build_encoder
from supcon_tf.plan import graph_cost

SMALL = {
    "mode": "supcon",
    "dataset": "cifar10",
    "encoder": "small",
    "encoder_width": 0.25,
    "projection_layers": (8, 4),
    "batch_size": 1024,
    "linear_batch_size": 1024,
}


def stages(devices=1, **options):
    asked = config_lib.PlanOptions(plan=True, plan_devices=devices)
    return plan.make_plan(config_lib.from_values({**SMALL, **options}), asked).stages


@functools.cache
def small_stages(devices=1):
    return stages(devices)


def counted(forward, image_shape, weights=()):
    def marked(images, mark):
        outputs = forward(images)
        mark("model")
        return [outputs]

    return graph_cost.count(marked, image_shape, weights)


def test_resnet50_takes_the_published_number_of_operations():
    with graph_cost.unfilled_weights():
        encoder = build_encoder("resnet50", (224, 224, 3))
    cost_of = counted(lambda x: encoder(x, training=True), (224, 224, 3), encoder.trainable_weights)
    assert cost_of.forward_flops == pytest.approx(8.2e9, rel=0.005)  # 4.1 billion multiplications and as many additions
    # The gradient is taken at the weights and at the inputs, except the images.
    image_gradient = 2 * 112 * 112 * 64 * 7 * 7 * 3
    assert cost_of.backward == 2 * cost_of.forward_flops - image_gradient
    assert cost_of.uncounted == ()


def tiny_model():
    inputs = keras.Input((8, 6, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(inputs, keras.layers.Dense(5, use_bias=False, dtype="float32")(x))


@pytest.mark.parametrize(("precision", "size"), [("float32", 4), ("mixed_bfloat16", 2)])
def test_counts_of_a_small_model_are_those_by_hand(precision, size):
    keras.mixed_precision.set_global_policy(precision)
    model = tiny_model()
    cost_of = counted(lambda x: model(x, training=True), (8, 6, 3), model.trainable_weights)
    convolution, dense = 2 * 8 * 6 * 4 * 3 * 3 * 3, 2 * 4 * 5
    assert cost_of.forward == {"model": convolution + dense}
    assert cost_of.backward == convolution + 2 * dense  # no gradient at the images
    # The convolution's input, its output for the normalisation, that of the ReLU, and the pooled vector.
    assert cost_of.kept == size * (8 * 6 * 3 + 8 * 6 * 4 + 8 * 6 * 4) + 4 * 4
    assert cost_of.kept < cost_of.peak < 2 * cost_of.kept
    assert cost_of.copies == (3 * 3 * 3 * 4 * size if size == 2 else 0)


def test_what_is_frozen_keeps_nothing():
    model = tiny_model()
    cost_of = counted(lambda x: model(x, training=False), (8, 6, 3), model.layers[-1].trainable_weights)
    assert cost_of.kept == 4 * 4 and cost_of.backward == 2 * 4 * 5
    assert cost_of.peak >= 2 * 4 * 8 * 6 * 4


def test_operations_of_every_kind_are_counted():
    depthwise = tf.Variable(tf.zeros([3, 3, 3, 2]))
    mixing = tf.Variable(tf.zeros([6, 7]))

    @tf.function
    def called(x):  # as in an encoder that is a SavedModel
        return tf.nn.depthwise_conv2d(tf.cast(x, tf.float32), depthwise, [1, 1, 1, 1], "SAME")

    def forward(x):
        return tf.matmul(tf.einsum("bhwc,cd->bhwd", called(x), mixing), tf.zeros([1, 4, 7, 2]))

    cost_of = counted(forward, (4, 5, 3))
    assert cost_of.forward_flops == 2 * 4 * 5 * (6 * 3 * 3 + 6 * 7 + 7 * 2)


def test_products_of_the_loss_are_those_of_its_graph(monkeypatch):
    monkeypatch.setattr(devices, "only_cpus", lambda: False)
    assert devices.default_tile_size(10**6) == cost.ACCELERATOR_TILE
    images, views, dim = 32, 2, 16
    loss = SupConLoss(0.1)

    @tf.function(autograph=False)
    def gradient(labels, projections):
        with tf.GradientTape() as tape:
            tape.watch(projections)
            value = tf.reduce_sum(loss.call(labels, projections))
        return tape.gradient(value, projections)

    graph = gradient.get_concrete_function(tf.zeros([images], tf.int32), tf.zeros([images, views, dim])).graph
    products = [op for op in graph.get_operations() if op.type in graph_cost.FLOPS]
    by_graph = sum(graph_cost.FLOPS[op.type](op) for op in products)
    planned = cost.supcon_cost(images, 1, views, dim).flops
    assert by_graph == planned
    # Each row of the memory is compared with each row of the batch, and contributes to its gradient.
    assert cost.supcon_cost(images, 1, views, dim, memory=48).flops == planned + 2 * 2 * 64 * 48 * dim


def test_loss_of_a_large_batch_takes_each_pair_once_and_what_is_not_kept_again():
    rows, dim = 2 * 65_536, 128
    flops = cost.supcon_cost(65_536, 1, 2, dim).flops
    # Half of the pairs twice for their similarities, and all for the gradient; 2,048 rows are a tile.
    assert flops == pytest.approx(2 * dim * rows**2 * (2 * 0.5 + 1), rel=0.05)
    assert cost.supcon_cost(65_536, 128, 2, dim).flops == pytest.approx(4 * dim * rows**2 / 128, rel=0.6)
    assert cost.supcon_cost(2**20, 1, 2, dim).memory < 10 * 2**30  # and not the 16 TB of all pairs


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_optimizers_keep_as_many_numbers_as_is_said(name):
    weight = tf.Variable(tf.ones([3, 5]), name="weight")
    optimizer = optimizers.make_optimizer(name, optimizers.WarmupThenDecay(0.1, 0, 10))
    optimizer.apply_gradients([(tf.ones([3, 5]), weight)])
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    numbers = sum(variable.shape.num_elements() for variable in variables if variable.shape.rank == 2)
    assert numbers == optimizers.OPTIMIZERS[name].slots * 15


def test_parameters_are_those_that_keras_counts():
    pretrain, linear = small_stages()
    encoder = build_encoder("small", (32, 32, 3), width=0.25)
    trained = sum(weight.shape.num_elements() for weight in encoder.trainable_weights)
    assert pretrain.parameters["encoder"] == (encoder.count_params(), trained)
    assert linear.parameters == {"encoder": (encoder.count_params(), 0), "classifier": (330, 330)}
    assert pretrain.parameters["projection head"].number == 32 * 8 + 8 + 8 * 4
    assert pretrain.parameters["online classifier"].trained == 330


def test_steps_are_those_of_the_true_number_of_images():
    options = {"batch_size": 6144, "pretrain_epochs": 350, "image_size": 32, "stages": ("pretrain",)}
    (pretrain,) = stages(dataset="imagenet2012", **options)
    assert pretrain.steps.total_steps == 350 * 1_281_167 // 6144
    assert pretrain.images_seen == pretrain.steps.total_steps * 6144
    assert catalogue.sizes("cifar100:3.0.2") == {"train": 50_000, "test": 10_000}
    assert catalogue.sizes("imagenet2012_subset/10pct") == {"train": 128_116, "validation": 50_000}
    assert catalogue.sizes("emnist/letters") is None


def test_a_replica_has_its_share():
    one, four = small_stages()[0], small_stages(4)[0]
    for name in ("forward", "backward"):
        assert (
            one.flops[name]
            == 4 * four.flops[name]
            == 1024 * 2 * getattr(one.counted, "backward" if name == "backward" else "forward_flops")
        )
    kept = "activations kept for the gradient"
    assert one.memory[kept] == 4 * four.memory[kept] == one.counted.kept * 2048
    assert one.memory["weights"] == four.memory["weights"] == 4 * sum(part.number for part in one.parameters.values())
    assert one.memory["batch, and the next"] == 2 * 1024 * 2 * 32 * 32 * 3


def test_communication():
    assert small_stages()[0].messages == {}
    pretrain, linear = small_stages(4)
    trained = sum(part.trained for part in pretrain.parameters.values())
    assert {name: message.size for name, message in pretrain.messages.items()} == {
        "gradients": 4 * trained,
        "projections": 4 * 2048 * 4,
        "labels and places": 4 * 4 * 1024,
        "numbers of the anchors": 4 * 2048 * 7,
    }
    assert pretrain.messages["gradients"].sent(4) == 2 * 0.75 * 4 * trained
    assert pretrain.messages["projections"].sent(4) == 0.75 * 4 * 2048 * 4
    assert list(linear.messages) == ["gradients"]


def test_synchronised_statistics_microbatches_and_queue():
    options = {"sync_batch_norm": True, "microbatch_size": 64, "queue_size": 512, "stages": ("pretrain",)}
    (changed,), usual = stages(4, **options), small_stages(4)[0]
    channels = (8 + 3 * 8) + (3 * 16) + (3 * 32)  # of the stem, and of two layers and the shortcut of each block
    assert changed.normalized == channels
    # Four microbatches pass forward twice and backward once, and once through the momentum encoder.
    assert changed.messages["batch statistics"].size == 4 * 2 * channels * 4 * (3 + 1)
    assert plan.total(changed.flops) - changed.flops["loss"] == pytest.approx(
        3 * usual.flops["forward"] + usual.flops["backward"]
    )
    assert changed.memory["activations kept for the gradient"] == usual.counted.kept * 64 * 2


def test_time_is_that_of_operations_and_bytes():
    pretrain = small_stages()[0]
    assert pretrain.seconds(2.0) == pytest.approx(plan.total(pretrain.flops) / 2e12)
    assert pretrain.seconds(2.0, 100.0) - pretrain.seconds(2.0) == pytest.approx(pretrain.moved / 1e11)


def test_nearest_sizes_that_fit():
    pretrain, linear = small_stages()
    limit = 0.25 * plan.total(pretrain.memory)
    in_microbatches, at_once = plan.fits(pretrain, limit)
    size = in_microbatches.plan.microbatch_size
    assert in_microbatches.options == {"microbatch_size": size}
    assert in_microbatches.plan.peak_learning_rate == pretrain.peak_learning_rate
    batch = at_once.plan.batch_size
    assert at_once.options == {"batch_size": batch, "learning_rate": float(f"{0.1 * batch / 1024:.4g}")}
    for found in (in_microbatches, at_once):
        assert 0.4 * limit < plan.total(found.plan.memory) <= limit
    (smaller,) = plan.fits(linear, 0.5 * plan.total(linear.memory))
    assert list(smaller.options) == ["linear_batch_size", "linear_learning_rate"]
    assert plan.fits(pretrain, 1000.0) == []


def test_learning_rate_that_follows_the_batch_needs_no_flag():
    (pretrain,) = stages(scale_learning_rate=True, learning_rate=0.5, stages=("pretrain",))
    at_once = plan.fits(pretrain, 0.25 * plan.total(pretrain.memory))[1]
    assert at_once.options == {"batch_size": at_once.plan.batch_size}
    assert at_once.plan.peak_learning_rate == pytest.approx(0.5 * at_once.plan.batch_size / 256)


def test_what_fits_keeps_to_the_other_options():
    options = {"unlabelled": "cifar100", "classes_per_batch": 8, "batch_size": 96, "stages": ("pretrain",)}
    (pretrain,) = stages(**options)
    assert (pretrain.steps.labelled, pretrain.steps.images) == (48, 50_000 // 48 * 48)
    found = plan.fits(pretrain, 0.4 * plan.total(pretrain.memory))
    assert found
    for fit in found:
        assert fit.plan.steps.labelled % 8 == 0 and fit.plan.steps.unlabelled == fit.plan.steps.labelled
        assert fit.plan.steps == fit.plan.steps_of(fit.plan.config)


def test_a_million_images_are_planned_in_no_more_memory():
    options = {"batch_size": 2**20, "linear_batch_size": 2**20, "dataset": "imagenet2012", "image_size": 64}
    pretrain, _ = stages(**options)
    assert pretrain.share == 2**20 and pretrain.flops["loss"] == pytest.approx(2 * 4 * 2 * 2**42, rel=0.01)
    assert "microbatch_size" in plan.fits(pretrain, 48 * 2**30)[0].options


def test_a_folder_is_counted_and_left_alone(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "dog/3.png"):
        path = tmp_path / "images" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never read")
    options = {"dataset": f"folder:{tmp_path}/images", "data_dir": str(tmp_path / "data"), "mode": "ce"}
    (pretrain,) = stages(**options, batch_size=2, image_size=16, pretrain_epochs=20)
    assert (pretrain.steps.images, pretrain.classes) == (3, 2)  # of each class one is held out
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dataset": "emnist"}, "dataset='emnist': its number of images is unknown until it is prepared"),
        ({"batch_size": 1023}, "batch_size=1023: must be a multiple of the 4 replicas; the nearest is 1024"),
        ({"microbatch_size": 7}, "microbatch_size=7: must divide the 256 images"),
        (
            {
                "max_examples": 257,
                "batch_size": 256,
                "linear_batch_size": 256,
                "linear_epochs": 1,
                "linear_warmup_epochs": 0.999,
            },
            "linear_warmup_epochs=0.999: leaves no step for the decay, as the stage has 1 step",
        ),
    ],
)
def test_what_cannot_be_planned_is_said(options, complaint):
    with pytest.raises(ArgumentError, match=re.escape(complaint)):
        stages(4, **options)


def test_a_plan_is_made_for_the_precision_asked_for_and_leaves_the_policy_alone():
    half = stages(precision="bfloat16", stages=("pretrain",))[0]
    assert keras.mixed_precision.global_policy().name == "float32"
    assert half.counted.kept < 0.7 * small_stages()[0].counted.kept
