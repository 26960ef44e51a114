import pytest

from supcon_tf import config as config_lib
from supcon_tf.errors import ArgumentError


@pytest.mark.parametrize(
    "values, complaint",
    [
        (
            {"encoder": "keras:VGG16", "stem": "small"},
            "--stem=small: does not apply to --encoder=keras:VGG16; give --stem=auto",
        ),
        (
            {"encoder": "./mine", "sync_batch_norm": True},
            "--sync_batch_norm: does not apply to --encoder=./mine; give --nosync_batch_norm",
        ),
        ({"encoder": "a.keras", "encoder_width": 2.0}, "--encoder_width=2: does not apply to --encoder=a.keras"),
        ({"encoder": "a.h5", "sync_batch_norm": True}, "--sync_batch_norm: does not apply to --encoder=a.h5"),
        ({"encoder": "a.h5", "precision": "bfloat16"}, "--precision=bfloat16: does not apply to --encoder=a.h5"),
        ({"encoder_weights": "imagenet"}, "--encoder_weights=imagenet: does not apply to --encoder=resnet50; leave it"),
        ({"warm_start_parts": ("classifier",)}, "--warm_start_parts=classifier: has no effect without --warm_start"),
        (
            {"warm_start": "x", "warm_start_parts": ("projection_head",), "mode": "ce"},
            "--warm_start_parts=projection_head: mode ce has no projection head",
        ),
        (
            {"warm_start": "x", "encoder": "keras:VGG16", "encoder_weights": "imagenet"},
            "--encoder_weights=imagenet: contradicts --warm_start=x",
        ),
        (
            {"mode": "ce", "stages": "linear"},
            "--stages=linear: mode ce trains its classifier in the stage 'pretrain'; give --stages=pretrain",
        ),
        ({"crop_min_area": 0.9, "crop_max_area": 0.5}, "--crop_min_area=0.9: must not exceed --crop_max_area=0.5"),
        ({"tpu": "a", "strategy": "mirrored"}, "--strategy=mirrored: contradicts --tpu=a"),
        ({"strategy": "tpu"}, "--strategy=tpu: needs the name or address of the TPU, --tpu=NAME"),
        ({"tpu_zone": "us-central1-a"}, "--tpu_zone=us-central1-a: needs the name of the TPU, --tpu=NAME"),
        ({"tpu_project": "mine"}, "--tpu_project=mine: needs the name of the TPU, --tpu=NAME"),
        ({"strategy": "one_device", "cpu_devices": 2}, "--cpu_devices=2: contradicts --strategy=one_device"),
        ({"dataset": "folder:"}, "--dataset=folder:: give a name, or a path"),
        ({"unlabelled": "folder:"}, "--unlabelled=folder:: give a name, or a path"),
        ({"unlabelled": "x", "mode": "ce"}, "--unlabelled=x: works in mode supcon only; leave it out in mode ce"),
        ({"summation": "in", "mode": "ce"}, "--summation=in: works with the contrastive loss of modes supcon and simc"),
        ({"microbatch_size": 4, "mode": "ce"}, "--microbatch_size=4: works with the contrastive loss of modes supcon"),
        ({"learn_temperature": True, "mode": "ce"}, "--learn_temperature: works with the contrastive loss of modes"),
        ({"unlabelled": "x", "mode": "simclr"}, "--unlabelled=x: works in mode supcon only; leave it out in mode simc"),
        ({"unlabelled_share": 0.25}, "--unlabelled_share=0.25: has no effect without --unlabelled"),
        ({"classes_per_batch": 4, "mode": "simclr"}, "--classes_per_batch=4: needs labels"),
        ({"mode": "simclr", "num_views": 1}, "--num_views=1: mode simclr needs at least 2"),
        (
            {"augment": "none"},
            "--augment=none: makes the views of an image equal; give another policy, or --num_views=1",
        ),
        ({"augment": ("none", "simclr", "none")}, "--augment=none,simclr,none: gives 3 policies for --num_views=2"),
        ({"augment": ("none", "simclr"), "mode": "ce"}, "--augment=none,simclr: give one policy"),
        ({"mix": "mixup", "mode": "simclr"}, "--mix=mixup: needs labels"),
        ({"mix": "mixup", "num_views": 1}, "--num_views=1: --mix=mixup needs at least 2"),
        (
            {"mix": "mixup", "contrastive_loss": "npairs"},
            "--contrastive_loss=npairs: takes no soft labels; leave out --mi",
        ),
        ({"mix": "cutmix", "summation": "in"}, "--summation=in: contradicts --mix=cutmix"),
        ({"mix": "mixup", "unlabelled": "x"}, "--unlabelled=x: contradicts --mix=mixup; leave one out"),
        (
            {"randaugment_layers": 3},
            "--randaugment_layers=3: has no effect, because --augment has no RandAugment policy",
        ),
        (
            {"randaugment_magnitude": 5.0, "mode": "ce", "linear_augment": "randaugment"},
            "--randaugment_magnitude=5: has no effect",
        ),
        ({"mix_alpha": 0.3}, "--mix_alpha=0.3: has no effect without --mix"),
        ({"augment_on_device": "on", "blur_on_device": "off"}, "--blur_on_device=off: contradicts --augment_on_devi"),
        ({"learn_temperature": True, "scale_by_temperature": True}, "--learn_temperature: needs --noscale_by_temp"),
        ({"mode": "simclr", "positives_cap": 1}, "--positives_cap=1: needs labels"),
        ({"mode": "simclr", "joint_ce": 1}, "--joint_ce=1: needs labels"),
        ({"dataset": "digits", "group": "folder"}, "--group=folder: works with --dataset=csv:FILE or folder:PATH only"),
        (
            {"dataset": "folder:x", "group": "patient"},
            "--group=patient: must be folder, or prefix:TEXT",
        ),
        ({"dataset": "folder:x", "group": "prefix:"}, "--group=prefix:: must be folder, or prefix:TEXT"),
        ({"class_balance": 0.9, "mix": "mixup"}, "--class_balance=0.9: contradicts --mix=mixup"),
        ({"classes_per_batch": "all"}, "--classes_per_batch=all: must be a whole number or auto"),
        ({"classes_per_batch": 0}, "--classes_per_batch=0: must be at least 1"),
        ({"mode": "ce", "joint_ce": 1}, "--joint_ce=1: works with the contrastive loss of modes supcon and simclr"),
        ({"mode": "simclr", "contrastive_loss": "triplet"}, "--contrastive_loss=triplet: needs labels; give --mode=su"),
        ({"contrastive_loss": "npairs", "num_views": 3}, "--num_views=3: --contrastive_loss=npairs needs 2"),
        (
            {"contrastive_loss": "triplet", "summation": "in"},
            "--summation=in: has no effect with --contrastive_loss=triplet",
        ),
        (
            {"contrastive_loss": "triplet", "queue_size": 9},
            "--queue_size=9: has no effect with --contrastive_loss=triplet",
        ),
        ({"queue_size": 9, "positives_cap": 2}, "--positives_cap=2: contradicts --queue_size=9"),
        ({"momentum_encoder": 0.9}, "--momentum_encoder=0.9: has no effect without --queue_size"),
        ({"mode": "ce", "queue_size": 9}, "--queue_size=9: works with the contrastive loss"),
        ({"mode": "ce", "microbatch_size": 9}, "--microbatch_size=9: works with the contrastive loss"),
        ({"tpu": "a", "cpu_devices": 2}, "--cpu_devices=2: contradicts --tpu=a"),
        ({"tpu": ""}, "--tpu=: is empty"),
        (
            {"precision": "float16", "tpu": "a"},
            "--precision=float16: TPUs do not support it; give --precision=bfloat16",
        ),
        ({"pretrain_epochs": 5}, "--warmup_epochs=10: must be less than --pretrain_epochs=5"),
        ({"linear_warmup_epochs": 50.0}, "--linear_warmup_epochs=50: must be less than --linear_epochs=50"),
        ({"decay_epochs": (1.0,)}, "--decay_epochs=1: has no effect with --schedule=cosine"),
        ({"linear_decay_rate": 0.5}, "--linear_decay_rate=0.5: has no effect with --linear_schedule=cosine"),
        ({"schedule": "piecewise"}, "--schedule=piecewise: needs --decay_epochs"),
        (
            {"schedule": "piecewise", "decay_epochs": (60.0, 90.0)},
            "--decay_epochs=60,90: counts from the end of --warmup_epochs=10 and must end before --pretrain_epochs=100",
        ),
        ({"schedule": "piecewise", "decay_epochs": (2.0, 1.0)}, "--decay_epochs=2,1: must increase"),
        (
            {"schedule": "exponential", "decay_epochs": (1.0, 2.0)},
            "--decay_epochs=1,2: an exponential schedule takes o",
        ),
        ({"linear_schedule": "exponential"}, "--linear_schedule=exponential: needs --linear_decay_epochs"),
    ],
)
def test_a_combination_that_is_not_allowed_is_named_by_its_flags(values, complaint):
    with pytest.raises(ArgumentError) as error:
        config_lib.from_values(values)
    text = error.value.text(config_lib.as_flag)
    assert complaint in text and "\n" not in text
    assert error.value.argument in values or error.value.argument in ("warmup_epochs", "num_views")


@pytest.mark.parametrize(
    "values",
    [
        {"augment": "none", "num_views": 1},
        {"mode": "ce", "stages": ("linear", "evaluate")},
        {"augment": ("none", "simclr")},
        {"randaugment_layers": 3, "linear_augment": "randaugment"},
        {"mode": "ce", "mix": "mixup", "num_views": 1},
        {"contrastive_loss": "triplet", "scale_by_temperature": True, "temperature": 0.5},
        {"linear_schedule": "piecewise", "linear_decay_epochs": (10.0, 20.0), "linear_decay_rate": 0.5},
        {"tpu": "local", "strategy": "tpu"},
        {"queue_size": 8, "momentum_encoder": 0.9},
    ],
)
def test_a_combination_that_makes_sense_is_allowed(values):
    config_lib.from_values(values)


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"plan_devices": 2}, "--plan_devices=2: has no effect without --plan"),
        ({"plan": True, "plan_bandwidth": 9.0}, "--plan_bandwidth=9: has no effect without --plan_tflops"),
        ({"plan": True, "plan_memory": 0.0}, "--plan_memory=0: must be above 0"),
    ],
)
def test_an_option_of_the_plan_without_effect_is_rejected(values, complaint):
    with pytest.raises(ArgumentError) as error:
        config_lib.plan_from_values(values)
    assert error.value.text(config_lib.as_flag) == complaint
