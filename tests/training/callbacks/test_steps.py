from supcon_tf.training.callbacks import StepCallback
from supcon_tf.training.checkpoints import latest_step
from tests.training.callbacks.fitting import fit


def test_an_execution_of_several_steps_counts_each(tmp_path):
    seen = []

    class Look(StepCallback):
        def after_step(self, logs):
            seen.append((self.step_before, self.step, self.has_passed(2)))

    fit(tmp_path, [1, 2, 3, 4, 5], Look(), steps_per_execution=3, epochs=2)
    assert seen == [(0, 3, True), (3, 5, True), (5, 8, True), (8, 10, True)]
    assert latest_step(str(tmp_path)) == 10
