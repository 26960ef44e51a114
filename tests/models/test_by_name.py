"""Encoders by name and models from options: what is built, and how errors name the options."""

import pytest
from tensorflow import keras

from supcon_tf import config
from supcon_tf.config import ModelOptions
from supcon_tf.errors import ArgumentError
from supcon_tf.models import by_name

SHAPE = (8, 8, 3)


def test_the_encoders_are_the_choices_of_the_config():
    assert set(by_name.ENCODERS) == {*config.ENCODERS, "keras", "path"}


def test_a_family_is_added_by_one_entry(monkeypatch):
    def build(options, image_shape, whitening, seed):
        images = keras.Input(image_shape)
        return keras.Model(images, keras.layers.Dense(3 + seed)(keras.layers.Flatten()(images)))

    monkeypatch.setitem(by_name.ENCODERS, "toy", by_name.EncoderFamily(build, whitened=True))
    options = ModelOptions(encoder="toy", projection_layers=(4,))
    model = by_name.make_contrastive_model(options, SHAPE, None, seed=2)
    assert model.encoder.output_shape == (None, 5) and model.compute_output_shape((2, 3, *SHAPE)) == (2, 3, 4)
    assert by_name.make_classifier(options, SHAPE, 7, seed=1, freeze_encoder=True).linear.kernel.shape == (4, 7)
    with pytest.raises(ArgumentError, match="encoder_width=2.0: does not apply to encoder='toy'"):
        by_name.make_encoder(ModelOptions(encoder="toy", encoder_width=2.0), SHAPE)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            {"encoder": "keras:VGG16"},
            "encoder='keras:VGG16': takes images of at least 32 pixels, not 8; increase image",
        ),
        ({"encoder": "keras:VGG61"}, "encoder='keras:VGG61': no such model in keras.applications; did you mean VGG16"),
        ({"encoder": "resnet5"}, "encoder='resnet5': no such encoder; did you mean resnet50"),
        ({"encoder": "./no.keras"}, "encoder='./no.keras': no such file or folder"),
        ({"encoder": "./no.keras", "stem": "small"}, "stem='small': does not apply to encoder='./no.keras'"),
        ({"encoder": "small", "encoder_weights": "x.h5"}, "encoder_weights='x.h5': does not apply to encoder='small'"),
    ],
)
def test_errors_name_the_options(options, complaint):
    with pytest.raises(ArgumentError) as error:
        by_name.make_encoder(ModelOptions(**options), SHAPE)
    assert str(error.value).startswith(complaint) and "image_shape" not in str(error.value)


def test_encoders_of_others_whiten_by_themselves():
    assert by_name.family_of("resnet50").whitened and not by_name.family_of("keras:VGG16").whitened
    assert not by_name.family_of("./encoder.keras").whitened
