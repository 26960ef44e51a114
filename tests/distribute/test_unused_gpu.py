"""A machine whose GPU TensorFlow does not see is told so in one line."""

import pytest
import tensorflow as tf

from supcon_tf.distribute import unused_gpu_notice

LISTED = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0)"


@pytest.fixture
def nvidia_smi(monkeypatch, tmp_path):
    """Returns a function that makes the PATH hold nothing but a program of this name and text."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])

    def make(text):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("cuda", "reason"), [(False, "this TensorFlow has no CUDA"), (True, "finds no CUDA libraries")]
)
def test_a_gpu_that_is_not_used_is_named_with_the_reason(nvidia_smi, monkeypatch, cuda, reason):
    nvidia_smi(f"echo '{LISTED}'")
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    notice = unused_gpu_notice()
    assert notice.startswith("Note: GPU 0: NVIDIA H100 80GB HBM3 is not used, because") and reason in notice


@pytest.mark.parametrize("text", ["exit 9", "echo 'No devices were found'", "echo"])
def test_a_machine_without_a_gpu_is_told_nothing(nvidia_smi, text):
    assert unused_gpu_notice() is None  # there is no such program
    nvidia_smi(text)
    assert unused_gpu_notice() is None


def test_a_gpu_that_is_used_or_hidden_on_purpose_is_not_mentioned(nvidia_smi, monkeypatch):
    nvidia_smi(f"echo '{LISTED}'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert unused_gpu_notice() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert unused_gpu_notice() is None
