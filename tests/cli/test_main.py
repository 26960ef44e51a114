import importlib.metadata
import pathlib
import signal
import subprocess
import sys

import pytest
import tensorflow as tf

from supcon_tf.cli import entry as cli_entry
from supcon_tf.cli import flags, main
from supcon_tf.errors import ArgumentError, Interrupted, UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = pathlib.Path(__file__).parents[2]


def test_application_answers_a_mistake_with_one_line_and_status_2():
    done = subprocess.run(
        [sys.executable, "app.py", "--mode=supcn", "--dataset=digits"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "app.py: --mode=supcn: unknown; did you mean supcon?\n"


def test_an_error_of_the_run_names_the_recipe_of_a_value(tmp_path, capsys):
    given = ["--mode=supcon", "--dataset=digits", f"--data_dir={tmp_path}", f"--run_dir={tmp_path / 'run'}"]
    assert main.main(["app.py", *given, "--classes_per_batch=5"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    problem = "must divide the 256 labelled images of a batch"
    assert line.startswith(f"app.py: --classes_per_batch=5: {problem}")
    assert main.main(["app.py", *given, "--microbatch_size=100"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("--batch_size=256 (recipe digits_supcon)")


def test_a_reader_that_closes_the_output_ends_the_program_quietly():
    process = subprocess.Popen(
        [sys.executable, "app.py", "--recipe=digits_ce", "--print_config"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()  # as `head` does
    assert process.stderr.read() == b""
    assert process.wait() == 128 + signal.SIGPIPE


def raising(error):
    def run(argv):
        raise error

    return run


@pytest.mark.parametrize(
    "error, status, line",
    [
        (ArgumentError("seed", 3, "needs {mode}", mode="ce"), 2, "app.py: --seed=3: needs --mode=ce\n"),
        (UserError("x.json: is not valid JSON"), 2, "app.py: x.json: is not valid JSON\n"),
        (Interrupted(1003, 15), 143, "app.py: stopped and saved at step 1,003; run the same command to resume\n"),
        (KeyboardInterrupt(), 130, "\napp.py: interrupted; run the same command again\n"),
    ],
)
def test_expected_errors_become_a_line_and_a_status(monkeypatch, capsys, error, status, line):
    monkeypatch.setattr(main, "run", raising(error))
    assert main.main(["app.py"]) == status
    assert capsys.readouterr().err == line


def test_messages_begin_with_the_name_of_the_installed_command(monkeypatch, capsys):
    for error in (UserError("no"), Interrupted(3, 15), KeyboardInterrupt()):
        monkeypatch.setattr(main, "run", raising(error))
        main.main(["/usr/local/bin/supcon"])
        assert capsys.readouterr().err.strip().startswith("supcon: ")


def test_flags_without_effect_are_named_and_those_of_the_recipe_are_not(capsys):
    def warnings(*given):
        assert main.main(["app.py", "--dataset=digits", *given, "--print_config"]) == 0
        return capsys.readouterr().err.splitlines()

    assert warnings("--mode=ce", "--linear_epochs=50", "--temperature=0.2") == [
        "Warning: --temperature=0.2 has no effect in mode ce",
        "Warning: --linear_epochs=50 has no effect in mode ce",
    ]
    assert warnings("--mode=supcon", "--linear_epochs=5", "--temperature=0.2") == []
    assert warnings("--mode=supcon", "--augment=autoaugment") == []  # the recipe sets jitter_strength
    assert warnings("--mode=supcon", "--augment=autoaugment", "--jitter_strength=0.5") == [
        "Warning: --jitter_strength=0.5 has no effect because no policy changes colours by jitter, grey or blur"
    ]


def resource_exhausted(message):
    return tf.errors.ResourceExhaustedError(None, None, message)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (
            resource_exhausted("Graph execution error:\nOOM when allocating tensor with shape[1,100000,100000,3] and"),
            " (no room for a tensor of shape [1,100000,100000,3])",
        ),
        (resource_exhausted("failed to allocate memory"), ""),
        (MemoryError("Unable to allocate 112. GiB"), " (Unable to allocate 112. GiB)"),
        (MemoryError(), ""),
    ],
)
def test_too_little_memory_is_one_line_that_names_what_takes_less(monkeypatch, capsys, error, what):
    monkeypatch.setattr(main, "run", raising(error))
    assert main.main(["app.py"]) == 2
    advice = "a smaller --batch_size, --image_size or --microbatch_size takes less"
    assert capsys.readouterr().err == f"app.py: does not fit in memory{what}; {advice}\n"


def test_a_full_disk_is_not_taken_for_too_little_memory(monkeypatch):
    monkeypatch.setattr(main, "run", raising(resource_exhausted("x; No space left on device")))
    with pytest.raises(tf.errors.ResourceExhaustedError):
        main.main(["app.py"])


@pytest.mark.parametrize("error", [ValueError("shapes differ"), TypeError("no")])
def test_other_errors_keep_their_traceback(monkeypatch, error):
    monkeypatch.setattr(main, "run", raising(error))
    with pytest.raises(type(error), match=str(error)):
        main.main(["app.py"])


def test_installed_command_is_supcon_with_the_flags_of_app():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(scripts) == ["supcon"]
    entry = importlib.metadata.EntryPoint("supcon", scripts["supcon"], "console_scripts")
    assert entry.load() is cli_entry.main


def test_without_arguments_the_command_reads_those_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["supcon", "--mode=ce", "--dataset=digits", "--print_config"])
    assert main.main() == 0
    assert "--mode=ce" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["-I"], []])
def test_the_program_runs_from_any_folder_and_in_isolated_mode(options, tmp_path):
    command = [sys.executable, *options, ROOT / "app.py", "--mode=supcn"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "app.py: --mode=supcn: unknown; did you mean supcon?\n")


def test_the_module_of_names_says_that_it_is_no_program():
    done = subprocess.run([sys.executable, "flags.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "flags.py: only holds names for other programs; python app.py --help lists the options\n"


def test_top_level_modules_lead_to_the_package():
    code = (
        "import app, flags, supcon_tf.cli.flags, supcon_tf.cli.entry\n"
        "assert app.main is supcon_tf.cli.entry.main and flags.parse is supcon_tf.cli.flags.parse"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert flags.parse(["app.py", "--recipe=digits_ce"]).config.run.mode == "ce"
