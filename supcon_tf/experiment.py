"""The stages in order: pretrain → linear → evaluate → export. The only module that knows all the rooms."""

import contextlib
import dataclasses
import functools
import os
import shlex
import sys
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import augment, distribute, evaluation, losses, models, optimizers
from supcon_tf import config as config_lib
from supcon_tf.data import catalogue, decoding, load, pipeline
from supcon_tf.data import whitening as whitening_lib
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import UserError
from supcon_tf.run_dir import RunDir, default_path, read_json, write_json, write_text
from supcon_tf.serving.export import ServableModel, write_saved_model
from supcon_tf.training import checkpoints, tensorboard, warm_start
from supcon_tf.training.callbacks import ContrastiveWarnings
from supcon_tf.training.fit import MakeBatches, Stage, fit

LARGEST_DEFAULT_IMAGE = 224
EVALUATION_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, with all that its stages share.

    Attributes:
      config: the options, with what the data set decides.
      strategy: where to compute.
      run_dir: where to write.
      data: the images.
      image_shape: height, width and channels of what the encoder sees.
      flip: whether views may be mirrored.
      images: those to train on.
      unlabelled: more of them, to contrast without labels; None for none.
      whitening: channel means and standard deviations that become 0 and 1.
    """

    config: config_lib.Config
    strategy: tf.distribute.Strategy
    run_dir: RunDir
    data: load.ImageData
    image_shape: Tuple[int, int, int]
    flip: bool
    images: TrainingImages
    unlabelled: Optional[TrainingImages] = None
    whitening: catalogue.Whitening = catalogue.NO_WHITENING

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where the images have no labels."""
        return len(self.data.class_names)

    @property
    def online_classes(self) -> int:
        """Classes of the online classifier; 0 where an image has none or several, and pretraining goes without."""
        return 0 if self.data.multi_label else self.num_classes

    @property
    def chief(self) -> bool:
        """Whether this process writes and speaks."""
        return distribute.is_chief(self.strategy)

    def epochs(self, stage: str) -> pipeline.Epochs:
        """Batch size and number of steps of a training stage."""
        return plan_stage(self.config, stage, self.images, self.unlabelled, self.strategy.num_replicas_in_sync)

    def is_done(self, stage: str) -> bool:
        """Whether a training stage has been run to its end."""
        return checkpoints.latest_step(self.run_dir.checkpoints(stage)) == self.epochs(stage).total_steps

    def begins(self, stage: str) -> bool:
        """Whether a training stage has saved nothing yet that it would go on from."""
        return checkpoints.latest_step(self.run_dir.checkpoints(stage)) is None

    @property
    def takes_ready_encoder(self) -> bool:
        """Whether the stage 'linear' trains on an encoder from elsewhere, which the run does not train itself."""
        asked = "pretrain" in self.config.run.stages
        return not asked and config_lib.uses_pretrained_encoder(self.config) and self.begins("pretrain")

    def described(self) -> Dict[str, Any]:
        """The options that make the run what it is, with what was found out where they leave it open."""
        mean, std = map(config_lib.value_text, self.whitening)
        found_out = {
            "train_split": self.data.train_split,
            "validation_split": self.data.validation_split or "none",
            "eval_split": self.data.eval_split or "none",
            "image_size": self.image_shape[0],
            "flip": "on" if self.flip else "off",
            "whitening": "none" if self.whitening == catalogue.NO_WHITENING else f"mean {mean}, deviation {std}",
            "replicas": self.strategy.num_replicas_in_sync,
        }
        return {**config_lib.identity(self.config), **found_out}

    def evaluation_view(self, images: tf.Tensor) -> tf.Tensor:
        """Images of any size → what the encoder sees in evaluation and serving."""
        crop = self.config.augment.eval_crop
        return augment.evaluation_view(images, self.image_shape[0], config_lib.EVAL_CROP if crop is None else crop)


def plan_stage(
    config: config_lib.Config,
    stage: str,
    images: TrainingImages,
    unlabelled: Optional[TrainingImages],
    replicas: int,
    *,
    num_classes: Optional[int] = None,
) -> pipeline.Epochs:
    """Batch size and number of steps of a training stage; arguments as of `pipeline.plan_epochs`."""
    options, name = config.stage(stage), config_lib.name_in_stage(stage, "batch_size")
    if stage == "linear":
        return pipeline.plan_epochs(images, options.batch_size, options.epochs, replicas, name)
    return pipeline.plan_epochs(
        images,
        options.batch_size,
        options.epochs,
        replicas,
        name,
        classes_per_batch=config.data.classes_per_batch,
        num_classes=num_classes,
        unlabelled=unlabelled,
        unlabelled_share=config.data.unlabelled_share,
    )


def run(config: config_lib.Config, strategy: tf.distribute.Strategy) -> None:
    """Runs the stages that `config` asks for, as far as they are not done, and prints what came out.

    Raises:
      UserError: something that the user can mend.
      Interrupted: the process was asked to stop, and the run can be continued.
    """
    set_precision(config.hardware.precision)
    experiment = prepare(config, strategy)
    stages: Dict[str, Callable[[Experiment], None]] = {
        "pretrain": train_with_cross_entropy if config.run.mode == "ce" else pretrain,
        "linear": train_linear_classifier,
        "evaluate": evaluate,
        "export": export,
    }
    for stage in config_lib.STAGES:
        if stage in config.run.stages:
            with _bad_images_named(experiment):
                stages[stage](experiment)
    if experiment.images.bad_images is not None:
        experiment.images.bad_images.report()
    if experiment.chief:
        print(summary(experiment))


def set_precision(precision: str) -> None:
    """What the layers of models made from now on compute in."""
    keras.mixed_precision.set_global_policy(precision if precision == "float32" else f"mixed_{precision}")


def prepare(config: config_lib.Config, strategy: tf.distribute.Strategy) -> Experiment:
    """Prepares the data, checks that the options fit it, and only then claims the run's folder."""
    run_dir = RunDir(config.run.run_dir or default_path(config))
    past = run_dir.begun(config.data.dataset)
    facts = catalogue.facts(config.data.dataset)
    config = settle(config, facts, past)
    data = load.load(config.data, labels=config.run.mode != "simclr", one_class_for=one_class_for(config))
    image_shape = seen_shape(config, data)
    flip = {"on": True, "off": False, "auto": facts.flip}
    images = training_images(config, data)
    unlabelled = None if config.data.unlabelled is None else unlabelled_images(config.data, images)
    flipping = flip[config.augment.flip]
    experiment = Experiment(config, strategy, run_dir, data, image_shape, flipping, images, unlabelled)
    last_stage = _last_training_stage(experiment)
    trained = (last_stage,) if experiment.takes_ready_encoder else tuple(dict.fromkeys(("pretrain", last_stage)))
    # Says at once what is wrong with a batch size, not after hours of another stage.
    total_steps = {stage: experiment.epochs(stage).total_steps for stage in trained}
    check_microbatch(config, strategy.num_replicas_in_sync)
    _check_processes_agree(config, strategy)
    if config.model.warm_start is not None and past is None:
        other_run = warm_start.find(config.model.warm_start)
        warm_start.check(other_run, config.model.warm_start_parts, experiment.num_classes)
    experiment = dataclasses.replace(experiment, whitening=_find_whitening(experiment, facts, past))
    found = {
        "prepared_data": data.builder.info.full_name,
        "whitening_constants": experiment.whitening._asdict(),
        "total_steps": total_steps,
    }
    run_dir.claim(config, found, write=experiment.chief)
    replicas = strategy.num_replicas_in_sync
    if experiment.chief:
        also = f" and {unlabelled.size:,} without labels" if unlabelled else ""
        count = f"{images.size:,} training images{also} of {image_shape[0]}x{image_shape[1]}"
        classes = f"{experiment.num_classes:,} classes" if experiment.num_classes else "no labels"
        devices = f"{replicas} replicas" if replicas > 1 else "1 device"
        print(
            f"{config.run.mode} on {config.data.dataset}: {count}, {classes}, {devices}; run in {run_dir.path}",
            file=sys.stderr,
            flush=True,
        )
    return experiment


def seen_shape(config: config_lib.Config, data: load.ImageData) -> Tuple[int, int, int]:
    """Height, width and channels of what the encoder sees."""
    height, width, channels = data.image_shape
    own_size = max(height or LARGEST_DEFAULT_IMAGE, width or LARGEST_DEFAULT_IMAGE)
    image_size = config.data.image_size or min(own_size, LARGEST_DEFAULT_IMAGE)
    return image_size, image_size, channels


def one_class_for(config: config_lib.Config) -> Optional[str]:
    """What needs an image to have one class, and what to do instead; None if nothing does."""
    options, mix = config.data, config.augment.mix
    if config.run.mode == "supcon" and (
        "pretrain" in config.run.stages or not config_lib.uses_pretrained_encoder(config)
    ):
        return "--mode=supcon takes as positives the images of one; use --mode=simclr or --mode=ce"
    if options.label_noise:
        return f"--label_noise={options.label_noise:g} replaces one by another; leave it out"
    if config.training.label_smoothing:
        return f"--label_smoothing={config.training.label_smoothing:g} spreads one over the others; leave it out"
    if options.classes_per_batch is not None:
        return f"--classes_per_batch={options.classes_per_batch} draws images by their one class; leave it out"
    if mix != "none":
        return f"--mix={mix} mixes distributions over classes, of which each image has one; leave it out"
    return None


def settle(config: config_lib.Config, facts: catalogue.Facts, past: Optional[Mapping[str, Any]]) -> config_lib.Config:
    """The options, with a value for those that are left open and that the data set decides.

    Args:
      config: the options as they were given.
      facts: what is known of the data set.
      past: what a run that is continued has recorded of itself. It goes on with what was settled when it began.

    Raises:
      UserError: what was given contradicts what the data set decides.
    """
    values = config_lib.values(config)
    held_out = [spec for spec in (config.data.validation_split, config.data.eval_split) if spec]
    decided: Dict[str, Any] = {
        "crop_min_area": facts.crop_min_area,
        "eval_crop": facts.eval_crop,
        "image_size": facts.image_size,
        "stem": facts.stem if config.data.image_size is None and _is_ours(config) else "auto",
        "whitening": "auto",
    }
    if facts.train_split and not any(
        name in spec for spec in held_out for name in (*facts.train_split.split("+"), "all")
    ):
        decided["train_split"] = facts.train_split
    if past is not None:
        decided = {name: past[name] for name in (*decided, "train_split")}
    still_open = {name: value for name, value in decided.items() if values[name] in (None, "auto")}
    return config_lib.from_values({**values, **still_open})


def _find_whitening(
    experiment: Experiment, facts: catalogue.Facts, past: Optional[Mapping[str, Any]]
) -> catalogue.Whitening:
    """The constants of the run that is continued, else of the encoder that it begins with, else of the catalogue.

    Else they are measured, by each process for itself.
    """
    if experiment.config.data.whitening == "none" or not _is_ours(experiment.config):
        return catalogue.NO_WHITENING
    if past is not None and past.get("whitening_constants"):
        return _recorded_whitening(past)
    model = experiment.config.model
    if model.warm_start is not None and "encoder" in model.warm_start_parts:
        return _recorded_whitening(warm_start.find(model.warm_start).record)
    if facts.whitening is not None:
        return facts.whitening
    with _bad_images_named(experiment):
        return whitening_lib.measure(experiment.images)


def _recorded_whitening(record: Mapping[str, Any]) -> catalogue.Whitening:
    """Returns the whitening constants that another run has recorded."""
    constants = config_lib.recorded(record)["whitening_constants"]
    return catalogue.Whitening(tuple(constants["mean"]), tuple(constants["std"]))


def _is_ours(config: config_lib.Config) -> bool:
    """Whether the encoder is one of ours, which are whitened and have a choice of first layers."""
    return config.model.encoder in config_lib.ENCODERS


def training_images(config: config_lib.Config, data: load.ImageData) -> TrainingImages:
    """What of the data set to train on.

    Raises:
      UserError: label noise where there are no classes to choose another of.
    """
    options = config.data
    if options.label_noise and len(data.class_names) < 2:
        raise UserError(f"--label_noise={options.label_noise:g}: the images of {options.dataset} have no labels")
    return TrainingImages(
        data,
        max_examples=options.max_examples,
        label_noise=options.label_noise,
        seed=config.run.seed,
        cache=options.cache,
        bad_images=decoding.BadImages() if options.on_bad_image == "skip" else None,
    )


def unlabelled_images(options: config_lib.DataOptions, images: TrainingImages) -> TrainingImages:
    """What to contrast without labels: of another data set all, of the same what `images` and evaluation leave over.

    Raises:
      UserError: nothing is left over.
    """
    data = load.load_unlabelled(options)
    same = data.builder.data_path == images.data.builder.data_path
    left_out = images.taken(data.train_split).tolist() if same else ()
    unlabelled = dataclasses.replace(images, data=data, max_examples=None, left_out=left_out, label_noise=0.0)
    if not unlabelled.size:
        raise UserError(
            f"--unlabelled={options.unlabelled}: all its images are trained on with labels, or evaluated on; give "
            "--max_examples, or other images"
        )
    return unlabelled


@contextlib.contextmanager
def _bad_images_named(experiment: Experiment) -> Iterator[None]:
    """Turns the decoder's error into a UserError that says which image it is."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if not decoding.is_about_decoding(error):
            raise
        options, data = experiment.config.data, experiment.data
        places = [("dataset", options.dataset, data, split) for split in (data.train_split, data.validation_split)]
        places.append(("dataset", options.dataset, data, data.eval_split))
        if experiment.unlabelled is not None:
            others = experiment.unlabelled.data
            places.append(("unlabelled", str(options.unlabelled), others, others.train_split))
        for flag, name, where, split in places:
            found = None if split is None else decoding.find_bad_image(where, split)
            if found is not None:
                index, file = found
                raise UserError(
                    f"--{flag}={name}: example {index} of '{split}'{file and f' ({file})'} cannot be decoded; add "
                    "--on_bad_image=skip, or, if it is whole in the original, delete "
                    f"{where.builder.info.data_dir} to have the data prepared anew"
                ) from error
        raise


def check_microbatch(config: config_lib.Config, replicas: int) -> None:
    """Raises UserError unless microbatches make up a replica's share of the batch."""
    size, share = config.training.microbatch_size, config.pretrain.batch_size // replicas
    if size is not None and share % size:
        nearest = min((s for s in range(1, share + 1) if share % s == 0), key=lambda s: abs(s - size))
        raise UserError(
            f"--microbatch_size={size}: must divide the {share} images of a replica's batch; the nearest is {nearest}"
        )


def _check_processes_agree(config: config_lib.Config, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError unless all processes were given the same options, but for where files are and when to save."""
    own = config_lib.fingerprint(config, without=("run_dir", "data_dir", "source_files", "checkpoint_minutes", "cache"))
    largest, smallest = distribute.largest_over_processes(strategy, [own, -own])
    if largest != -smallest:
        raise UserError("TF_CONFIG: its workers were started with different options; start each with the same command")


def pretrain(experiment: Experiment) -> None:
    """Stage one of the contrastive modes: encoder and projection head (Khosla et al., 2020, Sec. 3.1).

    Raises:
      UserError: the run has a linear classifier already, on an encoder from elsewhere.
    """
    if experiment.is_done("pretrain"):
        return
    begins = experiment.begins("pretrain")
    if begins and not experiment.begins("linear"):
        raise UserError(
            f"--stages=pretrain: {experiment.run_dir.path} has a linear classifier on an encoder that was not trained "
            "there; leave 'pretrain' out, or give another --run_dir"
        )
    config = experiment.config
    epochs = experiment.epochs("pretrain")
    schedule = make_schedule(config, "pretrain", epochs)
    with experiment.strategy.scope():
        model = make_contrastive_model(experiment, begins=begins)
        if config.training.microbatch_size is not None:
            models.check_not_random(model.encoder, f"--microbatch_size={config.training.microbatch_size}")
        if begins:
            _warm_start(experiment, encoder=model.encoder, projection_head=model.projection_head)
            if model.queue is not None:
                model.queue.begin_as(model.encoder, model.projection_head)
        model.compile(
            make_optimizer(experiment, "pretrain", model, schedule),
            make_contrastive_loss(config, model),
            loss_weights=make_loss_weight(config),
            jit_compile=config.hardware.jit_compile,
            steps_per_execution=config.hardware.steps_per_execution,
        )
    model.prepare = preparation(
        experiment,
        augment.policy_of_each_view(config.augment, config.augment.num_views),
        mix=config.augment.mix,
        at_a_time=config.training.microbatch_size,
    )
    shown = {"loss": "loss", "online_accuracy": "online accuracy"}
    validation = _validation(experiment) if experiment.online_classes else (None, None)
    stage = Stage("pretrain", epochs, contrastive_batches(experiment), schedule, shown, *validation)
    _fit(experiment, model, stage, *([ContrastiveWarnings()] if model.diagnostics else []))


def train_with_cross_entropy(experiment: Experiment) -> None:
    """The baseline: encoder and classifier trained together."""
    if experiment.is_done("pretrain"):
        return
    config = experiment.config
    epochs, begins = experiment.epochs("pretrain"), experiment.begins("pretrain")
    schedule = make_schedule(config, "pretrain", epochs)
    with experiment.strategy.scope():
        model = make_classifier(experiment, train="pretrain", begins=begins)
        optimizer = make_optimizer(experiment, "pretrain", model, schedule)
        compile_classifier(model, optimizer, config, multi_label=experiment.data.multi_label)
        if begins:
            _warm_start(experiment, encoder=model.encoder, classifier=model.linear)
    policy = config.augment.augment[0]
    model.prepare = preparation(experiment, (policy,), mix=config.augment.mix)
    make_batches = classifier_batches(experiment, policy, epochs, mix=config.augment.mix)
    _fit(experiment, model, _classifier_stage(experiment, "pretrain", make_batches, schedule))


def train_linear_classifier(experiment: Experiment) -> None:
    """Stage two of the contrastive modes: a linear classifier on the frozen encoder (Khosla et al., 2020, Sec. 3).

    The encoder is that of stage one or, if that is not asked for, of the run or file that the options begin with:
    linear evaluation by transfer.
    """
    if _last_training_stage(experiment) != "linear" or experiment.is_done("linear"):
        return
    ready, begins = experiment.takes_ready_encoder, experiment.begins("linear")
    if not ready:
        _require(experiment, "pretrain", needed_by="linear")
    config = experiment.config
    epochs = experiment.epochs("linear")
    schedule = make_schedule(config, "linear", epochs)
    with experiment.strategy.scope():
        model = make_classifier(experiment, train="linear", begins=ready and begins)
        optimizer = make_optimizer(experiment, "linear", model, schedule)
        compile_classifier(model, optimizer, config, multi_label=experiment.data.multi_label)
        if begins:
            _warm_start(experiment, classifier=model.linear, **({"encoder": model.encoder} if ready else {}))
        if not ready:
            checkpoints.restore(experiment.run_dir.checkpoints("pretrain"), encoder=model.encoder)
    policy = config.augment.linear_augment
    if policy == "same":
        policy = config.augment.augment[0]
    model.prepare = preparation(experiment, (policy,))
    make_batches = classifier_batches(experiment, policy, epochs)
    _fit(experiment, model, _classifier_stage(experiment, "linear", make_batches, schedule))


def evaluate(experiment: Experiment) -> None:
    """Final figures on the held-out images: metrics.json, report.html and TensorBoard."""
    config, data, run_dir = experiment.config, experiment.data, experiment.run_dir
    if not experiment.num_classes or read_json(run_dir.metrics) is not None:
        return
    stage = _last_training_stage(experiment)
    _require(experiment, stage, needed_by="evaluate")
    with experiment.strategy.scope():
        model = make_classifier(experiment)
        checkpoints.restore(run_dir.checkpoints(stage), encoder=model.encoder, linear=model.linear)
    batches, steps = _evaluation_batches(experiment, str(data.eval_split))
    if data.multi_label:
        figures = evaluation.evaluate_multi_label(model, batches, steps)
    else:
        figures = evaluation.evaluate_classifier(model, batches, steps, num_classes=experiment.num_classes)
    if not experiment.chief:
        return
    writer = tf.summary.create_file_writer(os.path.join(run_dir.tensorboard, "evaluate"))
    tensorboard.write_options(writer, experiment.described())
    shown = ("mean_average_precision", "top1", "top5", "cross_entropy")
    tensorboard.write_figures(writer, {name: figures[name] for name in shown if name in figures})
    writer.close()
    accuracies = ("online_accuracy", "top1", "hit_at_1")
    tags = ("train/loss", *(f"{part}/{name}" for part in ("train", "validation") for name in accuracies))
    curves = {
        trained: evaluation.read_curves(os.path.join(run_dir.tensorboard, trained), tags)
        for trained in dict.fromkeys(("pretrain", stage))
    }
    title = f"{config.run.mode} on {config.data.dataset}"
    page = evaluation.report_html(title, figures, data.class_names, experiment.described(), curves)
    write_text(run_dir.report, page)
    write_json(run_dir.metrics, figures)


def export(experiment: Experiment) -> None:
    """The SavedModel, in float32 and free of the strategy, so that it runs anywhere."""
    run_dir = experiment.run_dir
    if not experiment.chief or tf.saved_model.contains_saved_model(run_dir.saved_model):
        return
    stage = _last_training_stage(experiment)
    _require(experiment, stage, needed_by="export")
    set_precision("float32")
    if experiment.num_classes:
        model: keras.Model = make_classifier(experiment)
        checkpoints.restore(run_dir.checkpoints(stage), encoder=model.encoder, linear=model.linear)
    else:
        model = make_contrastive_model(experiment)
        checkpoints.restore(run_dir.checkpoints(stage), encoder=model.encoder)
    set_precision(experiment.config.hardware.precision)
    data = experiment.data
    servable = ServableModel(
        model, experiment.evaluation_view, experiment.image_shape, data.class_names, multi_label=data.multi_label
    )
    write_saved_model(servable, run_dir.saved_model)


def summary(experiment: Experiment) -> str:
    """What the run has led to so far, and what to do with it."""
    run_dir = experiment.run_dir
    rows = []
    figures = read_json(run_dir.metrics)
    if figures is not None:
        held_out = f"{figures['images']:,} held-out images"
        if experiment.data.multi_label:
            rows.append(("mean AP", f"{figures['mean_average_precision']:.2%} on {held_out}"))
        else:
            rows.append(("top-1", f"{figures['top1']:.2%} of {held_out}"))
            if experiment.num_classes > 5:
                rows.append(("top-5", f"{figures['top5']:.2%}"))
        rows.append(("report", run_dir.report))
    exported = tf.saved_model.contains_saved_model(run_dir.saved_model)
    if exported:
        rows.append(("SavedModel", run_dir.saved_model))
    programs = os.path.dirname(sys.executable)
    if not os.path.relpath(programs).startswith(".."):
        programs = os.path.relpath(programs)
    programs = shlex.quote(programs)
    rows.append(("TensorBoard", f"{programs}/tensorboard --logdir {shlex.quote(run_dir.tensorboard)}"))
    if exported and experiment.num_classes:
        model = shlex.quote(run_dir.saved_model)
        rows.append(("predict", f"{programs}/python -m supcon_tf.serving.predict {model} IMAGE.png"))
    return "\n" + "\n".join(f"  {name:<12}{text}" for name, text in rows)


def make_contrastive_model(experiment: Experiment, *, begins: bool = False) -> models.ContrastiveModel:
    """Encoder, projection head and, where there are labels, the online classifier.

    Args:
      experiment: the run.
      begins: whether it is trained from its first step on, with `--encoder_weights` if they are given. Otherwise a
        checkpoint is to be read.
    """
    config = experiment.config
    return models.make_contrastive_model(
        _model_options(config, begins=begins),
        experiment.image_shape,
        experiment.online_classes or None,
        whitening=experiment.whitening,
        weight_decay=_decay_in_loss(config, "pretrain"),
        decay_normalization=config.training.decay_normalization,
        seed=config.run.seed,
        learned_temperature=config.loss.temperature if config.loss.learn_temperature else None,
        queue_size=config.loss.queue_size,
        momentum_encoder=config.loss.momentum_encoder,
        microbatch_size=config.training.microbatch_size,
    )


def make_classifier(experiment: Experiment, *, train: Optional[str] = None, begins: bool = False) -> models.Classifier:
    """Encoder and linear classifier, to be trained in stage `train`: both in 'pretrain', the classifier in 'linear'.

    `begins`, as above, is about the encoder.
    """
    config = experiment.config
    return models.make_classifier(
        _model_options(config, begins=begins),
        experiment.image_shape,
        experiment.num_classes,
        freeze_encoder=train != "pretrain",
        whitening=experiment.whitening,
        weight_decay=_decay_in_loss(config, train) if train else 0.0,
        decay_normalization=config.training.decay_normalization,
        seed=config.run.seed,
    )


def _warm_start(experiment: Experiment, **parts: tf.Module) -> None:
    """Gives those of the parts that `--warm_start_parts` names what they have learned in another run."""
    options = experiment.config.model
    if options.warm_start is None:
        return
    wanted = {name: part for name, part in parts.items() if name in options.warm_start_parts}
    warm_start.load(warm_start.find(options.warm_start), wanted, dataclasses.asdict(options))


def _model_options(config: config_lib.Config, *, begins: bool) -> config_lib.ModelOptions:
    return config.model if begins else dataclasses.replace(config.model, encoder_weights=None)


def make_loss_weight(config: config_lib.Config) -> float:
    """What the contrastive loss is multiplied by, but for the temperature."""
    return 1 / config.loss.base_temperature if config.loss.scale_by_temperature else 1.0


def make_contrastive_loss(config: config_lib.Config, model: models.ContrastiveModel) -> keras.losses.Loss:
    """The loss of modes 'supcon' and 'simclr', with the temperature and the memory of the model, if it has them."""
    options, normalize = config.loss, config.model.normalize_projection
    if options.contrastive_loss == "triplet":
        return losses.TripletLoss(normalize=normalize)
    if options.contrastive_loss == "npairs":
        return losses.NPairsLoss(options.temperature, normalize=normalize)
    temperature: losses.Temperature = model.temperature or options.temperature
    if config.augment.mix != "none":
        return losses.MixedSupConLoss(
            temperature, scale_by_temperature=options.scale_by_temperature, normalize=normalize
        )
    arguments: Dict[str, Any] = {
        "summation": options.summation,
        "denominator": options.denominator,
        "anchors": options.anchors,
        "scale_by_temperature": options.scale_by_temperature,
        "normalize": normalize,
        "memory": model.memory,
    }
    if config.run.mode == "simclr":
        return losses.NTXentLoss(temperature, **arguments)
    return losses.SupConLoss(temperature, positives_cap=options.positives_cap, **arguments)


def steps_on_device(experiment: Experiment) -> Tuple[str, ...]:
    """The steps of augmentation that the device may take."""
    options = experiment.config.augment
    colours = options.augment_on_device == "on"
    if options.augment_on_device == "auto":
        colours = distribute.has_accelerators(experiment.strategy)
    blur = colours if options.blur_on_device == "auto" else options.blur_on_device == "on"
    return (("jitter", "grey") if colours else ()) + (("blur",) if blur else ())


def preparation(
    experiment: Experiment, policies: Sequence[str], *, mix: str = "none", at_a_time: Optional[int] = None
) -> Optional[models.Prepare]:
    """What the device does to a batch of views under these policies; None if nothing.

    Args:
      experiment: the run.
      policies: of the views.
      mix: how to mix images, or 'none'.
      at_a_time: so many images are augmented at a time; None for all.
    """
    on_device = steps_on_device(experiment)
    left = sorted({step for policy in policies for step in augment.steps_left(policy, on_device)})
    if not left and mix == "none":
        return None
    style, classes = experiment.config.augment.jitter_style, experiment.num_classes

    def prepare(parts: Dict[str, tf.Tensor], labels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        views = parts["views"]
        if left:
            views = augment.finish(views, parts["numbers"], steps=left, style=style, at_a_time=at_a_time)
        if mix != "none":
            views, labels = augment.mix(views, tf.one_hot(labels, classes), parts["mixing"], mix)
        return views, labels

    return prepare


def contrastive_batches(experiment: Experiment) -> MakeBatches:
    """Start step and input context → batches of all views of each image, and labels."""
    options = experiment.config.augment
    make_views = _make_views(experiment, options, options.num_views, options.mix)
    make_batches = _batches(experiment, make_views, experiment.epochs("pretrain"))
    if not experiment.data.multi_label:
        return make_batches

    def unlabelled(views: Any, labels: tf.Tensor) -> Tuple[Any, tf.Tensor]:
        return views, -tf.ones_like(labels[:, 0])  # nor does mode simclr look at them

    return lambda start_step, context: make_batches(start_step, context).map(unlabelled)


def classifier_batches(experiment: Experiment, policy: str, epochs: pipeline.Epochs, mix: str = "none") -> MakeBatches:
    """Start step and input context → batches of one view of each image under `policy`, labels and weights.

    Of images that are to be mixed there are no weights.
    """
    options = dataclasses.replace(experiment.config.augment, augment=(policy,))
    make_views = _make_views(experiment, options, 1, mix)

    def one_view(image: tf.Tensor, seed: tf.Tensor) -> Any:
        made = make_views(image, seed)
        if not isinstance(made, dict):
            return made[0]
        return {name: part if name == "mixing" else part[0] for name, part in made.items()}

    make_batches = _batches(experiment, one_view, epochs)
    if mix != "none":
        return make_batches  # the label of an unlabelled image becomes a row of zeros, which weighs nothing
    return lambda start_step, context: make_batches(start_step, context).map(pipeline.with_weights)


def _make_views(
    experiment: Experiment, options: config_lib.AugmentOptions, num_views: int, mix: str
) -> pipeline.MakeViews:
    """Image and seed → views, or the parts that `preparation` makes them from, by name."""

    def make_views(image: tf.Tensor, seed: tf.Tensor) -> Any:
        made = augment.augmented_views(
            image,
            seed,
            num_views=num_views,
            image_size=experiment.image_shape[0],
            options=options,
            flip=experiment.flip,
            on_device=steps_on_device(experiment),
        )
        parts = dict(zip(("views", "numbers"), made)) if isinstance(made, tuple) else {"views": made}
        if mix != "none":
            parts["mixing"] = augment.draw_numbers(seed, options.mix_alpha)
        return parts if len(parts) > 1 else made

    return make_views


def _batches(experiment: Experiment, make_views: pipeline.MakeViews, epochs: pipeline.Epochs) -> MakeBatches:
    seed = experiment.config.run.seed
    return lambda start_step, context: pipeline.training_batches(
        experiment.images,
        make_views,
        epochs,
        seed=seed,
        start_step=start_step,
        context=context,
        unlabelled=experiment.unlabelled,
    )


def _evaluation_batches(experiment: Experiment, split: str) -> Tuple[tf.data.Dataset, int]:
    """Distributed batches of a whole split, and their number."""
    replicas = experiment.strategy.num_replicas_in_sync
    batch_size = max(EVALUATION_BATCH // replicas, 1) * replicas
    batches = experiment.strategy.distribute_datasets_from_function(
        lambda context: pipeline.evaluation_batches(
            experiment.data, split, experiment.evaluation_view, batch_size, context, experiment.images.bad_images
        )
    )
    return batches, pipeline.evaluation_steps(experiment.data, split, batch_size)


def _validation(experiment: Experiment) -> Tuple[Optional[tf.data.Dataset], Optional[int]]:
    """What to evaluate on while training: batches and their number, or None twice."""
    split = experiment.data.validation_split
    return _evaluation_batches(experiment, split) if split and experiment.num_classes else (None, None)


def _classifier_stage(
    experiment: Experiment, name: str, make_batches: MakeBatches, schedule: optimizers.WarmupThenDecay
) -> Stage:
    shown = {"loss": "loss", "top1": "accuracy", "hit_at_1": "hit at 1"}
    return Stage(name, experiment.epochs(name), make_batches, schedule, shown, *_validation(experiment))


def _fit(experiment: Experiment, model: keras.Model, stage: Stage, *callbacks: keras.callbacks.Callback) -> None:
    fit(
        model,
        stage,
        experiment.run_dir,
        experiment.config.run,
        described=experiment.described(),
        chief=experiment.chief,
        callbacks=callbacks,
    )


def compile_classifier(
    model: models.Classifier,
    optimizer: keras.optimizers.Optimizer,
    config: config_lib.Config,
    *,
    multi_label: bool = False,
) -> None:
    """Compiles the model with cross-entropy and accuracy."""
    model.compile(
        optimizer,
        models.SigmoidCrossEntropy(name="cross_entropy")
        if multi_label
        else models.CrossEntropy(label_smoothing=config.training.label_smoothing, name="cross_entropy"),
        weighted_metrics=[models.HitAtOne("hit_at_1") if multi_label else models.Accuracy("top1")],
        jit_compile=config.hardware.jit_compile,
        steps_per_execution=config.hardware.steps_per_execution,
    )


def make_schedule(config: config_lib.Config, stage: str, epochs: pipeline.Epochs) -> optimizers.WarmupThenDecay:
    """The learning rate of a training stage, step by step."""
    option = functools.partial(option_of_stage, config, stage)
    return optimizers.WarmupThenDecay(
        peak_learning_rate(config, stage, epochs.batch_size),
        int(option("warmup_epochs") * epochs.steps_per_epoch),
        epochs.total_steps,
        option("schedule"),
        option("decay_rate"),
        [times * epochs.steps_per_epoch for times in option("decay_epochs") or ()],
    )


def peak_learning_rate(config: config_lib.Config, stage: str, batch_size: int) -> float:
    """The learning rate after the warm-up."""
    scale = batch_size / 256 if config.training.scale_learning_rate else 1.0  # Goyal et al. 2017
    return scale * float(option_of_stage(config, stage, "learning_rate"))


def make_optimizer(
    experiment: Experiment, stage: str, model: keras.Model, schedule: optimizers.WarmupThenDecay
) -> keras.optimizers.Optimizer:
    """The optimizer of a training stage for its model."""
    config = experiment.config
    option = functools.partial(option_of_stage, config, stage)
    decaying = {id(weight) for weight in model.decaying_weights}
    undecayed = [weight for weight in model.trainable_weights if id(weight) not in decaying]
    # The authors' LARS leaves alone what does not decay. Our online classifier, which they do not have, would then be
    # trained at rates that are meant to be scaled, and tell nothing.
    online = getattr(model, "online_classifier", None)
    scaled = {id(weight) for weight in online.trainable_weights} if online is not None else set()
    return optimizers.make_optimizer(
        option("optimizer"),
        schedule,
        momentum=config.training.momentum,
        weight_decay=option("weight_decay"),
        undecayed=undecayed,
        unadapted=[weight for weight in undecayed if id(weight) not in scaled],
        clip_norm=config.training.clip_norm,
    )


def option_of_stage(config: config_lib.Config, stage: str, name: str) -> Any:
    """Returns the value of an option of a training stage."""
    return getattr(config.stage(stage), name)


def _decay_in_loss(config: config_lib.Config, stage: str) -> float:
    """The part of the weight decay that is a term of the loss: none where the optimizer decays by itself."""
    in_optimizer = option_of_stage(config, stage, "optimizer") in optimizers.DECAY_IN_OPTIMIZER
    return 0.0 if in_optimizer else option_of_stage(config, stage, "weight_decay")


def _last_training_stage(experiment: Experiment) -> str:
    """The stage whose result is evaluated and exported."""
    return "linear" if experiment.config.run.mode != "ce" and experiment.num_classes else "pretrain"


def _require(experiment: Experiment, stage: str, *, needed_by: str) -> None:
    """Raises UserError unless `stage` has been run to its end."""
    if not experiment.is_done(stage):
        path = experiment.run_dir.path
        raise UserError(
            f"--stages={needed_by}: needs the finished stage '{stage}', which {path} does not have; add it to --stages"
        )
