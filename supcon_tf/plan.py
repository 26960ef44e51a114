"""What a run would take, for `--plan`: arithmetic on the graph of its models, with nothing trained, read or written.

A step is that of one replica, a device of its own. Memory is what the step needs by itself; frameworks keep more.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import experiment as experiment_lib
from supcon_tf import graph_cost, models, optimizers
from supcon_tf.data import catalogue, load, pipeline
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import UserError
from supcon_tf.losses import cost, engine
from supcon_tf.losses.forms import Form
from supcon_tf.run_dir import RunDir

GB, MB = 2**30, 2**20
FLOAT = 4  # bytes of a weight, a gradient, a projection
SMALLEST_MICROBATCH = 8  # images of which batch statistics say something; fewer only where nothing else fits
PREFETCHED = 2  # batches on a device: the step's own and the next


class Parameters(NamedTuple):
    """Numbers in a part of the model, and how many of them are trained."""

    number: int
    trained: int


class Message(NamedTuple):
    """What replicas tell each other in a step.

    Attributes:
      size: bytes of the whole, which each replica has in the end.
      summed: whether it is the sum of what each has, else the parts of all side by side.
    """

    size: int
    summed: bool

    def sent(self, replicas: int) -> float:
        """Bytes that a replica sends if they form a ring, the least there is."""
        return (2 if self.summed else 1) * self.size * (replicas - 1) / replicas


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """What a training stage takes.

    Attributes:
      stage: 'pretrain' or 'linear'.
      config: the options, with what the data set decides.
      epochs: batch size, passes and steps.
      epochs_of: the same for other options.
      replicas: that share the batch equally.
      image_shape: height, width and channels.
      classes: number of them; 0 for none.
      parameters: of each part of the model, in the order of the forward pass.
      counted: what the model takes for each view.
      embedding: dimension of the embedding.
      normalized: channels of all layers of batch normalisation.
      microbatch_size: images of a replica that pass the encoder at a time; None for all.
    """

    stage: str
    config: config_lib.Config
    epochs: pipeline.Epochs
    epochs_of: Callable[[config_lib.Config], pipeline.Epochs]
    replicas: int
    image_shape: Tuple[int, int, int]
    classes: int
    parameters: Dict[str, Parameters]
    counted: graph_cost.GraphCost
    embedding: int
    normalized: int
    microbatch_size: Optional[int] = None

    @property
    def contrastive(self) -> bool:
        return self.stage == "pretrain" and self.config.run.mode != "ce"

    @property
    def views(self) -> int:
        """Of each image."""
        return self.config.augment.num_views if self.contrastive else 1

    @property
    def batch_size(self) -> int:
        """Images in a batch of all replicas."""
        return self.epochs.batch_size

    @property
    def share(self) -> int:
        """Images of a replica."""
        return self.batch_size // self.replicas

    @property
    def images_seen(self) -> int:
        """Over the whole stage."""
        return self.epochs.total_steps * self.batch_size

    @property
    def peak_learning_rate(self) -> float:
        return experiment_lib.peak_learning_rate(self.config, self.stage, self.batch_size)

    @property
    def _queue(self) -> bool:
        return self.contrastive and self.config.loss.queue_size > 0

    @property
    def _projection(self) -> int:
        return self.config.model.projection_layers[-1]

    @property
    def loss(self) -> cost.LossCost:
        """Of the contrastive loss with its gradient, or of cross-entropy."""
        options = self.config.loss
        if not self.contrastive:  # logits, probabilities and their gradient
            return cost.LossCost(0, 3 * FLOAT * self.share * self.classes, {})
        of_batch = (self.batch_size, self.replicas, self.views, self._projection)
        if options.contrastive_loss != "supcon":
            return cost.of_all_pairs(*of_batch, name=options.contrastive_loss)
        small = options.learn_temperature or 1.0 / options.temperature <= engine.LARGEST_EXPONENT
        found = cost.of_supcon(
            *of_batch,
            memory=options.queue_size,
            by_class=Form(options.summation, options.denominator, options.positives_cap).by_class,
            exponents=self.config.model.normalize_projection and small,
        )
        if self.config.augment.mix != "none" and self.replicas > 1:
            found.gathered["distributions over classes"] = self.batch_size * (self.classes + self._projection) * FLOAT
        return found

    @property
    def flops(self) -> Dict[str, float]:
        """Of a replica in a step."""
        counted, rows = self.counted, self.share * self.views
        found = {
            "forward": counted.forward_flops * rows,
            "backward": counted.backward * rows,
        }
        if self.microbatch_size is not None:
            found["forward once more, for microbatches"] = counted.forward_flops * rows
        if self._queue:
            found["momentum encoder"] = counted.forward_flops * rows
        if self.contrastive:
            found["loss"] = float(self.loss.flops)
        return found

    @property
    def moved(self) -> float:
        """Bytes that a replica moves in a step: layers but convolutions and matrix products, and the optimizer."""
        passes = (self.microbatch_size is not None) + self._queue
        of_layers = (self.counted.moved + passes * self.counted.moved_forward) * self.share * self.views
        return of_layers + FLOAT * self._trained * (3 + 2 * self._slots)

    @property
    def _trained(self) -> int:
        return sum(part.trained for part in self.parameters.values())

    @property
    def _slots(self) -> int:
        return optimizers.SLOTS[experiment_lib.option_of_stage(self.config, self.stage, "optimizer")]

    @property
    def memory(self) -> Dict[str, float]:
        """Bytes of a replica."""
        counted, rows = self.counted, self.share * self.views
        numbers = sum(part.number for part in self.parameters.values())
        at_a_time = self.views * (self.microbatch_size or self.share)
        of_loss = float(self.loss.memory)
        if self.microbatch_size is not None:  # embeddings and projections of all, with their gradients
            of_loss += 2 * FLOAT * rows * (self.embedding + self._projection)
        found = {
            "weights": FLOAT * numbers + counted.copies,
            "gradients": FLOAT * self._trained * (1 if self.microbatch_size is None else 2),
            "optimizer": FLOAT * self._trained * self._slots,
            "activations kept for the gradient": counted.kept * at_a_time,
            "activations at work": (counted.peak - counted.kept) * at_a_time,
            "loss": of_loss,
            "batch, and the next": float(PREFETCHED * rows * math.prod(self.image_shape)),
        }
        if self._queue:
            found["momentum encoder and queue"] = FLOAT * (
                numbers + self.config.loss.queue_size * (self._projection + 1)
            )
        return found

    @property
    def messages(self) -> Dict[str, Message]:
        """What replicas tell each other in a step; nothing where there is one."""
        if self.replicas == 1:
            return {}
        found = {"gradients": Message(FLOAT * self._trained, summed=True)}
        found.update({name: Message(size, summed=False) for name, size in self.loss.gathered.items()})
        if self._queue:
            size = FLOAT * self.batch_size * (self.views * self._projection + 1)
            found["projections of the momentum encoder"] = Message(size, summed=False)
        if self.config.model.sync_batch_norm and self.stage == "pretrain":
            # Sums and sums of squares; in the backward pass their gradients.
            passes = 2 if self.microbatch_size is None else 3 * (self.share // self.microbatch_size)
            passes += self._queue * (1 if self.microbatch_size is None else self.share // self.microbatch_size)
            found["batch statistics"] = Message(FLOAT * 2 * self.normalized * passes, summed=True)
        return found

    def seconds(self, tflops: float, bandwidth: Optional[float] = None) -> float:
        """Of a step.

        Args:
          tflops: TFLOP/s of a device in convolutions and matrix products.
          bandwidth: GB/s, of 10⁹ bytes, in other layers; None for no time in these.
        """
        return sum(self.flops.values()) / (1e12 * tflops) + (self.moved / (1e9 * bandwidth) if bandwidth else 0.0)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run takes.

    Attributes:
      config: the options, with what the data set decides.
      asked: what to say of it.
      images: training images.
      unlabelled: further ones.
      stages: those that train.
    """

    config: config_lib.Config
    asked: config_lib.PlanOptions
    images: int
    unlabelled: int
    stages: Tuple[StagePlan, ...]


def make_plan(config: config_lib.Config, asked: config_lib.PlanOptions) -> Plan:
    """Counts what the stages of `config` would take.

    Raises:
      UserError: a data set that is not known or of unknown size, or options that do not fit it.
    """
    config = experiment_lib.settle(config, catalogue.facts(config.data.dataset), None)
    data = load.load(
        config.data,
        labels=config.run.mode != "simclr",
        one_class_for=experiment_lib.one_class_for(config),
        prepare=False,
    )
    replicas = asked.plan_devices or config.hardware.cpu_devices
    experiment_lib.check_microbatch(config, replicas)
    images = TrainingImages(data, max_examples=config.data.max_examples)
    unlabelled = None
    if config.data.unlabelled is not None:
        unlabelled = TrainingImages(load.load_unlabelled(config.data, prepare=False))
    with graph_cost.unfilled_weights():
        stages = tuple(_stages(config, images, unlabelled, replicas))
    return Plan(config, asked, images.size, unlabelled.size if unlabelled else 0, stages)


def _stages(
    config: config_lib.Config, images: TrainingImages, unlabelled: Optional[TrainingImages], replicas: int
) -> Iterator[StagePlan]:
    """The stages that train, of those that were asked for."""
    experiment_lib.set_precision(config.hardware.precision)
    image_shape = experiment_lib.seen_shape(config, images.data)
    classes = len(images.data.class_names)
    # Statistics of one replica: synchronised ones are made of many small operations, of which XLA makes as few again.
    # And microbatches and the queue are arithmetic, so the model has neither.
    defaults = config_lib.LossOptions()
    changes = {
        "sync_batch_norm": False,
        "queue_size": defaults.queue_size,
        "momentum_encoder": defaults.momentum_encoder,
    }
    of_one = config_lib.from_values({**config_lib.values(config), **changes})
    run = experiment_lib.Experiment(
        of_one, tf.distribute.get_strategy(), RunDir(""), images.data, image_shape, flip=False, images=images
    )
    training = ("pretrain",) if config.run.mode == "ce" or not classes else ("pretrain", "linear")

    def epochs_of_options(stage: str, config: config_lib.Config) -> pipeline.Epochs:
        # Which classes have images only the data tell; all that there are have to do.
        return experiment_lib.plan_stage(config, stage, images, unlabelled, replicas, num_classes=classes)

    epochs_of = {stage: functools.partial(epochs_of_options, stage) for stage in training if stage in config.run.stages}
    epochs = {stage: make(config) for stage, make in epochs_of.items()}  # says what is wrong before a model is made
    encoder: Optional[keras.Model] = None
    for stage in epochs:
        contrastive = stage == "pretrain" and config.run.mode != "ce"
        if contrastive:
            model: keras.Model = experiment_lib.make_contrastive_model(run)
            heads = {"projection head": model.projection_head, "online classifier": model.online_classifier}
        else:
            if encoder is None:
                model = experiment_lib.make_classifier(run, train=stage)
            else:
                normalize = config.model.normalize_embedding
                model = models.Classifier(encoder, classes, freeze_encoder=True, normalize_embedding=normalize)
            heads = {"classifier": model.linear}
        encoder = model.encoder
        parts = {"encoder": encoder, **{name: head for name, head in heads.items() if head is not None}}
        yield StagePlan(
            stage=stage,
            config=config,
            epochs=epochs[stage],
            epochs_of=epochs_of[stage],
            replicas=replicas,
            image_shape=image_shape,
            classes=classes,
            parameters={name: _parameters(part) for name, part in parts.items()},
            counted=graph_cost.count(_forward(model, contrastive), image_shape, model.trainable_weights),
            embedding=encoder.output_shape[-1],
            normalized=sum(map(_normalized_channels, parts.values())),
            microbatch_size=config.training.microbatch_size if contrastive else None,
        )


def _forward(model: keras.Model, contrastive: bool) -> graph_cost.Forward:
    """What a step does with its images, up to the loss."""

    def of_classifier(images: tf.Tensor, mark: graph_cost.Mark) -> List[tf.Tensor]:
        embeddings = model.embed(images, training=True)
        mark("encoder")
        logits = model.linear(embeddings)
        mark("classifier")
        return [logits]

    def of_contrastive_model(images: tf.Tensor, mark: graph_cost.Mark) -> List[tf.Tensor]:
        embeddings = model.embed(images, training=True)
        mark("encoder")
        outputs = [model.projection_head(embeddings, training=True)]
        mark("projection head")
        if model.online_classifier is not None:
            outputs.append(model.online_classifier(tf.stop_gradient(embeddings)))
            mark("online classifier")
        return outputs

    return of_contrastive_model if contrastive else of_classifier


def _parameters(part: keras.layers.Layer) -> Parameters:
    return Parameters(
        *(sum(weight.shape.num_elements() for weight in of) for of in (part.weights, part.trainable_weights))
    )


def _normalized_channels(part: keras.layers.Layer) -> int:
    layers = (layer for layer in part.submodules if isinstance(layer, keras.layers.BatchNormalization))
    return sum(layer.moving_mean.shape.num_elements() for layer in layers)


class Fit(NamedTuple):
    """Sizes with which a stage fits, and what it then takes."""

    flags: Tuple[str, ...]
    plan: StagePlan


def fits(plan: StagePlan, memory: float) -> List[Fit]:
    """The nearest sizes with which a step takes at most `memory` bytes.

    In the contrastive stage the largest batch in microbatches comes first: the whole, or a smaller one. Then, as always
    in the other stages, the largest batch that passes the encoder at once. Smaller batches are of a power of two of
    images on each replica, and their learning rate goes with their size (Goyal et al. 2017).

    Returns:
      At most two; none where no batch fits.
    """
    powers = (2**power for power in range(plan.share.bit_length() - 1, -1, -1))
    batches = [plan.batch_size, *(power * plan.replicas for power in powers if power < plan.share)]
    found: List[Fit] = []
    if plan.contrastive:
        for smallest in (SMALLEST_MICROBATCH, 1):
            in_microbatches = (fit for batch in batches for fit in _in_microbatches(plan, batch, smallest))
            found = found or _first_within(in_microbatches, memory)
    if plan.microbatch_size is None:
        found += _first_within((fit for batch in batches for fit in _fits_of(plan, batch, None)), memory)
    return found


def _first_within(candidates: Iterator[Fit], memory: float) -> List[Fit]:
    """The first that takes at most so many bytes, if there is one."""
    return list(itertools.islice((fit for fit in candidates if total(fit.plan.memory) <= memory), 1))


def _in_microbatches(plan: StagePlan, batch: int, smallest: int) -> Iterator[Fit]:
    """The batch in microbatches of the sizes that divide it and are no larger than those of `plan`, largest first."""
    share = batch // plan.replicas
    for size in range(min(share - 1, plan.microbatch_size or share), smallest - 1, -1):
        if share % size == 0:
            yield from _fits_of(plan, batch, size)


def _fits_of(plan: StagePlan, batch: int, microbatch: Optional[int]) -> Iterator[Fit]:
    """The stage with these sizes; nothing where other options do not allow them."""
    values: Dict[str, float] = {config_lib.name_in_stage(plan.stage, "batch_size"): batch}
    if not plan.config.training.scale_learning_rate:
        rate = experiment_lib.option_of_stage(plan.config, plan.stage, "learning_rate") * batch / plan.batch_size
        values[config_lib.name_in_stage(plan.stage, "learning_rate")] = float(f"{rate:.4g}")
    if batch == plan.batch_size:
        values = {}
    if microbatch is not None:
        values["microbatch_size"] = microbatch
    config = config_lib.from_values({**config_lib.values(plan.config), **values})
    given = tuple(config_lib.as_flag(name, value) for name, value in values.items())
    with contextlib.suppress(UserError):
        epochs = plan.epochs_of(config)
        yield Fit(given, dataclasses.replace(plan, config=config, epochs=epochs, microbatch_size=microbatch))


def total(parts: Dict[str, float]) -> float:
    """Sum of the values."""
    return sum(parts.values())


# What is printed.


def text(plan: Plan) -> str:
    """The plan as plain text: a line on the run, a table for each stage, and what is not in them."""
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
        notes.append("Sent: what a device sends if all of them form a ring.")
    if asked.plan_tflops is None:
        notes.append("For the time: --plan_tflops=N, the TFLOP/s that a device reaches.")
    else:
        notes.append("Time is that of computing: no input, communication or validation is in it.")
    compiled = config.hardware.jit_compile or config.hardware.tpu is not None
    if config.model.sync_batch_norm and config.hardware.precision != "float32" and not compiled:
        notes.append("With --sync_batch_norm, activations take half as much again unless --jit_compile is given.")
    uncounted = sorted({name for stage in plan.stages for name in stage.counted.uncounted})
    if uncounted:
        notes.append(f"Not counted, for their shapes are not known: {', '.join(uncounted)}.")
    return "\n\n".join([*blocks, "\n".join(notes)])


def _stage_text(plan: StagePlan, asked: config_lib.PlanOptions) -> str:
    of_devices = f", {plan.share:,} a device" if plan.replicas > 1 else ""
    at_a_time = f", {plan.microbatch_size:,} at a time" if plan.microbatch_size is not None else ""
    steps, view = plan.epochs.total_steps, "a view" if plan.views > 1 else "an image"
    rows = [
        ("batch", f"{plan.batch_size:,} images{of_devices}{at_a_time}"),
        ("steps", f"{steps:,} in {_count(plan.epochs.epochs, 'epoch')}"),
        ("images seen", f"{plan.images_seen:,}" + (f", in {plan.views} views each" if plan.views > 1 else "")),
        ("peak learning rate", f"{plan.peak_learning_rate:.4g}"),
    ]
    for name, part in plan.parameters.items():
        trained = "" if part.trained == part.number else f", {part.trained:,} of them trained"
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
    """Whether the stage fits into so many GB, and what to do if not."""
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
        of_fit = fit.plan
        facts = [_bytes(total(of_fit.memory)), f"peak learning rate {of_fit.peak_learning_rate:.4g}"]
        if of_fit.microbatch_size is not None:
            facts.append(f"batch statistics of {_count(of_fit.microbatch_size, 'image')}")
        work = total(of_fit.flops) * of_fit.epochs.total_steps / (total(plan.flops) * plan.epochs.total_steps)
        facts.append(f"{work:.2f} times the operations")
        lines.append(f"    {' '.join(fit.flags)}: {', '.join(facts)}")
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
