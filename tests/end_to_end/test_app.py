"""The binary as a user runs it, on the embedded data set."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from app import main
from supcon_tf.cli import predict as predict_command
from supcon_tf.training.checkpoints import latest_step
from tests.cluster import free_addresses, tf_config

ROOT = pathlib.Path(__file__).parents[2]
QUICK = ["--pretrain_epochs=5", "--warmup_epochs=1", "--linear_epochs=1", "--log_every=2"]


def app(*arguments, **options):
    """Runs app.py to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py"), *arguments], capture_output=True, text=True, cwd=ROOT, **options
    )


def succeed(*arguments):
    done = app(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def supcon_arguments(data_dir, run_dir):
    """A short run on digits; its batch statistics do not depend on the number of devices."""
    fixed = ["--mode=supcon", "--dataset=digits", "--sync_batch_norm", *QUICK]
    return [*fixed, f"--data_dir={data_dir}", f"--run_dir={run_dir}"]


def metrics(run_dir):
    return json.loads((run_dir / "metrics.json").read_text())


@pytest.fixture(scope="module")
def supcon_run(digits_dir, tmp_path_factory):
    """A short, undisturbed run of all stages, and what it printed."""
    run_dir = tmp_path_factory.mktemp("runs") / "supcon"
    return run_dir, succeed(*supcon_arguments(digits_dir, run_dir))


def test_a_run_leaves_what_it_promises(supcon_run):
    run_dir, done = supcon_run
    for name in (
        "config.json",
        "metrics.json",
        "history.json",
        "checkpoints",
        "tensorboard",
        "saved_model",
        "report.html",
    ):
        assert (run_dir / name).exists(), name
    assert {"top1", "top5", "cross_entropy", "images"} <= set(metrics(run_dir))
    assert json.loads((run_dir / "config.json").read_text())["dataset"] == "digits"
    for word in ("top-1", "top-5", "SavedModel", "TensorBoard", "predict", str(run_dir)):
        assert word in done.stdout, word


def test_the_screen_is_quiet(supcon_run):
    _, done = supcon_run
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert lines[0].startswith("supcon on digits: 1,197 training images of 8x8, 10 classes")
    begins = ("pretrain ", "linear ", "evaluate ", "export ", "warning: ")
    assert all(line.startswith(begins) for line in lines[1:]), done.stderr
    assert {"pretrain", "linear", "evaluate", "export"} <= {line.split()[0] for line in lines[1:]}


def test_running_again_does_nothing_and_says_the_same(supcon_run, digits_dir, capsys):
    run_dir, first = supcon_run
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()}
    assert main(["app.py", *supcon_arguments(digits_dir, run_dir)]) == 0
    assert capsys.readouterr().out == first.stdout
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()} == before


def test_the_report_of_a_run_that_an_earlier_version_trained_says_where_curves_are_missing(
    supcon_run, digits_dir, tmp_path
):
    run_dir = tmp_path / "run"
    shutil.copytree(supcon_run[0], run_dir)
    for name in ("history.json", "metrics.json", "report.html"):
        (run_dir / name).unlink()
    assert main(["app.py", *supcon_arguments(digits_dir, run_dir), "--stages=evaluate"]) == 0
    report = (run_dir / "report.html").read_text()
    assert report.count("history.json has no curves of this stage") == 2 and "<svg" not in report
    assert "has no curves" not in (supcon_run[0] / "report.html").read_text()
    assert metrics(run_dir) == metrics(supcon_run[0])


def test_same_folder_with_other_options_is_refused(supcon_run, digits_dir, capsys):
    run_dir, _ = supcon_run
    assert main(["app.py", *supcon_arguments(digits_dir, run_dir), "--temperature=0.5"]) == 2
    stderr = capsys.readouterr().err
    assert "--temperature=0.5 (was 0.1)" in stderr and len(stderr.splitlines()) == 1


def test_printed_predict_command_works(supcon_run, tmp_path):
    _, done = supcon_run
    image = tmp_path / "IMAGE.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(image)
    line = next(line for line in done.stdout.splitlines() if line.split()[:1] == ["predict"])
    command = line.split(None, 1)[1].replace("IMAGE.png", str(image)).split()
    command[0] = sys.executable
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0 and answer.stdout.startswith(f"{image}: "), answer.stderr


@pytest.mark.slow
def test_a_run_may_live_where_only_tensorflow_reaches(digits_dir, capsys):
    run_dir = "ram://runs/mine"  # as gs://, though in memory
    quick = ["--encoder_width=0.25", "--pretrain_epochs=2", "--validation_split=none"]
    arguments = [*supcon_arguments(digits_dir, run_dir), *quick]
    assert main(["app.py", *arguments]) == 0
    printed = capsys.readouterr()
    assert "top-1" in printed.out and "Traceback" not in printed.err
    for name in ("config.json", "metrics.json", "report.html", "saved_model/saved_model.pb", "saved_model/assets"):
        assert tf.io.gfile.exists(f"{run_dir}/{name}"), name
    for stage in ("pretrain", "linear"):
        assert latest_step(f"{run_dir}/checkpoints/{stage}")
        assert tf.io.gfile.glob(f"{run_dir}/tensorboard/{stage}/events.out.tfevents.*")
    with tf.io.gfile.GFile(f"{run_dir}/report.html") as report:
        assert "<svg" in report.read()
    image = "ram://runs/image.png"
    with tf.io.gfile.GFile(image, "wb") as file:
        file.write(tf.io.encode_png(tf.zeros([8, 8, 1], tf.uint8)).numpy())
    assert predict_command.main(["predict", f"{run_dir}/saved_model", image]) == 0
    assert capsys.readouterr().out.startswith(f"{image}: ")
    assert main(["app.py", *arguments]) == 0
    assert capsys.readouterr().out == printed.out


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused(digits_dir, tmp_path, capsys):
    run_dir = tmp_path / "run"
    arguments = supcon_arguments(digits_dir, run_dir)
    command = [sys.executable, str(ROOT / "app.py"), *arguments, "--pretrain_epochs=5000"]
    first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        for line in first.stderr:
            if "run in" in line:
                break
        for others in ([], ["--temperature=0.5"]):
            assert main(["app.py", *arguments, *others]) == 2
            said = capsys.readouterr().err.splitlines()[-1]
            assert said.startswith(f"app.py: --run_dir={run_dir}: process {first.pid} on ")
        wait_for_checkpoint(run_dir, [first])
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 128 + signal.SIGTERM
        assert not (run_dir / "run.lock").exists()
    finally:
        first.kill()
        first.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--mode=supcon"], ["--mode=ce", "--mix=cutmix", "--augment=randaugment"]])
def test_every_operation_of_a_run_has_a_deterministic_form(options, digits_dir, tmp_path):
    """TensorFlow raises an error for one that has none. The CPU's results are those without the option."""
    results = []
    for name in ("usual", "deterministic"):
        arguments = [*supcon_arguments(digits_dir, tmp_path / name), *options, "--stages=pretrain,linear,evaluate"]
        succeed(*arguments, *(["--deterministic"] if name == "deterministic" else []))
        results.append(metrics(tmp_path / name))
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_run_stopped_three_times_ends_with_the_figures_of_an_undisturbed_one(supcon_run, digits_dir, tmp_path):
    undisturbed, _ = supcon_run
    # Saves after every step, so that even SIGKILL finds something to continue from.
    arguments = [*supcon_arguments(digits_dir, tmp_path), "--checkpoint_minutes=1e-9"]
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        saved = latest_step(str(tmp_path / "checkpoints" / "pretrain"))
        deadline = time.monotonic() + 240
        while latest_step(str(tmp_path / "checkpoints" / "pretrain")) == saved:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number
            assert "saved at step" in stderr.splitlines()[-1]
    assert not (tmp_path / "metrics.json").exists()
    succeed(*arguments)
    assert metrics(tmp_path) == metrics(undisturbed)


def assert_close(metrics, expected):
    """Figures of runs that differ by rounding alone: at most a few images change sides."""
    assert metrics["images"] == expected["images"] == 400
    assert abs(metrics["cross_entropy"] - expected["cross_entropy"]) < 1e-2
    assert abs(metrics["top1"] - expected["top1"]) <= 4 / 400


def test_the_cpu_can_be_split_into_devices(digits_dir, tmp_path):
    done = app(*supcon_arguments(digits_dir, tmp_path), "--cpu_devices=2", "--batch_size=33")
    assert done.returncode == 2 and "must be a multiple of the 2 replicas" in done.stderr


@pytest.fixture
def start_worker(digits_dir, tmp_path):
    """Number of a worker → its process, one of two that train in `tmp_path`."""
    addresses = free_addresses(2)
    started = []

    def start(index, *arguments):
        command = [sys.executable, str(ROOT / "app.py"), *supcon_arguments(digits_dir, tmp_path), *arguments]
        environment = {**os.environ, "TF_CONFIG": tf_config(addresses, index)}
        started.append(
            subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()


def ends_of(workers):
    """Exit status and what was said on stdout and stderr, of each."""
    said = [worker.communicate(timeout=300) for worker in workers]
    return [(worker.returncode, *texts) for worker, texts in zip(workers, said)]


def wait_for_checkpoint(run_dir, workers):
    """The step of the first checkpoint, as soon as there is one."""
    deadline = time.monotonic() + 240
    while latest_step(str(run_dir / "checkpoints" / "pretrain")) is None:
        assert time.monotonic() < deadline and all(worker.poll() is None for worker in workers)
        time.sleep(0.02)
    return latest_step(str(run_dir / "checkpoints" / "pretrain"))


@pytest.mark.slow
def test_workers_with_different_options_are_told(start_worker):
    ends = ends_of([start_worker(0), start_worker(1, "--temperature=0.5")])
    assert [status for status, *_ in ends] == [2, 2], ends
    for _, _, stderr in ends:
        assert "TF_CONFIG: its workers were started with different options" in stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_killed_worker_joins_again_and_no_saved_step_is_lost(supcon_run, start_worker, tmp_path):
    workers = [start_worker(index, "--checkpoint_minutes=1e-9") for index in (0, 1)]
    saved = wait_for_checkpoint(tmp_path, workers)
    workers[1].kill()
    workers[1].communicate()
    workers[1] = start_worker(1)
    ends = ends_of(workers)
    assert [status for status, *_ in ends] == [0, 0], ends
    assert "app.py: lost the other workers (" in ends[0][2]
    assert int(re.search("pretrain  resumes after step ([0-9]+) of 23", ends[0][2])[1]) >= saved
    assert_close(metrics(tmp_path), metrics(supcon_run[0]))


@pytest.mark.slow
def test_workers_stop_together_when_one_is_asked_to(start_worker, tmp_path):
    arguments = ["--stages=pretrain", "--encoder_width=0.25", "--checkpoint_minutes=1e-9"]
    workers = [start_worker(index, *arguments) for index in (0, 1)]
    wait_for_checkpoint(tmp_path, workers)
    workers[1].terminate()
    ends = ends_of(workers)
    assert [status for status, *_ in ends] == [128 + signal.SIGTERM] * 2, ends
    last_lines = {stderr.splitlines()[-1] for _, _, stderr in ends}
    step = latest_step(str(tmp_path / "checkpoints" / "pretrain"))
    assert last_lines == {f"app.py: stopped and saved at step {step}; run the same command to resume"}
    ends = ends_of([start_worker(index, *arguments) for index in (0, 1)])
    assert [status for status, *_ in ends] == [0, 0], ends
    assert f"pretrain  resumes after step {step} of 23" in ends[0][2]
    assert latest_step(str(tmp_path / "checkpoints" / "pretrain")) == 23


@pytest.mark.slow
def test_unlabelled_folder_is_pretrained_and_its_encoder_exported(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, size=(20, 24, 3)).astype(np.uint8)).save(folder / f"{i}.png")
    run_dir = tmp_path / "run"
    arguments = [
        "--mode=simclr",
        f"--dataset=folder:{folder}",
        f"--data_dir={tmp_path / 'data'}",
        f"--run_dir={run_dir}",
        "--encoder=small",
        "--image_size=16",
        "--batch_size=4",
        "--linear_batch_size=4",
        *QUICK,
    ]
    assert main(["app.py", *arguments]) == 0
    printed = capsys.readouterr().out
    assert (run_dir / "saved_model").exists() and not (run_dir / "metrics.json").exists()
    assert "SavedModel" in printed and "top-1" not in printed


@pytest.mark.slow
def test_a_run_learns_from_balanced_batches_and_unlabelled_images(digits_dir, tmp_path, capsys):
    given = ["--mode=supcon", "--dataset=digits", f"--data_dir={digits_dir}", f"--run_dir={tmp_path}", *QUICK]
    given += ["--pretrain_epochs=2", "--encoder_width=0.25", "--batch_size=100", "--linear_batch_size=100"]
    sampling = ["--max_examples=500", "--classes_per_batch=5", "--unlabelled=digits", "--unlabelled_share=0.6"]
    sampling += ["--stages=pretrain,linear"]
    assert main(["app.py", *given, *sampling]) == 0
    printed = capsys.readouterr()
    assert "500 training images and 697 without labels of 8x8, 10 classes" in printed.err
    assert "classmates" not in printed.err and "warning" not in printed.err
    assert latest_step(str(tmp_path / "checkpoints" / "pretrain")) == 2 * (500 // 40)
    assert latest_step(str(tmp_path / "checkpoints" / "linear")) == 500 // 100


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--dataset=digts"], "--dataset=digts"),
        (["--train_split=trian"], "--train_split=trian"),
        (["--batch_size=5000"], "--batch_size=5000: exceeds the 1,197 training images"),
        (["--stages=evaluate"], "--stages=evaluate: needs the finished stage 'linear'"),
        (["--stages=export"], "--stages=export: needs the finished stage 'linear'"),
        (["--stages=linear"], "--stages=linear: needs the finished stage 'pretrain'"),
        (
            ["--strategy=mirrored", "--batch_size=255"],
            "--batch_size=255: must be a multiple of the 8 replicas; the nearest is 256",
        ),
        (
            ["--microbatch_size=50"],
            "--microbatch_size=50: must divide the 256 images of a replica's batch; the nearest is 64",
        ),
        (["--unlabelled=digts"], "--unlabelled=digts"),
        (["--unlabelled=digits"], "--unlabelled=digits: all its images are trained on with labels"),
        (
            ["--classes_per_batch=7"],
            "--classes_per_batch=7: must divide the 256 labelled images of a batch; the nearest",
        ),
        (["--tpu=local"], "--tpu=local: this machine has no TPU"),
        (["--run_dir=/proc/run"], "--run_dir=/proc/run: cannot be written"),
        (["--dataset=folder:/nowhere"], "/nowhere"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_bad_input_gets_one_line(arguments, complaint, digits_dir, tmp_path, capsys):
    given = ["--mode=supcon", "--dataset=digits", f"--data_dir={digits_dir}", f"--run_dir={tmp_path}/run", *arguments]
    assert main(["app.py", *given]) == 2
    stderr = capsys.readouterr().err
    lines = [line for line in stderr.splitlines() if not line.startswith("supcon on digits")]
    assert len(lines) == 1 and lines[0].startswith("app.py: ") and complaint in lines[0], stderr


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(digits_dir, tmp_path, capsys):
    run_dir = tmp_path / "run"
    arguments = [
        "--mode=ce",
        "--dataset=digits",
        f"--data_dir={digits_dir}",
        f"--run_dir={run_dir}",
        *QUICK,
        "--learning_rate=1e30",
        "--checkpoint_minutes=1e-9",
    ]
    assert main(["app.py", *arguments]) == 2
    stderr = capsys.readouterr().err
    assert "the loss is nan" in stderr or "the loss is inf" in stderr
    assert "step " in stderr.splitlines()[-1] and "Traceback" not in stderr
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints" / "pretrain"))
    kernels = [name for name in reader.get_variable_to_shape_map() if "kernel" in name]
    assert kernels and all(np.all(np.isfinite(reader.get_tensor(name))) for name in kernels)
