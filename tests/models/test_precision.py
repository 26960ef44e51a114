import pytest
from tensorflow import keras

from supcon_tf.models.precision import precision_policy


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_layers_compute_in_the_precision_and_keep_float32_variables(precision):
    with precision_policy(precision):
        layer = keras.layers.Dense(1)
    assert (layer.compute_dtype, layer.variable_dtype) == (precision, "float32")


def test_the_policy_before_is_back_after_success_and_after_failure():
    before = keras.mixed_precision.Policy("mixed_bfloat16")
    keras.mixed_precision.set_global_policy(before)
    with precision_policy("float32"):
        pass
    assert keras.mixed_precision.global_policy() is before
    with pytest.raises(ZeroDivisionError), precision_policy("float32"):
        raise ZeroDivisionError
    assert keras.mixed_precision.global_policy() is before
