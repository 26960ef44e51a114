"""Checks the hints for options that other programs have."""

import re

import pytest

from supcon_tf import config
from supcon_tf.cli import flags, synonyms
from supcon_tf.errors import UserError

NAMES = {option.name for option in (*config.options(), *config.plan_options())} | {"flagfile"}


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("--lr=0.1", "--lr: no such option; use --learning_rate for the encoder or --linear_learning_rate for"),
        ("--epochs=3", "--epochs: no such option; use --pretrain_epochs for the encoder or --linear_epochs for"),
        ("--model=resnet50", "--model: no such option; use --encoder, for example --encoder=resnet50 or"),
        ("--bs=3", "--bs: no such option; use --batch_size"),
        ("--num-workers=4", "--num-workers: no such option; not needed: images are read by as many threads"),
        ("--pretrained", "--pretrained: no such option; use --encoder=keras:NAME --encoder_weights=imagenet"),
        ("--fp16", "--fp16: no such option; use --precision=float16"),
        ("--gpus=2", "--gpus: no such option; use --strategy=mirrored"),
        ("--linear_lr=0.1", "--linear_lr: no such option; use --linear_learning_rate"),
        ("--noflip", "--noflip: no such option; use --flip=off"),
        ("--config=foo.yaml", "--config: no such option; use --recipe=FILE or --flagfile=FILE"),
        ("--dry_run", "--dry_run: no such option; use --plan"),
        ("--evaluate_only", "--evaluate_only: no such option; use --stages=evaluate"),
        ("--patience=3", "--patience: no such option; there is no early stopping"),
        ("--early_stopping", "--early_stopping: no such option; there is no early stopping"),
        ("--ds=digits", "--ds: no such option; use --dataset"),
        ("-b=64", "-b: no such option; use --batch_size"),
        ("--resume=runs/x", "--resume: no such option; use --run_dir=runs/x, whose run .* or --warm_start=runs/x for"),
        ("--checkpoint=x", "--checkpoint: no such option; use --run_dir=x, whose run .* or --warm_start=x for"),
        ("--resume=true", "--resume: no such option; not needed: the same command resumes"),
        ("--resume", "--resume: no such option; not needed: the same command resumes the run in its --run_dir"),
    ],
)
def test_the_option_that_is_meant_is_named(typed, hint):
    with pytest.raises(UserError) as error:
        flags.parse(["app.py", "--mode=supcon", "--dataset=digits", typed])
    assert re.match(hint, str(error.value))


def test_every_hint_names_options_that_exist():
    for name, instead in synonyms.INSTEAD.items():
        assert set(re.findall(r"--(\w+)", instead)) <= NAMES, name


def test_no_synonym_is_an_option():
    assert not {name.replace("_", "") for name in NAMES} & synonyms.INSTEAD.keys()
    assert all(re.fullmatch("[a-z0-9]+", name) for name in synonyms.INSTEAD)


@pytest.mark.parametrize("written", ["{}", "{}/"])
def test_a_path_as_data_set_is_told_to_be_a_folder(tmp_path, written):
    path = written.format(tmp_path)
    with pytest.raises(UserError) as error:
        flags.parse(["app.py", "--mode=supcon", f"--dataset={path}"])
    assert error.value.text(config.as_flag) == f"--dataset={path}: is a path; write --dataset=folder:{path}"
