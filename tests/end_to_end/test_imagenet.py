"""imagenet2012 as a user runs it, by its recipe, from the tars of a small one."""

import json

import pytest

from app import main
from supcon_tf.models import encoders
from tests import imagenet


@pytest.mark.slow
def test_imagenet_is_prepared_trained_on_evaluated_and_exported(tmp_path, capsys, monkeypatch):
    one_block_a_group = encoders.ARCHITECTURES["resnet50"]._replace(blocks=(1, 1, 1, 1))  # to save time
    monkeypatch.setitem(encoders.ARCHITECTURES, "resnet50", one_block_a_group)
    imagenet.write_tars(tmp_path)
    arguments = [
        "--mode=supcon",
        "--dataset=imagenet2012",
        f"--source_files={tmp_path}",
        f"--data_dir={tmp_path / 'data'}",
        f"--run_dir={tmp_path / 'run'}",
        "--encoder_width=0.0625",
        "--batch_size=8",
        "--linear_batch_size=8",
        "--pretrain_epochs=1",
        "--warmup_epochs=0",
        "--linear_epochs=1",
        "--linear_warmup_epochs=0",
        "--log_every=1",
    ]
    assert main(["app.py", *arguments]) == 0, capsys.readouterr().err
    printed = capsys.readouterr()
    assert "supcon on imagenet2012: 24 training images of 224x224, 1,000 classes" in printed.err
    assert "of 4 held-out images" in printed.out
    recorded = json.loads((tmp_path / "run/config.json").read_text())
    assert (recorded["encoder"], recorded["optimizer"], recorded["precision"]) == ("resnet50", "lars", "bfloat16")
    assert (recorded["eval_crop"], recorded["crop_min_area"]) == (0.875, 0.08)
    assert recorded["whitening_constants"] == {"mean": [0.0], "std": [1.0]}
    assert len((tmp_path / "run/saved_model/assets/classes.txt").read_text().split()) == 1000
    assert main(["app.py", *arguments]) == 0 and capsys.readouterr().out == printed.out
