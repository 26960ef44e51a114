"""Rejects combinations of options that contradict each other or have no effect.

Each function checks one subject. It raises ArgumentError for the option that the user most likely wants to change.
"""

import dataclasses
from typing import Any, Iterable, Tuple

from supcon_tf.config.budget import parse_budget
from supcon_tf.config.choices import CHECK, CONTRASTIVE_LOSSES, LOSS_OPTIONS_OF_RECIPES
from supcon_tf.config.options import (
    TRAINING_STAGES,
    Config,
    DataOptions,
    PlanOptions,
    check_encoder_options,
    is_path,
    name_in_stage,
)
from supcon_tf.errors import NAME_ONLY, ArgumentError, is_utf8


def check(config: Config) -> None:
    """Raises ArgumentError if two options contradict each other, or if an option has no effect with the others."""
    _check_stages(config)
    _check_budget(config)
    _check_redo(config)
    _check_text(config)
    _check_devices(config)
    _check_tpu(config)
    _check_views(config)
    _check_mix(config)
    _check_randaugment(config)
    _check_data(config)
    _check_encoder(config)
    _check_warm_start(config)
    _check_mode_of_loss(config)
    _check_temperature(config)
    _check_class_balance(config)
    _check_queue(config)
    _check_loss(config)
    for stage in TRAINING_STAGES:
        _check_schedule(config, stage)


def check_plan(asked: PlanOptions) -> None:
    """Raises ArgumentError if an option of the plan has no effect."""
    needed = {"plan_devices": "plan", "plan_tflops": "plan", "plan_bandwidth": "plan_tflops", "plan_memory": "plan"}
    for name, other in needed.items():
        value = getattr(asked, name)
        if value is not None and not getattr(asked, other):
            raise ArgumentError(name, value, f"has no effect without {{{other}}}", **{other: NAME_ONLY})


def _changed(options: Any, names: Iterable[str]) -> Iterable[Tuple[str, Any]]:
    """Yields name and value of those options that differ from the default of their class."""
    for name in names:
        value = getattr(options, name)
        if value != getattr(type(options), name):
            yield name, value


def _check_stages(config: Config) -> None:
    if config.run.mode == "ce" and set(config.run.stages) == {"linear"}:
        raise ArgumentError(
            "stages",
            config.run.stages,
            "mode ce trains its classifier in the stage 'pretrain'; give {stages}",
            stages="pretrain",
        )

    if CHECK in config.run.stages and len(config.run.stages) > 1:
        raise ArgumentError("stages", config.run.stages, "'check' trains nothing; give it alone")


def _check_budget(config: Config) -> None:
    if config.run.budget is not None:
        parse_budget(config.run.budget)


def _check_redo(config: Config) -> None:
    run = config.run
    for stage in run.redo:
        if stage not in run.stages:
            raise ArgumentError("redo", stage, "is none of {stages}", stages=run.stages)
        if stage == "linear" and run.mode == "ce":
            raise ArgumentError(
                "redo", stage, "mode ce trains its classifier in the stage 'pretrain'; give {redo}", redo="pretrain"
            )


def _check_text(config: Config) -> None:
    for group in (config.run, config.data, config.model):
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if isinstance(value, str) and not is_utf8(value):
                raise ArgumentError(field.name, value, "is not UTF-8; rename the file or folder")


def _check_devices(config: Config) -> None:
    hardware = config.hardware
    if hardware.cpu_devices > 1 and hardware.tpu is not None:
        raise ArgumentError("cpu_devices", hardware.cpu_devices, "contradicts {tpu}; leave one out", tpu=hardware.tpu)
    if hardware.cpu_devices > 1 and hardware.strategy in ("one_device", "tpu"):
        raise ArgumentError(
            "cpu_devices",
            hardware.cpu_devices,
            "contradicts {strategy}; leave one out",
            strategy=hardware.strategy,
        )
    if config.augment.augment_on_device == "on" and config.augment.blur_on_device == "off":
        raise ArgumentError(
            "blur_on_device",
            "off",
            "contradicts {augment_on_device}; leave one out",
            augment_on_device="on",
        )


def _check_tpu(config: Config) -> None:
    hardware = config.hardware
    if hardware.tpu is not None and hardware.strategy not in ("auto", "tpu"):
        raise ArgumentError("strategy", hardware.strategy, "contradicts {tpu}; leave one out", tpu=hardware.tpu)
    if hardware.strategy == "tpu" and hardware.tpu is None:
        raise ArgumentError("strategy", "tpu", "needs the name or address of the TPU, {tpu}", tpu="NAME")
    for name in ("tpu_zone", "tpu_project"):
        value = getattr(hardware, name)
        if value is not None and hardware.tpu is None:
            raise ArgumentError(name, value, "needs the name of the TPU, {tpu}", tpu="NAME")
    if hardware.precision == "float16" and hardware.tpu is not None:
        raise ArgumentError("precision", "float16", "TPUs do not support it; give {precision}", precision="bfloat16")


def _check_views(config: Config) -> None:
    augment, mode = config.augment, config.run.mode
    policies, views = augment.augment, augment.num_views
    if augment.crop_min_area is not None and augment.crop_min_area > augment.crop_max_area:
        raise ArgumentError(
            "crop_min_area",
            augment.crop_min_area,
            "must not exceed {crop_max_area}",
            crop_max_area=augment.crop_max_area,
        )
    if mode == "ce":
        if len(policies) > 1:
            raise ArgumentError("augment", policies, "give one policy; mode ce has one view of each image")
        return
    if mode == "simclr" and views < 2:
        raise ArgumentError(
            "num_views", views, "mode simclr needs at least 2, because the only positives are other views of the image"
        )
    if len(policies) not in (1, views):
        raise ArgumentError(
            "augment",
            policies,
            f"gives {len(policies)} policies for {{num_views}}; give one policy for all views, or one per view",
            num_views=views,
        )
    if views > 1 and set(policies) == {"none"}:
        raise ArgumentError(
            "augment", policies, "makes the views of an image equal; give another policy, or {num_views}", num_views=1
        )


def _check_mix(config: Config) -> None:
    augment, mode, mix = config.augment, config.run.mode, config.augment.mix
    if mix == "none":
        for name, value in _changed(augment, ("mix_alpha",)):
            raise ArgumentError(name, value, "has no effect without {mix}", mix=NAME_ONLY)
        return
    if mode == "simclr":
        raise ArgumentError("mix", mix, "needs labels, which mode simclr does not use")
    if mode == "ce":
        return
    if augment.num_views < 2:
        raise ArgumentError("num_views", augment.num_views, "{mix} needs at least 2 views in mode supcon", mix=mix)
    if config.data.unlabelled is not None:
        # The part of a mixed image that has no label would have its partner as only positive.
        raise ArgumentError("unlabelled", config.data.unlabelled, "contradicts {mix}; leave one out", mix=mix)
    loss = CONTRASTIVE_LOSSES[config.loss.contrastive_loss]
    if loss.takes_with_soft_labels is None:
        raise ArgumentError(
            "contrastive_loss", config.loss.contrastive_loss, "takes no soft labels; leave out {mix}", mix=mix
        )
    only_hard = [name for name in loss.takes if name not in loss.takes_with_soft_labels]
    for name, value in _changed(config.loss, only_hard):
        raise ArgumentError(name, value, "contradicts {mix}; leave one out", mix=mix)


def _check_randaugment(config: Config) -> None:
    augment = config.augment
    policies = augment.augment if config.run.mode == "ce" else (*augment.augment, augment.linear_augment)
    if any(policy.endswith("randaugment") for policy in policies):
        return
    for name, value in _changed(augment, ("randaugment_layers", "randaugment_magnitude")):
        raise ArgumentError(
            name, value, "has no effect, because {augment} has no RandAugment policy", augment=NAME_ONLY
        )


def _check_data(config: Config) -> None:
    data, mode = config.data, config.run.mode
    for name in ("dataset", "unlabelled"):
        value = getattr(data, name)
        if value in ("", "folder:", "csv:"):
            raise ArgumentError(name, value, "give a name, or a path such as folder:PATH")
    if not data.dataset.startswith("csv:"):
        for name, value in _changed(data, ("path_column", "label_column")):
            raise ArgumentError(name, value, "works with {dataset} only", dataset="csv:FILE")
        _check_group(data)
    if data.unlabelled is not None and data.unlabelled.startswith("csv:") and data.unlabelled != data.dataset:
        raise ArgumentError("unlabelled", data.unlabelled, "give the folder of the images, folder:PATH")
    if data.unlabelled is not None and mode != "supcon":
        raise ArgumentError("unlabelled", data.unlabelled, f"works in mode supcon only; leave it out in mode {mode}")
    if data.unlabelled is None:
        for name, value in _changed(data, ("unlabelled_share",)):
            raise ArgumentError(name, value, "has no effect without {unlabelled}", unlabelled=NAME_ONLY)
    if data.class_level is not None and not data.dataset.startswith("folder:"):
        raise ArgumentError("class_level", data.class_level, "works with {dataset} only", dataset="folder:PATH")
    if data.class_level == 0 and mode != "simclr":
        raise ArgumentError("class_level", 0, "means images without classes, which need {mode}", mode="simclr")
    if data.classes_per_batch is not None and mode == "simclr":
        raise ArgumentError("classes_per_batch", data.classes_per_batch, "needs labels, which mode simclr does not use")


def _check_group(data: DataOptions) -> None:
    """Checks the groups of a data set that is no table."""
    if data.group is None:
        return
    if not data.dataset.startswith("folder:"):
        raise ArgumentError("group", data.group, "works with {dataset} or folder:PATH only", dataset="csv:FILE")
    if data.group != "folder" and not (data.group.startswith("prefix:") and data.group != "prefix:"):
        raise ArgumentError("group", data.group, "must be folder, or prefix:TEXT such as prefix:_, for a folder")


def _check_encoder(config: Config) -> None:
    check_encoder_options(config.model)
    encoder = config.model.encoder
    if is_path(encoder):
        for name, value in _changed(config.hardware, ("precision",)):
            if value == "auto":
                continue
            raise ArgumentError(
                name, value, "does not apply to {encoder}, which keeps the precision it was saved in", encoder=encoder
            )


def _check_warm_start(config: Config) -> None:
    model = config.model
    if model.warm_start is None:
        for name, value in _changed(model, ("warm_start_parts",)):
            raise ArgumentError(name, value, "has no effect without {warm_start}", warm_start=NAME_ONLY)
        return
    if config.run.mode == "ce" and "projection_head" in model.warm_start_parts:
        raise ArgumentError(
            "warm_start_parts", model.warm_start_parts, "mode ce has no projection head; leave 'projection_head' out"
        )
    if model.encoder_weights is not None and "encoder" in model.warm_start_parts:
        raise ArgumentError(
            "encoder_weights",
            model.encoder_weights,
            "contradicts {warm_start}; leave one out",
            warm_start=model.warm_start,
        )


def _check_mode_of_loss(config: Config) -> None:
    """Checks the options that one mode does not use."""
    loss, mode = config.loss, config.run.mode
    if mode == "ce":
        # Temperatures are allowed, so that commands for several modes may share them.
        names = ("contrastive_loss", "joint_ce", *_options_of_losses())
        for name, value in (*_changed(loss, names), *_changed(config.training, ("microbatch_size",))):
            raise ArgumentError(
                name, value, "works with the contrastive loss of modes supcon and simclr; leave it out in mode ce"
            )
    if mode == "simclr":
        for name, value in _changed(loss, ("positives_cap", "joint_ce")):
            raise ArgumentError(name, value, "needs labels, which mode simclr does not use")
    if mode == "simclr":
        for name, value in _changed(loss, ("contrastive_loss",)):
            raise ArgumentError(name, value, "needs labels; give {mode}", mode="supcon")


def _check_class_balance(config: Config) -> None:
    balance, mix = config.training.class_balance, config.augment.mix
    if balance and mix != "none":
        raise ArgumentError("class_balance", balance, "contradicts {mix}, whose images have no single class", mix=mix)


def _check_temperature(config: Config) -> None:
    if config.loss.learn_temperature and config.loss.scale_by_temperature:
        raise ArgumentError("learn_temperature", True, "needs {scale_by_temperature}", scale_by_temperature=False)


def _check_queue(config: Config) -> None:
    loss = config.loss
    if not loss.queue_size:
        for name, value in _changed(loss, ("momentum_encoder",)):
            raise ArgumentError(name, value, "has no effect without {queue_size}", queue_size=NAME_ONLY)
    elif loss.positives_cap is not None:
        raise ArgumentError(
            "positives_cap",
            loss.positives_cap,
            "contradicts {queue_size}; leave one out",
            queue_size=loss.queue_size,
        )


def _check_loss(config: Config) -> None:
    """Checks the views that the loss needs, and the options that it does not take."""
    name = config.loss.contrastive_loss
    loss, views = CONTRASTIVE_LOSSES[name], config.augment.num_views
    if loss.views not in (None, views):
        raise ArgumentError("num_views", views, f"{{contrastive_loss}} needs {loss.views} views", contrastive_loss=name)
    for other, value in _changed(config.loss, [other for other in _options_of_losses() if other not in loss.takes]):
        raise ArgumentError(other, value, "has no effect with {contrastive_loss}", contrastive_loss=name)


def _options_of_losses() -> Tuple[str, ...]:
    """Returns the options that some losses take, except those that recipes set."""
    names = dict.fromkeys(name for loss in CONTRASTIVE_LOSSES.values() for name in loss.takes)
    return tuple(name for name in names if name not in LOSS_OPTIONS_OF_RECIPES)


def _check_schedule(config: Config, stage: str) -> None:
    options, default = config.stage(stage), Config().stage(stage)
    schedule, times, epochs = options.schedule, options.decay_epochs, options.epochs
    epochs_name, warmup_name, schedule_name, rate_name, times_name = (
        name_in_stage(stage, field) for field in ("epochs", "warmup_epochs", "schedule", "decay_rate", "decay_epochs")
    )
    if options.warmup_epochs >= epochs:
        raise ArgumentError(
            warmup_name, options.warmup_epochs, f"must be less than {{{epochs_name}}}", **{epochs_name: epochs}
        )
    if schedule not in ("exponential", "piecewise"):
        for name, value, usual in (
            (times_name, times, default.decay_epochs),
            (rate_name, options.decay_rate, default.decay_rate),
        ):
            if value != usual:
                raise ArgumentError(name, value, f"has no effect with {{{schedule_name}}}", **{schedule_name: schedule})
        return
    if times is None:
        raise ArgumentError(schedule_name, schedule, f"needs {{{times_name}}}", **{times_name: NAME_ONLY})
    if schedule == "exponential" and len(times) != 1:
        raise ArgumentError(times_name, times, "an exponential schedule takes one number")
    if schedule == "piecewise" and any(a >= b for a, b in zip(times, times[1:])):
        raise ArgumentError(times_name, times, "must increase from one number to the next")
    if options.warmup_epochs + times[-1] >= epochs:
        raise ArgumentError(
            times_name,
            times,
            f"counts from the end of {{{warmup_name}}} and must end before {{{epochs_name}}}",
            **{warmup_name: options.warmup_epochs, epochs_name: epochs},
        )
