import dataclasses
import json
import subprocess
import sys

import pytest

from supcon_tf import config as config_lib
from supcon_tf.errors import UserError


def test_imports_no_tensorflow():
    code = "import sys, supcon_tf.config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_defaults_are_allowed_values():
    assert config_lib.from_values({}) == config_lib.Config()


def test_every_option_has_one_name_and_a_sentence_of_help():
    names = [option.name for option in config_lib.options()]
    assert len(names) == len(set(names))
    for option in config_lib.options():
        assert option.metadata["help"].rstrip(".)").strip() and option.metadata["help"].endswith((".", ")")), (
            option.name
        )


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"mode": "supcn"}, "--mode=supcn: unknown; did you mean supcon?"),
        ({"stages": ("pretrain", "evluate")}, "--stages=evluate: unknown; did you mean evaluate?"),
        ({"stages": ()}, "--stages= is empty"),
        ({"flip": "no"}, "--flip=no: unknown; one of auto, on, off"),
        ({"flip": "none"}, "--flip=none: unknown; one of auto, on, off"),
        ({"flip": ""}, "--flip=: is empty; one of auto, on, off"),
        ({"whitening": "on"}, "--whitening=on: unknown; one of auto, none"),
        ({"mode": "CE"}, "--mode=CE: unknown; did you mean ce?"),
        ({"augment": "SimCLR"}, "--augment=SimCLR: unknown; did you mean simclr?"),
        ({"augment": ("simclr", "")}, "--augment=simclr,: has an empty element; one of simclr, autoaugment,"),
        ({"encoder": "resnet5"}, "did you mean resnet50?"),
        ({"encoder": "vit"}, "--encoder=vit: unknown; one of small, resnet18"),
        ({"encoder": "EfficientNetV2S"}, "--encoder=EfficientNetV2S: unknown; did you mean keras:EfficientNetV2S?"),
        ({"encoder": "keras:MobilNetV2"}, "--encoder=keras:MobilNetV2: unknown; did you mean keras:MobileNetV2?"),
        (
            {"encoder": "keras:VGG16", "stem": "small"},
            "--stem=small: is not for --encoder=keras:VGG16; give --stem=auto",
        ),
        (
            {"encoder": "./mine", "sync_batch_norm": True},
            "--sync_batch_norm: is not for --encoder=./mine; give --nosync",
        ),
        ({"encoder": "a.keras", "encoder_width": 2.0}, "--encoder_width=2: is not for --encoder=a.keras"),
        ({"encoder": "a.h5", "sync_batch_norm": True}, "--sync_batch_norm: is not for --encoder=a.h5"),
        ({"encoder": "a.h5", "precision": "bfloat16"}, "--precision=bfloat16: is not for --encoder=a.h5"),
        ({"encoder_weights": "imagenet"}, "--encoder_weights=imagenet: is for --encoder=keras:NAME, not for"),
        ({"warm_start_parts": ("classifier",)}, "--warm_start_parts=classifier: changes nothing without --warm_start"),
        ({"warm_start": "x", "warm_start_parts": ("head",)}, "--warm_start_parts=head: unknown; one of encoder, proj"),
        (
            {"warm_start": "x", "warm_start_parts": ("projection_head",), "mode": "ce"},
            "--warm_start_parts=projection_head: mode ce has no projection head",
        ),
        (
            {"warm_start": "x", "encoder": "keras:VGG16", "encoder_weights": "imagenet"},
            "--encoder_weights=imagenet: contradicts --warm_start=x",
        ),
        ({"temperature": 0.0}, "--temperature=0.0: must be above 0"),
        ({"temperature": float("nan")}, "--temperature=nan: must be a finite number"),
        ({"jitter_probability": 1.5}, "--jitter_probability=1.5: must be at most 1"),
        ({"num_views": 0}, "--num_views=0: must be at least 1"),
        ({"projection_layers": (128, 0)}, "--projection_layers=0: must be at least 1"),
        ({"temprature": 0.1}, "--temprature: no such option; did you mean temperature?"),
        ({"crop_min_area": 0.9, "crop_max_area": 0.5}, "--crop_min_area=0.9: must not exceed --crop_max_area=0.5"),
        ({"tpu": "a", "strategy": "mirrored"}, "--strategy=mirrored: contradicts --tpu=a"),
        ({"strategy": "tpu"}, "--strategy=tpu: needs the TPU's name"),
        ({"tpu_zone": "us-central1-a"}, "--tpu_zone=us-central1-a: needs the TPU's name, --tpu=NAME"),
        ({"tpu_project": "mine"}, "--tpu_project=mine: needs the TPU's name, --tpu=NAME"),
        ({"steps_per_execution": 0}, "--steps_per_execution=0: must be at least 1"),
        ({"strategy": "one_device", "cpu_devices": 2}, "--cpu_devices=2: contradicts --strategy=one_device"),
        ({"dataset": "folder:"}, "--dataset=folder:: give a name, or a path"),
        ({"unlabelled": "folder:"}, "--unlabelled=folder:: give a name, or a path"),
        ({"unlabelled": "x", "mode": "ce"}, "--unlabelled=x: is for --mode=supcon; leave it out in mode ce"),
        ({"unlabelled": "x", "mode": "simclr"}, "--unlabelled=x: is for --mode=supcon; leave it out in mode simclr"),
        ({"unlabelled_share": 0.25}, "--unlabelled_share=0.25: changes nothing without --unlabelled"),
        ({"unlabelled": "x", "unlabelled_share": 1.0}, "--unlabelled_share=1.0: must be at most 0.99"),
        ({"classes_per_batch": 4, "mode": "simclr"}, "--classes_per_batch=4: needs labels"),
        ({"classes_per_batch": 0}, "--classes_per_batch=0: must be at least 1"),
        ({"label_noise": 1.5}, "--label_noise=1.5: must be at most 1"),
        ({"max_examples": 1}, "--max_examples=1: must be at least 2"),
        ({"momentum": 1.0}, "--momentum=1.0: must be at most 0.9999"),
        ({"mode": "simclr", "num_views": 1}, "--num_views=1: simclr needs at least 2"),
        ({"augment": "none"}, "--augment=none: makes the views of an image equal"),
        ({"augment": ("none", "simclr", "none")}, "--augment=none,simclr,none: 3 policies for --num_views=2"),
        ({"augment": ("none", "simclr"), "mode": "ce"}, "--augment=none,simclr: give one policy"),
        ({"mix": "mixup", "mode": "simclr"}, "--mix=mixup: needs labels"),
        ({"mix": "mixup", "num_views": 1}, "--num_views=1: --mix=mixup needs at least 2"),
        ({"mix": "cutmix", "summation": "in"}, "--summation=in: contradicts --mix=cutmix"),
        ({"mix": "mixup", "unlabelled": "x"}, "--unlabelled=x: contradicts --mix=mixup; leave one of them out"),
        ({"randaugment_layers": 3}, "--randaugment_layers=3: changes nothing where no policy of --augment is RandA"),
        (
            {"randaugment_magnitude": 5.0, "mode": "ce", "linear_augment": "randaugment"},
            "--randaugment_magnitude=5: changes nothing",
        ),
        ({"mix_alpha": 0.3}, "--mix_alpha=0.3: changes nothing without --mix"),
        ({"augment_on_device": "on", "blur_on_device": "off"}, "--blur_on_device=off: contradicts"),
        ({"summation": "inside"}, "--summation=inside: unknown"),
        ({"positives_cap": -1}, "--positives_cap=-1: must be at least 0"),
        ({"learn_temperature": True, "scale_by_temperature": True}, "--learn_temperature: contradicts"),
        ({"mode": "simclr", "positives_cap": 1}, "--positives_cap=1: needs labels"),
        ({"mode": "simclr", "contrastive_loss": "triplet"}, "--contrastive_loss=triplet: needs labels"),
        ({"contrastive_loss": "npairs", "num_views": 3}, "--num_views=3: --contrastive_loss=npairs needs 2"),
        (
            {"contrastive_loss": "triplet", "summation": "in"},
            "--summation=in: changes nothing with --contrastive_loss=triplet",
        ),
        (
            {"contrastive_loss": "triplet", "queue_size": 9},
            "--queue_size=9: changes nothing with --contrastive_loss=tri",
        ),
        ({"queue_size": 9, "positives_cap": 2}, "--positives_cap=2: contradicts --queue_size"),
        ({"momentum_encoder": 0.9}, "--momentum_encoder=0.9: changes nothing without --queue_size"),
        ({"mode": "ce", "queue_size": 9}, "--queue_size=9: is for the contrastive loss"),
        ({"mode": "ce", "microbatch_size": 9}, "--microbatch_size=9: is for the contrastive loss"),
        ({"queue_size": 10**11}, "--queue_size=100000000000: must be at most 1048576"),
        ({"tpu": "a", "cpu_devices": 2}, "--cpu_devices=2: contradicts --tpu=a"),
        ({"tpu": ""}, "--tpu= is empty"),
        ({"precision": "float16", "tpu": "a"}, "--precision=float16: is not for TPUs; use --precision=bfloat16"),
        ({"pretrain_epochs": 5}, "--warmup_epochs=10: must be less than the 5 epochs"),
        ({"linear_warmup_epochs": 50.0}, "--linear_warmup_epochs=50: must be less than the 50 epochs"),
        ({"decay_epochs": (1.0,)}, "--decay_epochs=1: changes nothing with --schedule=cosine"),
        ({"linear_decay_rate": 0.5}, "--linear_decay_rate=0.5: changes nothing with --linear_schedule=cosine"),
        ({"schedule": "piecewise"}, "--schedule=piecewise: needs --decay_epochs"),
        (
            {"schedule": "piecewise", "decay_epochs": (60.0, 90.0)},
            "--decay_epochs=60,90: must end before the 100 epochs",
        ),
        ({"schedule": "piecewise", "decay_epochs": (2.0, 1.0)}, "--decay_epochs=2,1: must rise"),
        ({"schedule": "exponential", "decay_epochs": (1.0, 2.0)}, "--decay_epochs=1,2: give one number"),
        ({"label_smoothing": 1.0}, "--label_smoothing=1.0: must be at most 0.99"),
    ],
)
def test_what_is_not_allowed_is_named_with_what_is(values, complaint):
    with pytest.raises(UserError) as error:
        config_lib.from_values(values)
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_digest_follows_what_is_learned_and_not_where_it_is_written():
    digest = config_lib.digest(config_lib.from_values({}))
    assert config_lib.digest(config_lib.from_values({"temperature": 0.2})) != digest
    for elsewhere in ({"run_dir": "x"}, {"stages": ("export",)}, {"data_dir": "x"}, {"log_every": 1}, {"cache": "off"}):
        assert config_lib.digest(config_lib.from_values(elsewhere)) == digest


def test_digest_stays_when_options_are_added():
    assert config_lib.digest(config_lib.from_values({"temperature": 0.2})) == "b874c670"


def test_check_sum_is_of_all_options_but_some():
    def check_sum(**values):
        return config_lib.check_sum(config_lib.from_values(values), without=("data_dir",))

    assert check_sum() == check_sum(data_dir="x") < 2**24
    assert len({check_sum(), check_sum(log_every=7), check_sum(steps_per_execution=2), check_sum(seed=1)}) == 4


def test_differences_name_each_option_with_both_values():
    recorded = json.loads(json.dumps(config_lib.identity(config_lib.from_values({"temperature": 0.2}))))
    assert config_lib.differences(recorded, config_lib.from_values({"temperature": 0.2})) == []
    now = config_lib.from_values({"seed": 7})
    assert config_lib.differences(recorded, now) == [
        "--seed=7 (was --seed=0)",
        "--temperature=0.1 (was --temperature=0.2)",
    ]


def test_a_value_recorded_alone_is_that_of_an_option_which_takes_several_now():
    recorded = {**config_lib.identity(config_lib.Config()), "augment": "crop_flip"}
    assert config_lib.differences(recorded, config_lib.from_values({"augment": "crop_flip"})) == []
    assert config_lib.differences(recorded, config_lib.Config()) == ["--augment=simclr (was --augment=crop_flip)"]


def test_option_younger_than_the_record_counts_as_its_default():
    recorded = json.loads(json.dumps(config_lib.identity(config_lib.Config())))
    del recorded["temperature"]
    assert config_lib.differences(recorded, config_lib.Config()) == []
    assert config_lib.differences(recorded, config_lib.from_values({"temperature": 0.2}))


def test_run_from_before_there_was_whitening_had_none():
    recorded = json.loads(json.dumps(config_lib.identity(config_lib.Config())))
    del recorded["whitening"]
    assert config_lib.recorded(recorded)["whitening"] == "none"
    assert config_lib.differences(recorded, config_lib.from_values({"whitening": "none"})) == []
    assert config_lib.differences(recorded, config_lib.Config()) == ["--whitening=auto (was --whitening=none)"]


def test_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config_lib.Config().loss.temperature = 1.0
