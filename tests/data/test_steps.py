import pytest

from supcon_tf.data.steps import StepSchedule, plan_steps
from supcon_tf.errors import ArgumentError


@pytest.mark.parametrize("batch_size, images, epochs", [(256, 1197, 2), (7, 10, 6), (5, 5, 3), (6144, 1281167, 350)])
def test_each_step_belongs_to_the_pass_in_which_it_ends(batch_size, images, epochs):
    steps = StepSchedule(batch_size, images, epochs)
    assert steps.total_steps == int(epochs * images / batch_size)
    for step in (0, 1, steps.total_steps // 2, steps.total_steps - 1):
        assert steps.epoch_of(step) == int(((step + 1) * batch_size - 1) / images)
        assert steps.steps_before(steps.epoch_of(step)) <= step < steps.steps_before(steps.epoch_of(step) + 1)
    assert steps.epoch_of(steps.total_steps) == epochs


@pytest.mark.parametrize(
    "batch_size, replicas, share, unlabelled",
    [(40, 1, 0.5, 20), (40, 4, 0.5, 20), (40, 4, 0.01, 4), (40, 8, 0.99, 32), (40, 1, 0.3, 12)],
)
def test_each_replica_has_equally_many_unlabelled_images(batch_size, replicas, share, unlabelled):
    steps = plan_steps(230, batch_size, 2, replicas, unlabelled=70, unlabelled_share=share)
    assert steps == StepSchedule(batch_size, 230, 2, unlabelled)


@pytest.mark.parametrize(
    "batch_size, replicas, options, complaint",
    [
        (2000, 1, {}, "batch_size=2000: exceeds the 230 training images; give 230 or less"),
        (10, 4, {}, "batch_size=10: must be a multiple of the 4 replicas; the nearest is 8"),
        (3, 4, {}, "batch_size=3: must be a multiple of the 4 replicas; the nearest is 4"),
        (40, 1, {"classes_per_batch": 6}, "classes_per_batch=6: only 5 classes have training images; give 5 or less"),
        (
            42,
            1,
            {"classes_per_batch": 4},
            "classes_per_batch=4: must divide the 42 labelled images of a batch; the",
        ),
        (1, 1, {"unlabelled_share": 0.5}, "batch_size=1: each replica needs 2 images"),
        (
            400,
            1,
            {"unlabelled_share": 0.5},
            "unlabelled_share=0.5: a batch needs 200 unlabelled images, but there are 70; give a smaller share or "
            "batch_size",
        ),
        (400, 1, {"unlabelled_share": 0.1}, "batch_size=400: needs 360 labelled images, but the data set has 230"),
    ],
)
def test_batches_that_cannot_be_made_are_rejected(batch_size, replicas, options, complaint):
    unlabelled = 70 if "unlabelled_share" in options else None
    with pytest.raises(ArgumentError) as error:
        plan_steps(230, batch_size, 1, replicas, num_classes=5, unlabelled=unlabelled, **options)
    assert str(error.value).startswith(complaint) and "\n" not in str(error.value)


def test_a_pass_consists_of_whole_batches_only_where_classes_are_balanced():
    steps = [plan_steps(1197, 250, 3, 2, num_classes=10, classes_per_batch=count) for count in (None, 5)]
    assert steps == [StepSchedule(250, 1197, 3), StepSchedule(250, 1000, 3, classes_per_batch=5)]


def test_counts_in_errors_have_commas_and_values_to_type_have_none():
    with pytest.raises(ArgumentError, match="^batch_size=2000: exceeds the 1,197 training images; give 1197 or less$"):
        plan_steps(1197, 2000, 1, 1)
