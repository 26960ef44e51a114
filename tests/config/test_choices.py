from supcon_tf import config as config_lib
from supcon_tf.augment import colour


def test_jitter_styles_are_those_of_the_augmentation():
    assert tuple(colour.STYLES) == config_lib.JITTER_STYLES


def test_mode_and_stage_names_have_no_comma_or_space():
    for name in (*config_lib.MODES, *config_lib.STAGES, *config_lib.PARTS, *config_lib.POLICIES):
        assert name.replace("_", "").isalnum()  # they are typed in lists such as --stages=linear,evaluate
