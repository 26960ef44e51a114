import pytest

from supcon_tf.cli.sources import recipe_named
from supcon_tf.errors import ArgumentError, UserError


def test_an_argument_that_no_option_sets_is_not_written_as_a_flag():
    with (
        pytest.raises(UserError, match=r"^projections=3: must fit --batch_size=7$"),
        recipe_named({}, {"batch_size": 7}),
    ):
        raise ArgumentError("projections", 3, "must fit {batch_size}", batch_size=7)
