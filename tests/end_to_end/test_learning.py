"""Trains a whole run and checks that it learns. It has a file to itself, because files run side by side."""

import json

import pytest

from app import main


@pytest.mark.slow
def test_recipe_learns_to_tell_digits(digits_dir, tmp_path):
    half = ["--pretrain_epochs=20", "--linear_epochs=10"]  # of the recipe's epochs, to save time
    arguments = ["--mode=supcon", "--dataset=digits", f"--data_dir={digits_dir}", f"--run_dir={tmp_path}", *half]
    assert main(["app.py", *arguments]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["top1"] >= 0.95
