import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow  # as those of the other benchmarks
def test_both_tables_are_printed():
    command = [
        sys.executable,
        "benchmarks/input.py",
        "--policies",
        "crop_flip",
        "--rounds=1",
        "--images=32",
        "--images-per-turn=32",
    ]
    environment = {**os.environ, "PYTHONPATH": "."}
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    rows = dict(re.findall(r"^\| ([^|]+) \|(.*)\|$", output, re.MULTILINE))
    assert {"decoding alone", "crop_flip", "crop and resize", "mirror"} <= set(rows)
    assert "simclr" not in rows and "blur" not in rows
    assert float(rows["crop and resize"]) > 0
    images_per_second, share, processor, _ = map(float, rows["crop_flip"].split("|"))
    assert images_per_second > 0 and processor > 0
    assert 0 < share < 1
