import errno

import pytest
import tensorflow as tf

from supcon_tf import storage
from supcon_tf.errors import UserError

FULL = "{{function_node __wrapped__SaveV2_dtypes_18}} /runs/mine/checkpoints/ckpt-5_temp/part; No space left on device"


def test_a_full_disk_is_told_from_too_little_memory():
    for message in (f"{FULL} [Op:SaveV2]", FULL, f"{FULL}\n\tFailed to flush 2 events [Op:FlushSummaryWriter] name:"):
        found = storage.failure(tf.errors.ResourceExhaustedError(None, None, message))
        assert found == (errno.ENOSPC, "/runs/mine/checkpoints/ckpt-5_temp/part")
    for message in (
        "{{function_node __wrapped__Mul}} OOM when allocating tensor with shape[16384,16384] and type float on /CPU:0",
        "failed to allocate memory [Op:AddV2]",
    ):
        assert storage.failure(tf.errors.ResourceExhaustedError(None, None, message), "/") is None


def test_tensorflow_s_real_error_is_recognised(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(tf.errors.OpError) as error, tf.io.gfile.GFile(str(tmp_path / "file" / "x"), "w") as file:
        file.write("x")
    assert storage.failure(error.value, str(tmp_path)) == (errno.ENOTDIR, str(tmp_path / "file" / "x"))


@pytest.mark.parametrize("kind", ["python", "tensorflow"])
def test_a_missing_file_is_a_failure_of_storage_only_in_the_folders_of_the_run(kind):
    def missing(path):
        if kind == "python":
            return FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return tf.errors.NotFoundError(None, None, f"{path}; No such file or directory")

    assert storage.failure(missing("/runs/mine/x"), "/data", "/runs/mine").path == "/runs/mine/x"
    assert storage.failure(missing("/runs/mine2/x"), "/data", "/runs/mine") is None
    assert storage.failure(missing("recipes/x.cfg"), "/runs/mine") is None


@pytest.mark.parametrize(
    "error",
    [ValueError("x; No space left on device"), BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError("no number")],
)
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as raised, storage.failures_named("/runs/mine", "/data", lambda: None):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    "error, line",
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "/runs/mine: No space left on device; step 3 is kept. Run the same command again when there is space",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/tmp/x/y"),
            "/tmp/x: No space left on device; step 3 is kept. Run the same command again when there is space",
        ),
        (
            OSError(errno.EIO, "Input/output error", "/runs/mine/config.json"),
            "/runs/mine/config.json: Input/output error; step 3 is kept. Run the same command again when this is "
            "mended",
        ),
        (
            OSError(errno.ENOENT, "No such file or directory", "/data/digits/1.0.0/x"),
            "/data/digits/1.0.0/x: No such file or directory; step 3 is kept. To have the data prepared again, run it "
            "again",
        ),
    ],
)
def test_the_line_names_the_folder_the_reason_and_what_is_kept(error, line):
    named = storage.failures_named("/runs/mine", "/data", lambda: storage.Saved("linear", 1003))
    with pytest.raises(UserError) as raised, named:
        raise error
    assert str(raised.value) == line.replace("step 3 is kept", "the checkpoint of step 1,003 of stage 'linear' is kept")


def test_a_failure_behind_a_library_s_error_is_found():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
        except OSError as cause:
            raise RuntimeError("Failed to finalize writing") from cause
    except RuntimeError as error:
        assert storage.failure_behind(error, "/data") == (errno.ENOSPC, "/data/x")
    assert storage.failure_behind(RuntimeError("a bug"), "/data") is None
