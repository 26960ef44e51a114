"""A run on a folder with no option but mode and data set: what is chosen, said, recorded and kept."""

import json
import shutil

import pytest

from supcon_tf import config as config_lib
from supcon_tf import distribute
from supcon_tf.errors import UserError
from supcon_tf.run.run import run
from tests.brightness import write_folder

EVERY = [option.name for option in config_lib.options()]
QUICK = {"encoder": "small", "encoder_width": 0.25, "learning_rate": 0.1, "crop_min_area": 0.8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Dark and bright images of 20 pixels, 30 a class."""
    return write_folder(tmp_path_factory.mktemp("own") / "pictures", side=20, images=30)


@pytest.fixture
def start(folder, tmp_path):
    def start(run_dir="run", undecided=None, **options):
        given = {"mode": "supcon", "precision": "auto", **QUICK, **options}
        places = {"dataset": f"folder:{folder}", "data_dir": str(folder.parent / "data")}
        config = config_lib.from_values({"warmup_epochs": 0.0, **places, **given, "run_dir": str(tmp_path / run_dir)})
        names = set(EVERY) - given.keys() if undecided is None else undecided
        run(config, distribute.make_strategy("one_device"), undecided=names)
        return tmp_path / run_dir

    return start


def read(path, name="config.json"):
    return json.loads((path / name).read_text())


def test_what_is_chosen_is_said_recorded_and_kept(start, capsys):
    path = start(pretrain_epochs=4)
    said, record = capsys.readouterr().err, read(path)
    assert "--image_size=32  (the images have about 20 pixels a side)" in said and "Takes about " in said
    assert (record["image_size"], record["joint_ce"], record["linear_solver"]) == (32, 1.0, "lbfgs")
    assert record["precision"] in ("float32", "bfloat16")
    assert record["decided"]["batch_size"] == [record["batch_size"], "48 training images"]
    assert read(path, "metrics.json")["top1"] == 1.0  # brightness tells the classes
    report = (path / "report.html").read_text()
    assert "Your images" in report and "longer sides of 20 pixels, PNG" in report
    assert "Stage pretrain" in report and "Stage linear" not in report  # the classifier by L-BFGS has no curves
    start(pretrain_epochs=4)  # resumes, and has nothing left to do
    assert read(path) == record and "Takes about" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_resumed_run_keeps_its_choices_when_others_would_be_made(start, monkeypatch, capsys):
    path = start(pretrain_epochs=1, stages=("pretrain",))
    batch_size = read(path)["batch_size"]
    monkeypatch.setattr("supcon_tf.run.decide.SMALLEST_BATCH", 8)
    start(pretrain_epochs=1)
    assert read(path)["batch_size"] == batch_size and (path / "metrics.json").exists()
    with pytest.raises(UserError, match="holds a run with other options: batch_size"):
        start(pretrain_epochs=1, batch_size=8)


@pytest.mark.slow
def test_options_that_do_not_fit_an_earlier_choice_are_compared_with_the_run(start):
    start(pretrain_epochs=1, stages=("pretrain",), undecided={*EVERY} - {"encoder", "pretrain_epochs", "stages"})
    with pytest.raises(UserError, match="holds a run with other options: .*encoder="):
        start(pretrain_epochs=1, encoder="keras:MobileNetV2", encoder_width=1.0, image_size=32)


def test_the_stage_check_trains_and_writes_nothing(start, capsys):
    path = start(stages=("check",))
    assert not path.exists()
    said = capsys.readouterr()
    assert "--pretrain_epochs=300" in said.err and "Takes about " in said.err and said.out == ""


@pytest.mark.slow
def test_the_stage_check_answers_beside_a_finished_stage_too(start, capsys):
    start(pretrain_epochs=1, stages=("pretrain",))
    capsys.readouterr()
    start(stages=("check",))
    assert "--image_size=32" in (said := capsys.readouterr().err) and "Takes about " in said


@pytest.mark.parametrize("option", ["run_dir", "data_dir"])
def test_files_of_a_run_do_not_lie_among_the_images(folder, tmp_path, option):
    places = {"run_dir": str(tmp_path / "run"), "data_dir": str(tmp_path / "data"), option: f"{folder}/dark/../inside"}
    config = config_lib.from_values({"mode": "supcon", "dataset": f"folder:{folder}", **places})
    with pytest.raises(UserError, match=f"{option}=.*inside': lies inside dataset='folder:"):
        run(config, distribute.make_strategy("one_device"))
    assert not (folder / "inside").exists()


@pytest.mark.slow
def test_a_budget_of_epochs_decides_warm_up_too_and_alone_is_said(start, capsys):
    record = read(start(budget="4epochs", stages=("pretrain",)))
    assert record["pretrain_epochs"] == 4 and record["warmup_epochs"] == 0.4
    said = capsys.readouterr().err
    assert said.count("--pretrain_epochs=") == 1 and "--pretrain_epochs=4  (the budget)" in said


def test_skipped_files_count_nowhere(folder, start, tmp_path, capsys):
    pictures = shutil.copytree(folder, tmp_path / "pictures")
    for number in range(40):
        (pictures / "dark" / f"bad{number}.png").write_bytes(b"nothing")
    for _ in range(2):  # before and after it is prepared
        start(dataset=f"folder:{pictures}", data_dir=str(tmp_path / "data"), stages=("check",), on_bad_image="skip")
        said = capsys.readouterr().err
        assert "48 training images in 2 classes of 21 to 27" in said, said


@pytest.mark.slow
def test_a_budget_of_time_is_kept(start, monkeypatch, capsys):
    monkeypatch.setattr("supcon_tf.run.duration.FIXED_SECONDS", 0.0)
    record = read(start(budget="20s", stages=("pretrain",)))
    assert 1 <= record["pretrain_epochs"] < 3000
    run_dir = start(budget="20s", stages=("pretrain", "linear"))  # resumes with the same number of epochs
    assert read(run_dir)["pretrain_epochs"] == record["pretrain_epochs"]


@pytest.mark.slow
def test_nothing_is_decided_where_nothing_is_open(start):
    given = {"pretrain_epochs": 1, "linear_epochs": 1, "batch_size": 16, "linear_batch_size": 16, "image_size": 20}
    record = read(start(undecided=(), **given))
    assert "decided" not in record and record["joint_ce"] == 0.0 and record["linear_solver"] == "sgd"
