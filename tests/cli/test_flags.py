import pathlib
import re
from typing import Optional

import pytest

from supcon_tf import config as config_lib
from supcon_tf.cli import flags
from supcon_tf.cli import recipes as recipes_lib
from supcon_tf.cli.help import config_text
from supcon_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def parse(*arguments):
    return flags.parse(["app.py", *arguments])


# Flags that another must be given with.
NEEDED = {
    "class_level": ["--dataset=folder:x"],
    **{name: ["--dataset=csv:x.csv"] for name in ("group", "label_column", "path_column")},
    "decay_epochs": ["--schedule=exponential"],
    "decay_rate": ["--schedule=piecewise", "--decay_epochs=3"],
    "encoder_weights": ["--encoder=keras:VGG16"],
    "linear_decay_epochs": ["--linear_schedule=exponential"],
    "linear_decay_rate": ["--linear_schedule=piecewise", "--linear_decay_epochs=3"],
    "linear_schedule": ["--linear_decay_epochs=3"],
    "mix_alpha": ["--mix=mixup"],
    "momentum_encoder": ["--queue_size=8"],
    "randaugment_layers": ["--augment=randaugment"],
    "randaugment_magnitude": ["--linear_augment=stacked_randaugment"],
    "schedule": ["--decay_epochs=3"],
    "warm_start_parts": ["--warm_start=x"],
    "tpu_project": ["--tpu=x"],
    "tpu_zone": ["--tpu=x"],
    "unlabelled_share": ["--unlabelled=x"],
}


def another_value(option):
    """A value of the option that is allowed and not its default, as written on the command line."""
    if option.metadata["choices"]:
        default = option.default if isinstance(option.default, tuple) else (option.default,)
        others = [choice for choice in option.metadata["choices"] if choice not in default]
        return others[0] if others else option.metadata["choices"][0]
    if option.name == "budget":
        return "10m"
    if option.type is bool:
        return "false" if option.default else "true"
    if option.type is int:
        return str(option.default + 1)
    if option.type is float:
        return str(option.default * 0.9 + 0.03)
    if option.type == Optional[float]:
        return "0.5"
    return "3,5" if isinstance(option.default, tuple) else "32"


@pytest.mark.parametrize("option", list(config_lib.options()), ids=lambda option: option.name)
def test_each_flag_sets_its_option(option):
    if option.name in ("recipe", "mode", "dataset", "preset"):
        pytest.skip("given on every command line; tested below")
    given = [*NEEDED.get(option.name, []), f"--{option.name}={another_value(option)}"]
    command = parse("--mode=supcon", "--dataset=x", "--recipe=none", *given)
    assert config_lib.values(command.config)[option.name] != option.default
    assert command.sources[option.name] == "command line"


def test_mode_and_dataset_choose_the_recipe():
    assert parse("--mode=ce", "--dataset=digits").sources["encoder"] == "recipe digits_ce"
    assert parse("--mode=simclr", "--dataset=stanford_dogs").sources["precision"] == "recipe default_simclr"
    assert parse("--mode=simclr", "--dataset=folder:/x").sources["precision"] == "recipe default_simclr"


def test_the_images_decide_what_no_flag_and_no_recipe_sets():
    command = parse("--mode=supcon", "--dataset=folder:/x", "--batch_size=64", "--pretrain_epochs=1")
    assert {"encoder", "image_size", "learning_rate"} <= command.undecided
    assert not {"batch_size", "pretrain_epochs", "mode", "precision"} & command.undecided
    assert command.sources["encoder"].startswith("the images") and command.sources["seed"] == "default"
    for recipe in ("none", "cifar10_supcon"):
        assert parse("--mode=supcon", "--dataset=folder:/x", f"--recipe={recipe}").undecided == frozenset()
    assert parse("--mode=supcon", "--dataset=digits").undecided == frozenset()
    command = parse("--mode=ce", "--dataset=digits:1.0.0")
    assert command.sources["encoder"] == "recipe digits_ce" and command.config.run.recipe == "digits_ce"


def test_recipe_can_name_mode_and_dataset():
    command = parse("--recipe=digits_ce")
    assert (command.config.run.mode, command.config.data.dataset) == ("ce", "digits")


def test_flag_given_by_hand_wins_over_the_recipe(tmp_path):
    recipe = tmp_path / "mine.cfg"
    recipe.write_text("# a comment\n--temperature=0.3\n--encoder=resnet18\n")
    command = parse("--mode=supcon", "--dataset=x", f"--recipe={recipe}", "--temperature=0.7")
    assert command.config.loss.temperature == 0.7
    assert command.config.model.encoder == "resnet18"
    assert command.sources["temperature"] == "command line"
    assert command.sources["encoder"] == "recipe mine"
    assert command.sources["seed"] == "default"


def test_a_schedule_given_by_hand_comes_without_the_recipes_decay():
    linear = parse("--mode=supcon", "--dataset=cifar10", "--linear_schedule=cosine").config.linear
    assert (linear.schedule, linear.decay_epochs, linear.decay_rate) == ("cosine", None, 0.1)


@pytest.mark.parametrize("recipe", sorted(recipes_lib.RECIPES.glob("*.cfg")), ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_named_after_its_mode(recipe):
    if recipe.stem.startswith("preset_"):  # for any mode
        for mode in config_lib.MODES:
            assert parse(f"--preset={recipe.stem[7:]}", f"--mode={mode}", "--dataset=x").config.run.mode == mode
        return
    command = parse(f"--recipe={recipe.stem}", "--dataset=x")
    assert command.config.run.mode in recipe.stem.split("_")


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ((), "--mode is missing"),
        (("--mode=supcon",), "--dataset is missing"),
        (("--mode=supcn", "--dataset=digits"), "--mode=supcn: unknown; did you mean supcon?"),
        (("--mode=supcn",), "--mode=supcn: unknown; did you mean supcon?"),  # more useful than the missing data set
        (("--mode=supcon", "--encoder=resnt18"), "--encoder=resnt18: unknown; did you mean resnet18?"),
        (("--dataset=digits", "--batch_size=0"), "--batch_size=0: must be at least"),
        (
            ("--mode=ce", "--dataset=digits", "--temprature=1"),
            "--temprature: no such option; did you mean --temperature?",
        ),
        (("--mode=ce", "--dataset=digits", "--sed=1"), "--sed: no such option; did you mean --seed?"),
        (("--mode=ce", "--dataset=digits", "--top_k=1"), "--top_k: no such option; --help=all lists all options"),
        (
            ("--mode=ce", "--dataset=digits", "--nojit_compil"),
            "--nojit_compil: no such option; did you mean --nojit_comp",
        ),
        (
            ("--mode=ce", "--dataset=digits", "--decay=1"),
            "--decay: no such option; did you mean --decay_rate, --decay_epochs",
        ),
        (("--mode=ce", "--dataset=digits", "--seed=one"), "--seed=one: must be a whole number"),
        (("--mode=ce", "--dataset=digits", "--momentum=x"), "--momentum=x: must be a number"),
        (("--mode=ce", "--dataset=digits", "--eval_crop=x"), "--eval_crop=x: must be a number"),
        (
            ("--mode=ce", "--dataset=digits", "--nojit_compile=1"),
            "--nojit_compile=1: takes no value; --jit_compile=false says the same",
        ),
        (("--mode=ce", "--dataset=digits", "--jit_compile=maybe"), "--jit_compile=maybe: must be true or false"),
        (
            ("--mode=ce", "--dataset=digits", "--projection_layers=1,x"),
            "--projection_layers=1,x: must be whole numbers separated by commas",
        ),
        (
            ("--mode=ce", "--dataset=digits", "--decay_epochs=1,x"),
            "--decay_epochs=1,x: must be numbers separated by commas",
        ),
        (("--mode=ce", "--dataset=digits", "stray"), "unexpected argument 'stray'"),
        (("--mode=ce", "--dataset=digits", "--plan", "--print_config"), "--plan and --print_config: choose one"),
        (("--mode=supcon", "--dataset=digits", "--strategy=tpu"), "needs the name or address of the TPU, --tpu=NAME"),
        (("--mode=supcon", "--dataset=digits", "--momentum_encoder=0.9"), "has no effect without --queue_size"),
        (("--mode=supcon", "--dataset=digits", "--unlabelled_share=0.2"), "has no effect without --unlabelled"),
        (("--mode=ce", "--dataset=digits", "--recipe=digits_c"), "did you mean digits_ce?"),
        (("--run_dir", "--seed=3", "--mode=ce"), "--run_dir: the value is missing; write --run_dir=VALUE"),
        (("--mode", "--nojit_compile"), "--mode: the value is missing; write --mode=VALUE"),
        (("--mode=ce", "--flagfile"), "--flagfile: the value is missing; write --flagfile=VALUE"),
        (("--mode=ce", "--dataset"), "--dataset: the value is missing; write --dataset=VALUE"),
        (("--flagfile=missing.cfg",), "--flagfile=missing.cfg: cannot be read (No such file or directory)"),
        (("--mode=ce", "--flagfile", "/"), "--flagfile=/: cannot be read (Is a directory)"),
        (
            ("--mode=ce", "--dataset=digits", "--undefok=colour", "--colour=1"),
            "--undefok: no such option; --help=all lists",
        ),
        (("--mode=ce", "--dataset=digits", "--learning_rate=1e400"), "--learning_rate=1e400: is too large"),
        (("--mode=ce", "--dataset=digits", "--learning_rate=1e-400"), "--learning_rate=1e-400: is too near to 0"),
        (("--mode=ce", "--dataset=digits", "--decay_epochs=1,1e400"), "--decay_epochs=1,1e400: is too large"),
        (("--mode=ce", "--dataset=digits", "--learning_rate=inf"), "--learning_rate=inf: must be a finite number"),
    ],
)
def test_mistakes_get_one_line(arguments, complaint):
    with pytest.raises(UserError) as error:
        parse(*arguments)
    text = error.value.text(config_lib.as_flag)
    assert complaint in text and "\n" not in text


@pytest.mark.parametrize("included", [False, True])
def test_a_flagfile_that_is_no_text_is_named(tmp_path, included):
    binary, outer = tmp_path / "binary.cfg", tmp_path / "outer.cfg"
    binary.write_bytes(b"--mode=ce\n\xff\xfe")
    outer.write_text(f"--flagfile={binary}\n")
    named = outer if included else binary
    for given in ([f"--flagfile={named}"], ["--flagfile", str(named), "--mode=ce"]):
        with pytest.raises(UserError, match=f"^--flagfile={re.escape(str(named))}: is not UTF-8 text$"):
            parse(*given)


def test_undefok_in_a_flagfile_is_refused_too(tmp_path):
    (tmp_path / "mine.cfg").write_text("--undefok=colour\n--colour=1\n")
    with pytest.raises(UserError, match="mine.cfg: line 1: --undefok: no such option"):
        parse("--mode=ce", "--dataset=digits", f"--flagfile={tmp_path / 'mine.cfg'}")


def test_a_missing_flag_is_asked_for_in_the_name_of_the_installed_command():
    with pytest.raises(UserError, match=r"for example: supcon --mode=supcon --dataset=digits$"):
        flags.parse(["/usr/bin/supcon", "--mode=supcon"])


@pytest.mark.parametrize("given", ["--warmup_epochs=3", "--warmup_epochs=2"])
def test_a_warm_up_given_by_hand_that_does_not_fit_is_refused(given):
    with pytest.raises(UserError) as error:
        parse("--mode=supcon", "--dataset=digits", "--pretrain_epochs=2", given)
    assert error.value.text(config_lib.as_flag) == f"{given}: must be less than --pretrain_epochs=2"


def test_a_warm_up_of_the_recipe_gives_way_to_epochs_given_by_hand():
    command = parse("--mode=supcon", "--dataset=digits", "--pretrain_epochs=2")
    assert command.config.pretrain.warmup_epochs == 0.2
    assert command.sources["warmup_epochs"] == "a tenth of --pretrain_epochs"
    assert command.notes == ("Changed, to fit the epochs: --warmup_epochs=0.2 (was 4)",)
    command = parse("--mode=supcon", "--dataset=digits", "--pretrain_epochs=5")
    assert command.config.pretrain.warmup_epochs == 4 and command.notes == ()


def test_a_default_warm_up_gives_way_too():
    command = parse("--mode=supcon", "--dataset=x", "--recipe=none", "--pretrain_epochs=1", "--linear_epochs=1")
    assert command.config.pretrain.warmup_epochs == 0.1 and command.config.linear.warmup_epochs == 0


def test_times_of_decay_of_the_recipe_shrink_with_epochs_given_by_hand():
    command = parse("--mode=supcon", "--dataset=cifar10", "--linear_epochs=10")
    before = parse("--mode=supcon", "--dataset=cifar10").config.linear
    assert command.config.linear.decay_epochs == tuple(time / before.epochs * 10 for time in before.decay_epochs)
    with pytest.raises(UserError, match="must end before"):
        parse("--mode=supcon", "--dataset=cifar10", "--linear_epochs=10", "--linear_decay_epochs=60,75,90")


def test_options_that_no_flag_sets_may_give_way():
    command = parse("--mode=supcon", "--dataset=digits", "--linear_batch_size=64")
    assert "batch_size" in command.not_by_hand and "linear_batch_size" not in command.not_by_hand


def test_a_mistake_in_a_flagfile_names_the_file_and_the_line(tmp_path):
    inner, outer = tmp_path / "inner.cfg", tmp_path / "outer.cfg"
    inner.write_text("# a comment\n\n--sed=3\n")
    outer.write_text(f"--mode=ce\n--flagfile={inner}\n")
    for file in (inner, outer):
        with pytest.raises(UserError, match=f"^{re.escape(str(inner))}: line 3: --sed: no such option; did you mean"):
            parse(f"--flagfile={file}", "--dataset=digits")
    text = tmp_path / "README.md"
    text.write_text("# Title\n\nSome text\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(text))}: line 3: unexpected argument 'Some text'"):
        parse("--mode=ce", "--dataset=digits", f"--recipe={text}")


def test_a_value_of_a_flagfile_in_an_error_is_named_as_such(tmp_path):
    file = tmp_path / "mine.cfg"
    file.write_text("--mode=supcn\n--seed=3\n")
    with pytest.raises(UserError, match=rf"^--mode=supcn \(flagfile {re.escape(str(file))}\): unknown"):
        parse(f"--flagfile={file}", "--dataset=digits")
    command = parse(f"--flagfile={file}", "--dataset=digits", "--mode=ce")
    assert command.sources["mode"] == "command line" and command.sources["seed"] == f"flagfile {file}"
    assert "seed" not in command.not_by_hand


@pytest.mark.parametrize(
    "recipe, by_hand, complaint",
    [
        (
            "--warmup_epochs=0",
            "--warmup_epochs=100",
            "--warmup_epochs=100: must be less than --pretrain_epochs=9 (recipe mine)",
        ),
        ("--mix=mixup", "--queue_size=8", "--queue_size=8: contradicts --mix=mixup (recipe mine); leave one out"),
        ("--queue_size=8", "--mix=mixup", "--queue_size=8 (recipe mine): contradicts --mix=mixup; leave one out"),
        (
            "--augment=none",
            "--num_views=2",
            "--augment=none (recipe mine): makes the views of an image equal; give another policy, or --num_views=1",
        ),
        ("--tpu=x", "--precision=float16", "--precision=float16: TPUs do not support it; give --precision=bfloat16"),
        (
            "--precision=float16",
            "--tpu=x",
            "--precision=float16 (recipe mine): TPUs do not support it; give --precision=bfloat16",
        ),
        ("--augment=simclr,nothing", "--seed=1", "--augment=nothing (recipe mine): unknown"),
    ],
)
def test_a_value_of_the_recipe_in_an_error_is_named_as_such(recipe, by_hand, complaint, tmp_path):
    path = tmp_path / "mine.cfg"
    path.write_text(f"--pretrain_epochs=9\n--warmup_epochs=0\n{recipe}\n")
    with pytest.raises(UserError) as error:
        parse("--mode=supcon", "--dataset=x", f"--recipe={path}", by_hand)
    assert error.value.text(config_lib.as_flag).startswith(complaint)


def test_an_unknown_recipe_gets_a_near_name_or_a_short_list():
    def answer(recipe):
        with pytest.raises(UserError) as error:
            parse("--mode=ce", "--dataset=digits", f"--recipe={recipe}")
        return error.value.text(config_lib.as_flag)

    assert answer("cifar10_supcn") == "--recipe=cifar10_supcn: no such recipe; did you mean cifar10_supcon?"
    assert answer("nope").startswith(
        "--recipe=nope: no such recipe; give the path of a file or a name of docs/recipes.md"
    )
    assert len(answer("nope")) < 160
    assert set(recipes_lib.EXAMPLES) <= set(recipes_lib.names())


def test_mistake_in_a_recipe_names_the_file(tmp_path):
    recipe = tmp_path / "mine.cfg"
    recipe.write_text("--temprature=0.3\n")
    with pytest.raises(UserError, match=f"{re.escape(str(recipe))}: line 1: --temprature: no such option"):
        parse("--mode=supcon", "--dataset=x", f"--recipe={recipe}")


def test_printed_config_names_every_option_and_its_source():
    command = parse("--mode=supcon", "--dataset=digits", "--seed=3", "--print_config")
    text = config_text(command.config, command.sources)
    assert command.print_config
    for option in config_lib.options():
        assert re.search(rf"^--(no)?{option.name}\b", text, re.MULTILINE), option.name
    assert re.search(r"^--seed=3 +command line$", text, re.MULTILINE)
    assert re.search(r"^--encoder=small +recipe digits_supcon$", text, re.MULTILINE)


@pytest.mark.parametrize("text, value", [("true", True), ("1", True), ("False", False), ("0", False)])
def test_boolean_flags_take_a_value_a_prefix_or_nothing(text, value):
    command = ("--mode=ce", "--dataset=digits")
    assert parse(*command, f"--jit_compile={text}").config.hardware.jit_compile is value
    assert parse(*command, "--jit_compile").config.hardware.jit_compile is True
    assert parse(*command, "--jit_compile", "--nojit_compile").config.hardware.jit_compile is False


def test_bad_value_in_a_recipe_names_the_file(tmp_path):
    recipe = tmp_path / "mine.cfg"
    recipe.write_text("--seed=x\n")
    with pytest.raises(UserError) as error:
        parse("--mode=supcon", "--dataset=x", f"--recipe={recipe}")
    assert error.value.text(config_lib.as_flag) == f"{recipe}: line 1: --seed=x: must be a whole number"


def test_error_about_a_flag_given_by_hand_names_no_recipe():
    with pytest.raises(UserError) as error:
        parse("--mode=supcon", "--dataset=digits", "--encoder=nothing")
    assert "recipe" not in error.value.text(config_lib.as_flag)
