from supcon_tf.training.callbacks import ContrastiveWarnings


def warnings_after(epochs, capsys):
    callback = ContrastiveWarnings(patience=2)
    for epoch, (loss, share) in enumerate(epochs):
        logs = {"unscaled_loss": loss, "collapsed_loss": 4.0, "images_with_classmates": share}
        callback.on_epoch_end(epoch, logs)
    return capsys.readouterr().err.splitlines()


def test_collapsed_embeddings_are_said_once(capsys):
    lines = warnings_after([(4.0, 1.0)] * 5, capsys)
    assert len(lines) == 1 and "all projections are nearly equal" in lines[0]


def test_a_loss_that_leaves_the_collapsed_value_is_no_collapse(capsys):
    assert warnings_after([(4.0, 1.0), (3.5, 1.0), (4.0, 1.0), (3.0, 1.0)], capsys) == []


def test_few_classmates_are_said_once_where_labels_count(capsys):
    lines = warnings_after([(3.0, 0.1)] * 3, capsys)
    assert len(lines) == 1 and "only 10% of the images" in lines[0]


def test_without_labels_nobody_expects_classmates(capsys):
    callback = ContrastiveWarnings()
    callback.on_epoch_end(0, {"unscaled_loss": 3.0, "collapsed_loss": 4.0})
    assert capsys.readouterr().err == ""


def test_a_loss_without_diagnostics_gives_no_warning(capsys):
    ContrastiveWarnings().on_epoch_end(0, {"loss": 3.0, "temperature": 0.1})
    assert capsys.readouterr().err == ""
