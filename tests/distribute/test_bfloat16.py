"""bfloat16 is chosen where the device has instructions for it, and nowhere else."""

import types

import pytest
import tensorflow as tf

from supcon_tf.distribute import bfloat16

CPU = tf.distribute.OneDeviceStrategy("CPU:0")


@pytest.mark.parametrize(
    ("text", "gains"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags : amx_bf16 amx_tile\n", True),
        ("Features : fp asimd bf16\n", False),  # Linux on ARM calls them otherwise
        ("", False),
    ],
)
def test_a_cpu_gains_with_its_instructions(text, gains, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(bfloat16, "CPU_INFO", tmp_path / "cpuinfo")
    assert bfloat16.bfloat16_gains(CPU) is gains


def test_a_system_may_not_say(tmp_path, monkeypatch):
    monkeypatch.setattr(bfloat16, "CPU_INFO", tmp_path / "missing")
    assert bfloat16.bfloat16_gains(CPU) is False


@pytest.mark.parametrize("capabilities, gains", [([(8, 0)], True), ([(9, 0), (8, 6)], True), ([(8, 0), (7, 5)], False)])
def test_all_gpus_must_be_from_ampere_on(capabilities, gains, monkeypatch):
    monkeypatch.setattr(bfloat16, "has_accelerators", lambda strategy: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    details = types.SimpleNamespace(get_device_details=lambda gpu: {"compute_capability": gpu})
    monkeypatch.setattr(tf.config, "experimental", details)
    assert bfloat16.bfloat16_gains(CPU) is gains
