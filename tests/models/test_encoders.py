"""Residual encoders: parameters against published counts, values against NumPy, saving and loading."""

import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.models import encoders
from supcon_tf.models.encoders import build_encoder

# Trainable parameters without the classifier: torchvision's, and timm's for the last.
PUBLISHED = {
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
    "resnet152": 58_143_808,
    "resnet200": 62_624_832,
}
# Theirs have no convolution in the shortcut of the first block of 18 and 34.
FIRST_SHORTCUT = 64 * 64 + 2 * 64


@pytest.fixture(scope="module")
def resnet50():
    return build_encoder("resnet50", (224, 224, 3))


@pytest.fixture(scope="module")
def small():
    """Returns the small encoder for 8x8 images, with gammas and averages that differ from their initial values."""
    encoder = build_encoder("small", (8, 8, 1), seed=1)
    randomize(encoder)
    return encoder


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def randomize(encoder):
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        if "kernel" not in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def assert_close(embeddings, expected, tolerance=1e-5):
    """Asserts equality up to rounding, relative to the largest number."""
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=tolerance * np.max(expected))


def parameters(layers):
    return sum(int(np.prod(weight.shape)) for layer in layers for weight in layer.trainable_weights)


def with_more_blocks(encoder, name):
    """Counts parameters of the encoder `name`, which has more blocks like the second of each group than `encoder`."""
    total = parameters(encoder.layers)
    for group, number in enumerate(encoders.ARCHITECTURES[name].blocks, start=1):
        built = [layer for layer in encoder.layers if layer.name.startswith(f"group{group}_block")]
        block_parameters = parameters(layer for layer in built if "_block2_" in layer.name)
        total += block_parameters * (number - sum(layer.name.endswith("_add") for layer in built))
    return total


def counted(name, width=1, stem="imagenet", image_channels=3):
    """Counts parameters of the encoder `name` and its embedding's dimension, from Table 1 of He et al. (2016)."""
    blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3],
              200: [3, 24, 36, 3]}[int(name[len("resnet"):])]  # fmt: skip
    bottleneck = int(name[len("resnet") :]) >= 50

    def conv_norm(size, channels_in, channels_out):
        return size * size * channels_in * channels_out + 2 * channels_out

    before = 64 * width
    total = conv_norm(7 if stem == "imagenet" else 3, image_channels, before)
    for group, number in enumerate(blocks):
        channels = 64 * width * 2**group
        after = 4 * channels if bottleneck else channels
        total += conv_norm(1, before, after)  # the shortcut of the first block
        for _ in range(number):
            if bottleneck:
                total += conv_norm(1, before, channels) + conv_norm(3, channels, channels)
                total += conv_norm(1, channels, after)
            else:
                total += conv_norm(3, before, channels) + conv_norm(3, channels, channels)
            before = after
    return total, before


def numpy_conv(images, kernel, stride, before, after):
    size = kernel.shape[0]
    padded = np.pad(images, [(0, 0), (before, after), (before, after), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("bijcyx,yxco->bijo", windows[:, ::stride, ::stride], kernel)


def numpy_small_encoder(encoder, images):
    """Computes the small encoder in float64."""

    def conv(x, name, stride=1):
        kernel = encoder.get_layer(name).kernel.numpy().astype(np.float64)
        margin = (kernel.shape[0] - 1) // 2
        return numpy_conv(x, kernel, stride, margin, margin)

    def norm(x, name):
        gamma, beta, mean, variance = (w.astype(np.float64) for w in encoder.get_layer(name).get_weights())
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def relu(x):
        return np.maximum(x, 0)

    x = relu(norm(conv(images / 127.5 - 1, "stem_conv"), "stem_norm"))
    for group, stride in [(1, 1), (2, 2), (3, 2)]:
        block = f"group{group}_block1"
        shortcut = norm(conv(x, f"{block}_shortcut_conv", stride), f"{block}_shortcut_norm")
        x = relu(norm(conv(x, f"{block}_conv1", stride), f"{block}_norm1"))
        x = relu(norm(conv(x, f"{block}_conv2"), f"{block}_norm2") + shortcut)
    return x.mean(axis=(1, 2))


def test_parameter_counts_of_basic_resnets_are_the_published_ones():
    resnet18 = build_encoder("resnet18", (224, 224, 3))
    assert parameters(resnet18.layers) == PUBLISHED["resnet18"] + FIRST_SHORTCUT
    assert resnet18.output_shape == (None, 512)
    assert with_more_blocks(resnet18, "resnet34") == PUBLISHED["resnet34"] + FIRST_SHORTCUT


def test_parameter_counts_of_bottleneck_resnets_are_the_published_ones(resnet50):
    assert parameters(resnet50.layers) == PUBLISHED["resnet50"]
    assert resnet50.output_shape == (None, 2048)
    for name in ("resnet101", "resnet152", "resnet200"):
        assert with_more_blocks(resnet50, name) == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_depth_is_that_of_the_name_and_a_count_by_hand_the_published_one(name):
    block, blocks, _ = encoders.ARCHITECTURES[name]
    convolutions = 3 if block is encoders.bottleneck_block else 2
    assert 1 + convolutions * sum(blocks) + 1 == int(name[len("resnet") :])  # with the stem and a classifier
    parameters, dim = counted(name)
    assert parameters == PUBLISHED[name] + (FIRST_SHORTCUT if convolutions == 2 else 0)
    assert dim == (2048 if convolutions == 3 else 512)


@pytest.mark.parametrize("name, width, stem, channels", [
    ("resnet18", 2, "small", 1), ("resnet34", 0.25, "imagenet", 3), ("resnet50", 0.5, "small", 3),
])  # fmt: skip
def test_a_count_by_hand_holds_for_each_width_and_stem(name, width, stem, channels):
    encoder = build_encoder(name, (32, 32, channels), width=width, stem=stem)
    assert (parameters(encoder.layers), encoder.output_shape[-1]) == counted(name, width, stem, channels)


def test_wide_resnet50_has_the_published_size():
    """Two and four times the channels give 94 and 375 million parameters (Chen et al. 2020, Table 6)."""
    assert [round(counted("resnet50", width)[0] / 1e6) for width in (1, 2, 4)] == [24, 94, 375]


def test_small_encoder_equals_numpy(small):
    images = random_images(3, 8, 8, 1)
    assert_close(small(images), numpy_small_encoder(small, images))


def test_bottleneck_has_its_stride_in_the_3x3_convolution(resnet50):
    for group, stride in [(1, 1), (2, 2), (3, 2), (4, 2)]:
        convs = [resnet50.get_layer(f"group{group}_block1_conv{i}") for i in (1, 2, 3)]
        assert [conv.kernel_size[0] for conv in convs] == [1, 3, 1]
        assert [conv.strides[0] for conv in convs] == [1, stride, 1]
        assert resnet50.get_layer(f"group{group}_block1_shortcut_conv").strides[0] == stride


def test_feature_maps_have_the_sides_of_the_paper(resnet50):
    sides = [resnet50.get_layer(f"group{group}_block2_relu").output_shape[1] for group in (1, 2, 3, 4)]
    assert [resnet50.get_layer("stem_conv").output_shape[1]] + sides == [112, 56, 28, 14, 7]


def test_layers_of_stem_and_block_come_in_the_papers_order(resnet50):
    kinds = [type(layer).__name__ for layer in resnet50.layers]
    assert kinds[1:7] == ["Rescaling", "ZeroPadding2D", "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D"]
    block = [layer.name for layer in resnet50.layers if layer.name.startswith("group1_block2_")]
    assert [name[len("group1_block2_") :] for name in block] == (
        ["conv1", "norm1", "relu1", "conv2", "norm2", "relu2", "conv3", "norm3", "add", "relu"]
    )
    assert not any(layer.use_bias for layer in resnet50.layers if isinstance(layer, keras.layers.Conv2D))


def test_strided_convolution_is_centred_on_even_and_odd_images():
    for side in (66, 67):
        encoder = build_encoder("small", (side, side, 1), stem="imagenet", width=0.1)
        stem = keras.Model(encoder.input, encoder.get_layer("stem_conv").output)
        image = np.full((1, side, side, 1), 127.5, np.float32)
        for pixel, seen in [(3, True), (4, False)]:  # 7 taps around pixel 0 reach 3 pixels into the image
            changed = image.copy()
            changed[0, pixel, pixel] = 255
            assert np.any(stem(changed)[0, 0, 0] != stem(image)[0, 0, 0]) == seen


def test_blocks_start_as_the_identity(resnet50):
    model = keras.Model(resnet50.input, [resnet50.get_layer(f"group1_block{block}_relu").output for block in (1, 2, 3)])
    first, second, third = model(random_images(1, 224, 224, 3))
    assert np.ptp(first) > 0
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)


def test_uint8_and_float_images_give_the_same_embeddings(small):
    images = random_images(4, 8, 8, 1)
    assert_close(small(images), small(images.astype(np.float32)))
    assert_close(small.predict(images, verbose=0), small(images))


def test_whitening_is_applied_to_images_in_minus_one_to_one(bfloat16):
    whitening = ((-0.5, 0.0, 0.25), (0.25, 0.5, 0.75))
    encoder = build_encoder("small", (8, 8, 3), whitening=whitening, width=0.1)
    scaled = keras.Model(encoder.input, encoder.get_layer("rescale").output)(random_images(2, 8, 8, 3))
    expected = (random_images(2, 8, 8, 3) / 127.5 - 1 - whitening[0]) / whitening[1]
    assert scaled.dtype == tf.float32  # rounded to bfloat16 only after that
    np.testing.assert_allclose(scaled, expected, atol=2e-6)


@pytest.mark.parametrize("side, stem, expected", [
    (64, "auto", "small"), (65, "auto", "imagenet"), (65, "small", "small"), (32, "imagenet", "imagenet"),
])  # fmt: skip
def test_stem_follows_from_the_size_of_the_images_unless_given(side, stem, expected):
    encoder = build_encoder("small", (side, side, 3), stem=stem, width=0.1)
    conv = encoder.get_layer("stem_conv")
    pooled = "stem_pool" in [layer.name for layer in encoder.layers]
    assert (conv.kernel_size[0], conv.strides[0], pooled) == ((7, 2, True) if expected == "imagenet" else (3, 1, False))


def test_width_multiplies_the_channels_of_every_layer(small):
    half = build_encoder("small", (8, 8, 1), width=0.5)
    for wide, narrow in zip(small.layers[2:], half.layers[2:]):
        assert narrow.output_shape[-1] == wide.output_shape[-1] // 2, wide.name
    assert build_encoder("small", (8, 8, 1), width=0.01).output_shape == (None, 4)


def test_batch_normalization_has_the_papers_constants_and_is_synchronized_on_request(small):
    synchronized = build_encoder("small", (8, 8, 1), synchronized_batch_norm=True)
    for encoder in (small, synchronized):
        norms = [layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert len(norms) == 1 + 3 * 3
        assert all((norm.momentum, norm.epsilon) == (0.9, 1e-5) for norm in norms)
        assert all(norm.synchronized == (encoder is synchronized) for norm in norms)
    zero_gammas = [norm.name for norm in norms if not np.any(norm.gamma)]
    assert zero_gammas == [f"group{group}_block1_norm2" for group in (1, 2, 3)]


def test_weights_follow_from_the_seed_alone():
    one, other, different = (build_encoder("small", (8, 8, 1), seed=seed) for seed in (5, 5, 6))
    assert [weight.name for weight in one.weights] == [weight.name for weight in other.weights]
    for weight, same, changed in zip(one.weights, other.weights, different.weights):
        np.testing.assert_array_equal(weight, same)
        assert np.any(weight != changed) == ("kernel" in weight.name), weight.name


def test_kernels_are_drawn_apart_with_variance_one_over_fan_in(resnet50):
    kernels = [layer.kernel.numpy() for layer in resnet50.layers if hasattr(layer, "kernel")]
    for kernel in kernels:
        fan_in = np.prod(kernel.shape[:-1])
        tolerance = 5 / np.sqrt(2 * kernel.size)
        assert np.std(kernel) * np.sqrt(fan_in) == pytest.approx(1, rel=tolerance)
    leading = {kernel.flat[0] * np.sqrt(np.prod(kernel.shape[:-1])) for kernel in kernels}
    assert len(leading) == len(kernels)


def test_kernels_may_start_like_those_of_pytorch():
    encoder = build_encoder("resnet50", (32, 32, 3), initialization="pytorch")
    for layer in encoder.layers:
        if hasattr(layer, "kernel"):
            height, width, _, channels = layer.kernel.shape
            tolerance = 5 / np.sqrt(2 * layer.kernel.shape.num_elements())
            assert np.std(layer.kernel) * np.sqrt(height * width * channels / 2) == pytest.approx(1, rel=tolerance)
        if hasattr(layer, "gamma"):
            assert np.all(layer.gamma == 1)


def test_embeddings_are_float32_and_convolutions_bfloat16_under_mixed_precision(small, bfloat16):
    encoder = build_encoder("small", (8, 8, 1))
    encoder.set_weights(small.get_weights())
    images = random_images(16, 8, 8, 1)
    embeddings = encoder(images)
    assert embeddings.dtype == tf.float32
    assert encoder.get_layer("group3_block1_conv2").output.dtype == tf.bfloat16
    assert_close(embeddings, small(images), tolerance=0.03)


def test_forward_pass_is_the_same_under_xla(small):
    images = random_images(4, 8, 8, 1)
    assert_close(tf.function(small, jit_compile=True)(images), small(images))


def test_saved_encoders_give_the_same_embeddings(small, tmp_path):
    images = random_images(4, 8, 8, 1)
    small.save(tmp_path / "encoder.keras")
    assert_close(keras.models.load_model(tmp_path / "encoder.keras")(images), small(images))
    whitening = build_encoder("small", (8, 8, 1), whitening=((-0.4,), (0.7,)), width=0.1)
    whitening.save(tmp_path / "whitening.keras")
    assert_close(keras.models.load_model(tmp_path / "whitening.keras")(images), whitening(images))

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.uint8, name="images")])
    def embed(images):
        return {"embeddings": small(images)}

    tf.saved_model.save(small, str(tmp_path / "saved_model"), signatures=embed)
    restored = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    assert_close(restored(tf.constant(images))["embeddings"], small(images))


def test_unknown_name_is_the_users_error_and_the_nearest_is_suggested():
    with pytest.raises(ArgumentError, match=re.escape("name='resnet5': no such encoder; did you mean resnet50?")):
        build_encoder("resnet5", (8, 8, 1))
    with pytest.raises(ArgumentError, match="name='vit': no such encoder; there are small, resnet18, .*resnet200$"):
        build_encoder("vit", (8, 8, 1))


def test_an_unknown_initialization_is_refused():
    with pytest.raises(ArgumentError, match="initialization='torch': must be one of default, tensorflow, pytorch"):
        build_encoder("small", (8, 8, 1), initialization="torch")
