"""Prints a plan: a line about the run, a table for each stage, and notes."""

from typing import List

from supcon_tf import config as config_lib
from supcon_tf.plan import Plan, StagePlan, fits, total

GB, MB = 2**30, 2**20


def plan_text(plan: Plan) -> str:
    """Returns the plan as plain text: a line about the run, a table for each stage, and what these leave out."""
    config, asked = plan.config, plan.asked
    if not plan.stages:
        return f"{config.run.mode} on {config.data.dataset}: no stage of {','.join(config.run.stages)} trains"
    height, width, channels = plan.stages[0].image_shape
    also = f" and {plan.unlabelled:,} without labels" if plan.unlabelled else ""
    classes = plan.stages[0].classes
    head = (
        f"{config.run.mode} on {config.data.dataset}: {plan.images:,} training images{also}, seen as "
        f"{height}x{width}x{channels}, {f'{classes:,} classes' if classes else 'no labels'}; "
        f"{config.model.encoder} in {config.hardware.precision}, {_count(plan.stages[0].replicas, 'device')}"
    )
    blocks = [head, *(_stage_text(stage, asked) for stage in plan.stages)]
    notes = ["A multiply and an add are 2 operations. GB are 2^30 bytes, MB 2^20, kB 2^10."]
    if asked.plan_devices is None:
        notes.append("For another number of devices: --plan_devices=N.")
    if plan.stages[0].messages:
        notes.append("Sent: bytes that a device sends if all devices form a ring.")
    if asked.plan_tflops is None:
        notes.append("For the time: --plan_tflops=N, the TFLOP/s that a device reaches.")
    else:
        notes.append("Time is that of computing: no input, communication or validation is in it.")
    compiled = config.hardware.jit_compile or config.hardware.tpu is not None
    if config.model.sync_batch_norm and config.hardware.precision != "float32" and not compiled:
        notes.append("With --sync_batch_norm, activations take half as much again unless --jit_compile is given.")
    uncounted = sorted({name for stage in plan.stages for name in stage.counted.uncounted})
    if not all(stage.loss_is_counted for stage in plan.stages):
        notes.append(f"Not counted: the loss '{config.loss.contrastive_loss}'.")
    if uncounted:
        notes.append(f"Not counted, for their shapes are not known: {', '.join(uncounted)}.")
    return "\n\n".join([*blocks, "\n".join(notes)])


def _stage_text(plan: StagePlan, asked: config_lib.PlanOptions) -> str:
    per_device = f", {plan.share:,} a device" if plan.replicas > 1 else ""
    at_a_time = f", {plan.microbatch_size:,} at a time" if plan.microbatch_size is not None else ""
    steps, view = plan.steps.total_steps, "a view" if plan.views > 1 else "an image"
    rows = [
        ("batch", f"{plan.batch_size:,} images{per_device}{at_a_time}"),
        ("steps", f"{steps:,} in {_count(plan.steps.epochs, 'epoch')}"),
        ("images seen", f"{plan.images_seen:,}" + (f", in {plan.views} views each" if plan.views > 1 else "")),
        ("peak learning rate", f"{plan.peak_learning_rate:.4g}"),
    ]
    for name, part in plan.parameters.items():
        trained = "" if part.trained == part.number else f", {part.trained:,} trained"
        rows.append((f"parameters, {name}", f"{part.number:,}{trained}"))
    rows.append((f"encoder, forward, of {view}", _operations(plan.counted.forward["encoder"])))
    flops = total(plan.flops)
    for name, value in plan.flops.items():
        rows.append((f"step of a device, {name}", _operations(value)))
    rows.append(("step of a device", _operations(flops)))
    rows.append(("whole stage, all devices", _operations(flops * plan.replicas * steps)))
    for name, value in plan.memory.items():
        rows.append((f"memory, {name}", _bytes(value)))
    rows.append(("memory", _bytes(total(plan.memory))))
    for name, message in plan.messages.items():
        what = f"{'sum' if message.summed else 'all'} of {_bytes(message.size)}"
        rows.append((f"sent a step, {name}", f"{_bytes(message.sent(plan.replicas))}, {what}"))
    if plan.messages:
        rows.append(("sent a step", _bytes(sum(message.sent(plan.replicas) for message in plan.messages.values()))))
    if asked.plan_tflops is not None:
        seconds = plan.seconds(asked.plan_tflops, asked.plan_bandwidth)
        rows.append(("time of a step", f"{_duration(seconds)}, {plan.batch_size / seconds:,.0f} images a second"))
        rows.append(("time of the stage", _duration(seconds * steps)))
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"stage {plan.stage}", *(f"  {name:<{width}}{value}" for name, value in rows)]
    if asked.plan_memory is not None:
        lines += _fit_lines(plan, asked.plan_memory)
    return "\n".join(lines)


def _fit_lines(plan: StagePlan, limit: float) -> List[str]:
    """Says whether the stage fits into `limit` GB, and what to do if it does not."""
    needed = total(plan.memory) / GB
    if needed <= limit:
        return [f"  fits into {limit:g} GB"]
    found = fits(plan, limit * GB)
    if not found:
        fixed = sum(plan.memory[name] for name in ("weights", "gradients", "optimizer"))
        return [
            f"  does not fit into {limit:g} GB with any batch; without one it takes {_bytes(fixed)}. A smaller "
            "--encoder, --encoder_width or --image_size, or --precision=bfloat16, takes less"
        ]
    lines = [f"  does not fit into {limit:g} GB; the nearest that does:"]
    for fit in found:
        fitting = fit.plan
        facts = [_bytes(total(fitting.memory)), f"peak learning rate {fitting.peak_learning_rate:.4g}"]
        if fitting.microbatch_size is not None:
            facts.append(f"batch statistics of {_count(fitting.microbatch_size, 'image')}")
        work = total(fitting.flops) * fitting.steps.total_steps / (total(plan.flops) * plan.steps.total_steps)
        facts.append(f"{work:.2f} times the operations")
        flags = " ".join(config_lib.as_flag(name, value) for name, value in fit.options.items())
        lines.append(f"    {flags}: {', '.join(facts)}")
    return lines


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _operations(number: float) -> str:
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T")):
        if number >= size:
            return f"{number / size:,.4g} {prefix}FLOP"
    return f"{number / 1e9:.4g} GFLOP" if number >= 1e9 else f"{number / 1e6:.4g} MFLOP"


def _bytes(number: float) -> str:
    if number >= GB:
        return f"{number / GB:,.2f} GB"
    return f"{number / MB:.1f} MB" if number >= MB else f"{number / 1024:.1f} kB"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
