"""Catching libjpeg's warnings leaves everything else on stderr, and never fails the work around it."""

import os

import pytest

from supcon_tf.data.decoder_messages import libjpeg_warnings
from supcon_tf.native_stderr import STDERR

WARNING = b"Corrupt JPEG data: 3 extraneous bytes before marker 0xd9\n"


def test_warnings_are_caught_and_other_lines_go_on(capfd):
    with libjpeg_warnings() as warnings:
        os.write(STDERR, b"before\n" + WARNING + b"after\n")
    assert warnings == [WARNING.decode().strip()]
    assert capfd.readouterr().err == "before\nafter\n"


def test_stderr_is_put_back_after_an_error(capfd):
    with pytest.raises(KeyError), libjpeg_warnings():
        raise KeyError
    os.write(STDERR, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_stderr_only_loses_lines(capfd):
    usual = os.dup(STDERR)
    try:
        with open("/dev/full", "wb") as full:
            os.dup2(full.fileno(), STDERR)
            with libjpeg_warnings() as warnings:
                os.write(STDERR, b"lost\n" + WARNING)
    finally:
        os.dup2(usual, STDERR)
        os.close(usual)
    assert warnings == [WARNING.decode().strip()]


def test_without_room_for_a_file_nothing_is_caught(monkeypatch, capfd):
    def fail():
        raise OSError("No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    with libjpeg_warnings() as warnings:
        os.write(STDERR, WARNING)
    assert warnings == [] and capfd.readouterr().err == WARNING.decode()
