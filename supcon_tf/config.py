"""Every option of the application, declared once: type, default, help and allowed values.

The dataclasses below are groups of options; `Config` is all of them. `flags.py` turns each field into the command-line
flag of the same name. The module imports no TensorFlow, so that `--help` answers at once.
"""

import dataclasses
import hashlib
import json
import math
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, get_type_hints

from supcon_tf.errors import NAME_ONLY, UserError, did_you_mean

MODES = ("supcon", "simclr", "ce")
STAGES = ("pretrain", "linear", "evaluate", "export")
ENCODERS = ("small", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200")
_KERAS_FAMILIES = {
    "ConvNeXt": ("Base", "Large", "Small", "Tiny", "XLarge"),
    "DenseNet": ("121", "169", "201"),
    "EfficientNet": ("B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7"),
    "EfficientNetV2": ("B0", "B1", "B2", "B3", "L", "M", "S"),
    "Inception": ("ResNetV2", "V3"),
    "MobileNet": ("", "V2", "V3Large", "V3Small"),
    "NASNet": ("Large", "Mobile"),
    "RegNetX": ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320"),
    "RegNetY": ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320"),
    "ResNet": ("101", "101V2", "152", "152V2", "50", "50V2"),
    "ResNetRS": ("101", "152", "200", "270", "350", "420", "50"),
    "VGG": ("16", "19"),
    "Xception": ("",),
}
# The models of keras.applications in Keras 2.15
KERAS_ENCODERS = tuple(f"keras:{family}{size}" for family, sizes in _KERAS_FAMILIES.items() for size in sizes)
PARTS = ("encoder", "projection_head", "classifier")
OPTIMIZERS = ("sgd", "nesterov", "lars", "rmsprop", "adam", "adamw", "lamb")
SCHEDULES = ("cosine", "exponential", "piecewise", "constant")
INITIALIZATIONS = ("default", "tensorflow", "pytorch")
CONTRASTIVE_LOSSES = ("supcon", "npairs", "triplet")
SUMMATIONS = ("out", "in")
DENOMINATORS = ("all", "one_positive", "only_negatives")
ANCHORS = ("all", "one")
POLICIES = (
    "simclr",
    "autoaugment",
    "autoaugment_imagenet",
    "autoaugment_cifar10",
    "randaugment",
    "stacked_randaugment",
    "crop_flip",
    "none",
)
JITTER_STYLES = ("torchvision", "tensorflow")
MIXES = ("none", "mixup", "cutmix")

# Where neither the user nor the data set (supcon_tf/data/catalogue.py) says otherwise.
CROP_MIN_AREA = 0.08
EVAL_CROP = 0.875  # 224 of 256 pixels


def option(
    default: Any,
    help: str,
    *,
    choices: Optional[Sequence[str]] = None,
    beside: Optional[Callable[[str], None]] = None,
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    above: Optional[float] = None,
    identity: bool = True,
    earlier: Any = None,
) -> Any:
    """A dataclass field with what the command line needs to know about it.

    Args:
      default: value where neither the recipe nor the user says otherwise; None means 'found out by the program'.
      help: one or two sentences for `--help`.
      choices: the allowed values (of each element, for a list).
      beside: raises UserError unless a value is allowed although it is none of these.
      minimum, maximum: inclusive bounds of a number; `above`: an exclusive lower bound.
      identity: whether runs that differ in this option are different runs. False for what changes where or how
        often something is written, but not what is learned.
      earlier: what runs did before the option existed, if that was not its default.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "beside": beside,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "identity": identity,
        "earlier": earlier,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What to do"""

    mode: str = option(
        "supcon",
        "Objective: 'supcon' (supervised contrastive), 'simclr' (the same without labels), 'ce' (cross-entropy).",
        choices=MODES,
    )
    stages: Tuple[str, ...] = option(
        STAGES,
        "Stages to run, in their fixed order. In mode 'ce', 'pretrain' trains encoder and classifier together and "
        "'linear' has nothing to do.",
        choices=STAGES,
        identity=False,
    )
    run_dir: Optional[str] = option(
        None,
        "Where the run lives; may be a gs:// address. Default: a folder in runs/ named after data set, mode and a "
        "digest of the configuration. Running again with the same folder continues there.",
        identity=False,
    )
    seed: int = option(0, "Everything random in the run follows from this number.", minimum=0, maximum=2**31 - 1)
    recipe: Optional[str] = option(
        None,
        "Name of a file in recipes/ (without .cfg), path of a flagfile, or 'none'. Default: dataset_mode_encoder, "
        "else dataset_mode, else default_mode. A flag given by hand wins over the recipe.",
        identity=False,
    )
    log_every: int = option(
        50,
        "Steps between two points of the TensorBoard curves and two checks of the loss. Several workers agree so often "
        "whether to save or to stop.",
        minimum=1,
        identity=False,
    )
    checkpoint_minutes: float = option(
        10.0, "Save at least this often, besides at the end of each epoch.", above=0, identity=False
    )


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Data"""

    dataset: str = option(
        "digits",
        "'digits' (embedded), any image-classification data set of TensorFlow Datasets by name, or folder:PATH with "
        "PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/*; for simclr also PATH/* without classes.",
    )
    data_dir: Optional[str] = option(
        None, "Where TensorFlow Datasets keeps prepared data. Default: its own, ~/tensorflow_datasets.", identity=False
    )
    source_files: Optional[str] = option(
        None,
        "Folder with the original files of the data set, for machines that cannot download them; each is checked "
        "against the checksum that TensorFlow Datasets has for it, if it has one.",
        identity=False,
    )
    train_split: Optional[str] = option(
        None,
        "Training images in TFDS's slicing syntax, e.g. 'train[:10%]'. Default: 'train', for dtd and oxford_flowers102 "
        "'train+validation'.",
    )
    validation_split: Optional[str] = option(
        None,
        "Images to watch while training, or 'none'. Default: 'validation', if the data set has that and 'test'.",
    )
    eval_split: Optional[str] = option(
        None,
        "Images for the final figures. Default: 'test', else 'validation', else the last tenth of 'train', which is "
        "then not trained on.",
    )
    image_size: Optional[int] = option(
        None,
        "Height and width, in pixels, of what the encoder sees. Default: the data set's own if fixed and at most 224, "
        "else 224.",
        minimum=4,
    )
    whitening: str = option(
        "auto",
        "Shift and scale each channel of the images in [-1, 1] to mean 0 and standard deviation 1: 'auto' (with the "
        "authors' constants for cifar10 and cifar100, not for imagenet2012, digits and fashion_mnist, else with those "
        "of 10,000 training images), or 'none'. An encoder with a scaling of its own (see --encoder) has none.",
        choices=("auto", "none"),
        earlier="none",
    )
    max_examples: Optional[int] = option(
        None,
        "Train on at most so many images: the first ones of each class, so that each keeps its share and, if possible, "
        "has one. The 100 are among the 1,000, with any --seed. Default: all.",
        minimum=2,
    )
    label_noise: float = option(
        0.0,
        "Share of the training images whose label is replaced by another class, any of them alike, for the whole run.",
        minimum=0,
        maximum=1,
    )
    classes_per_batch: Optional[int] = option(
        None,
        "Batches of the stage 'pretrain' with so many classes, drawn anew for each, and the same number of images of "
        "each. An epoch has as many steps as without. Default: whatever is drawn.",
        minimum=1,
    )
    unlabelled: Optional[str] = option(
        None,
        "More images for mode 'supcon' to learn from without their labels, each a class of its own in the contrastive "
        "loss: a data set by name (its split 'unlabelled', else 'train') or folder:PATH; of the same data set, those "
        "that are neither trained on with labels nor evaluated on. An epoch stays a pass over the images of --dataset.",
    )
    unlabelled_share: float = option(
        0.5,
        "Share of the batch that --unlabelled takes, rounded to whole images of a replica.",
        above=0,
        maximum=0.99,
    )
    cache: str = option(
        "auto",
        "Encoded training images wait in 'memory', or are read again in each epoch ('off'); 'auto': in memory if they "
        "take at most a quarter of what is available. Changes nothing but time.",
        choices=("auto", "memory", "off"),
        identity=False,
    )
    on_bad_image: str = option(
        "stop",
        "What to do about an image that cannot be decoded: 'stop' and name it, or 'skip', name and count. A file of "
        "folder:PATH is then left out; in the place of an image of another data set is a grey one without label.",
        choices=("stop", "skip"),
        identity=False,
    )


@dataclasses.dataclass(frozen=True)
class AugmentOptions:
    """Views"""

    augment: Tuple[str, ...] = option(
        ("simclr",),
        "Policy of all views, or one for each view: 'simclr' (crop, flip, colour jitter, grey, blur), 'autoaugment' "
        "(the paper's, with its authors' table) and '_imagenet' or '_cifar10' (with the published tables), "
        "'randaugment', 'stacked_randaugment' (jitter, RandAugment, grey, blur), 'crop_flip', or 'none' (what "
        "evaluation sees).",
        choices=POLICIES,
    )
    num_views: int = option(2, "Augmented views of each image in a contrastive batch.", minimum=1)
    crop_min_area: Optional[float] = option(
        None,
        "Smallest share of the image's area that a random crop keeps. Default: 0.08, for CIFAR 0.2.",
        above=0,
        maximum=1,
    )
    crop_max_area: float = option(
        1.0, "Largest share of the image's area that a random crop keeps.", above=0, maximum=1
    )
    crop_aspect: float = option(
        1.3333, "Random crops have an aspect ratio between 1/this and this before they are resized.", minimum=1
    )
    flip: str = option(
        "auto",
        "Mirror left to right, half of the time: 'on', 'off', or 'auto' (on, except for digits and letters).",
        choices=("auto", "on", "off"),
    )
    jitter_strength: float = option(
        1.0,
        "Colour jitter: brightness, contrast and saturation change by up to .8 times this, hue by .2 times.",
        minimum=0,
        maximum=1.25,
    )
    jitter_style: str = option(
        "torchvision",
        "How colour jitter is defined: as in 'torchvision' (the authors' CIFAR figures) or 'tensorflow' (their "
        "ImageNet recipes, SimCLR: brightness is added, contrast is by channel, saturation in HSV).",
        choices=JITTER_STYLES,
    )
    jitter_probability: float = option(0.8, "Share of views with colour jitter.", minimum=0, maximum=1)
    grey_probability: float = option(0.2, "Share of views turned grey.", minimum=0, maximum=1)
    blur_probability: float = option(0.5, "Share of views with Gaussian blur.", minimum=0, maximum=1)
    randaugment_layers: int = option(2, "Operations that RandAugment applies to a view.", minimum=1, maximum=16)
    randaugment_magnitude: float = option(10.0, "Strength of RandAugment's operations.", minimum=0, maximum=10)
    mix: str = option(
        "none",
        "Mix each image of a batch, and its label, with another, in the stage 'pretrain' alone: 'mixup' or 'cutmix'. "
        "For mode 'ce', and for 'supcon', where mixed labels weight the positives.",
        choices=MIXES,
    )
    mix_alpha: float = option(
        1.0,
        "Shares of mixed images are drawn from Beta(this, this): 1 is any share alike (CutMix), 0.2 mostly near 0 or 1 "
        "(mixup on ImageNet).",
        above=0,
        maximum=100,
    )
    augment_on_device: str = option(
        "auto",
        "Jitter, grey and blur, where nothing else follows them, on the device and not on the host: 'on', 'off', or "
        "'auto' (on for GPUs and TPUs). Views are the same but for rounding.",
        choices=("auto", "on", "off"),
        identity=False,
    )
    blur_on_device: str = option(
        "auto",
        "The same of blur alone: 'on', 'off', or 'auto' (as --augment_on_device).",
        choices=("auto", "on", "off"),
        identity=False,
    )
    eval_crop: Optional[float] = option(
        None,
        "For evaluation and serving the central square is kept, this share of the shorter side; 1 keeps it whole. "
        "Default: 0.875, for CIFAR 1.",
        above=0,
        maximum=1,
    )


def is_path(encoder: str) -> bool:
    """Whether this value of `--encoder` is the path of a model."""
    return "/" in encoder or encoder.endswith((".keras", ".h5"))


def _check_other_encoder(encoder: str) -> None:
    """Raises UserError unless this may be an encoder that is not ours: a model of keras.applications, or a path."""
    if encoder in KERAS_ENCODERS or is_path(encoder):
        return
    others = "keras:NAME (a model of keras.applications), or a path such as ./encoder.keras"
    known = KERAS_ENCODERS if encoder.startswith("keras:") else (*ENCODERS, *KERAS_ENCODERS)
    hint = did_you_mean(encoder, known) or f"; one of {', '.join(ENCODERS)}, {others}"
    raise UserError(f"--encoder={encoder}: unknown{hint}")


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Model"""

    encoder: str = option(
        "resnet50",
        "Encoder: one of ours by name; keras:NAME, a model of keras.applications such as keras:EfficientNetV2S, "
        "without its classifier and with the scaling of images that its family expects; or the path of a Keras model "
        "of yours (.keras, .h5 or a SavedModel folder with a / in its path), which gets images from 0 to 255. Of a "
        "feature map the mean over the image is taken. Neither is whitened.",
        choices=ENCODERS,
        beside=_check_other_encoder,
    )
    encoder_weights: Optional[str] = option(
        None,
        "What a keras:NAME encoder begins with: 'imagenet', which Keras downloads, or the path of a .keras or .h5 file "
        "with weights of that model without its classifier. With --stages=linear,evaluate,export it is evaluated as it "
        "is. Default: fresh ones.",
    )
    warm_start: Optional[str] = option(
        None,
        "Begin with what another run has learned: its --run_dir. The encoder keeps the whitening that it was trained "
        "with, unless --whitening=none. With --stages=linear,evaluate,export it is not trained further but evaluated "
        "on --dataset as it is (transfer).",
    )
    warm_start_parts: Tuple[str, ...] = option(
        ("encoder",),
        "What to take from the run of --warm_start: 'encoder', 'projection_head' (of its stage 'pretrain') and "
        "'classifier' (of its stage 'linear', in mode 'ce' of 'pretrain').",
        choices=PARTS,
    )
    encoder_width: float = option(1.0, "Multiplies the number of channels of every layer of the encoder.", above=0)
    stem: str = option(
        "auto",
        "First layers: 'imagenet' (7x7 convolution of stride 2, max-pooling), 'small' (3x3 of stride 1), or 'auto' "
        "('small' up to 64 pixels).",
        choices=("auto", "imagenet", "small"),
    )
    normalize_embedding: bool = option(
        True, "L2-normalise the embedding before the projection head and the classifier."
    )
    projection_layers: Tuple[int, ...] = option(
        (2048, 128), "Units of each layer of the projection head; the last is the projection's dimension.", minimum=1
    )
    projection_batch_norm: bool = option(False, "Batch normalisation in the hidden layers of the projection head.")
    normalize_projection: bool = option(True, "L2-normalise the projection, so that the loss compares by cosine.")
    initialization: str = option(
        "default",
        "How weights begin: 'default' (residual branches as zero, a projection head that learns from the start), as "
        "in the authors' 'tensorflow' (the same, but the head from N(0, .01)) or 'pytorch' (He normal by fan-out, "
        "residual branches not as zero).",
        choices=INITIALIZATIONS,
    )
    zero_classifier: bool = option(False, "The linear classifier begins with weights of 0, as in SimCLR.")
    sync_batch_norm: bool = option(False, "Batch statistics over all replicas instead of each replica's own images.")


@dataclasses.dataclass(frozen=True)
class LossOptions:
    """Contrastive loss"""

    contrastive_loss: str = option(
        "supcon",
        "'supcon', the paper's, in the form that the options below say (in mode 'simclr' without labels, as NT-Xent), "
        "or, to compare with, 'npairs' (of two views) or 'triplet' (hardest of the batch, soft margin).",
        choices=CONTRASTIVE_LOSSES,
    )
    temperature: float = option(0.1, "Temperature of the softmax over similarities; 'triplet' has none.", above=0)
    learn_temperature: bool = option(
        False, "Learn the temperature, from --temperature on, within 0.01 and 1 (or --temperature, if that is outside)."
    )
    scale_by_temperature: bool = option(False, "Multiply the loss by the temperature.")
    base_temperature: float = option(
        1.0, "Divide by this what --scale_by_temperature multiplied: 0.07 in the authors' PyTorch code.", above=0
    )
    summation: str = option(
        "out", "Sum over positives 'out'side the logarithm (Eq. 2) or 'in'side (Eq. 3).", choices=SUMMATIONS
    )
    denominator: str = option(
        "all",
        "Denominator of the softmax: 'all' others, 'only_negatives', or these and 'one_positive'.",
        choices=DENOMINATORS,
    )
    anchors: str = option("all", "Anchors: 'all' views of an image, or the first 'one' of them.", choices=ANCHORS)
    positives_cap: Optional[int] = option(
        None, "At most so many other images of its class are an anchor's positives. Default: all.", minimum=0
    )
    queue_size: int = option(
        0,
        "Hold the batch also against so many past projections of a momentum encoder, for batches that are small.",
        minimum=0,
        maximum=2**20,
    )
    momentum_encoder: float = option(
        0.999,
        "The weights of the momentum encoder keep this share of themselves in each step; the rest follows the encoder.",
        minimum=0,
        maximum=0.99999,
    )


@dataclasses.dataclass(frozen=True)
class PretrainOptions:
    """Training the encoder (stage 'pretrain')"""

    pretrain_epochs: int = option(100, "Passes over the training images.", minimum=1)
    batch_size: int = option(256, "Images in a batch, over all replicas.", minimum=1)
    microbatch_size: Optional[int] = option(
        None,
        "Images that pass the encoder of a replica at a time, for batches too large for its memory. The gradient is "
        "that of the whole batch (gradient caching), but batch statistics are those of a microbatch. Takes about 1.3 "
        "times as long. With --sync_batch_norm on several devices let the microbatches be few: each takes a part of "
        "the graph of its own. Default: all at once.",
        minimum=1,
    )
    optimizer: str = option("nesterov", "Optimizer.", choices=OPTIMIZERS)
    learning_rate: float = option(0.1, "Peak learning rate, reached after the warm-up.", above=0)
    scale_learning_rate: bool = option(
        False, "Learning rates, of both stages, are for 256 images: multiply them by the batch size divided by 256."
    )
    warmup_epochs: float = option(10.0, "Epochs of linear warm-up from 0.", minimum=0)
    schedule: str = option(
        "cosine",
        "How the learning rate decays after the warm-up: 'cosine' (to 0), 'exponential' (times --decay_rate every so "
        "many --decay_epochs), 'piecewise' (times --decay_rate after each of --decay_epochs), or 'constant'.",
        choices=SCHEDULES,
    )
    decay_rate: float = option(0.1, "Factor of an 'exponential' or 'piecewise' --schedule.", above=0, maximum=1)
    decay_epochs: Optional[Tuple[float, ...]] = option(
        None,
        "Epochs, counted from the end of the warm-up: one number for an 'exponential' --schedule, rising ones for "
        "'piecewise'.",
        above=0,
    )
    momentum: float = option(
        0.9, "Momentum of 'sgd', 'nesterov', 'lars' and 'rmsprop', in both stages.", minimum=0, maximum=0.9999
    )
    weight_decay: float = option(
        1e-4,
        "Weight decay of encoder and projection head, in mode 'ce' of encoder and classifier; not of scale and shift "
        "of batch normalisation nor, with 'adamw' and 'lamb', of biases.",
        minimum=0,
    )
    decay_normalization: bool = option(
        False, "Weight decay of scale and shift of batch normalisation too, as in the authors' PyTorch code."
    )
    label_smoothing: float = option(
        0.0,
        "Share of a label that is spread over all classes, where cross-entropy trains: in mode 'ce' and in the stage "
        "'linear'.",
        minimum=0,
        maximum=0.99,
    )
    clip_norm: Optional[float] = option(
        None,
        "Cut gradients to this length, that of all weights together, the online classifier's included, in both stages. "
        "Default: not.",
        above=0,
    )


@dataclasses.dataclass(frozen=True)
class LinearOptions:
    """Training the linear classifier on the frozen encoder (stage 'linear')"""

    linear_epochs: int = option(50, "Passes over the training images.", minimum=1)
    linear_batch_size: int = option(256, "Images in a batch, over all replicas.", minimum=1)
    linear_optimizer: str = option("nesterov", "Optimizer.", choices=OPTIMIZERS)
    linear_learning_rate: float = option(1.0, "Peak learning rate.", above=0)
    linear_warmup_epochs: float = option(0.0, "Epochs of linear warm-up from 0.", minimum=0)
    linear_schedule: str = option("cosine", "As --schedule.", choices=SCHEDULES)
    linear_decay_rate: float = option(0.1, "As --decay_rate.", above=0, maximum=1)
    linear_decay_epochs: Optional[Tuple[float, ...]] = option(None, "As --decay_epochs.", above=0)
    linear_weight_decay: float = option(0.0, "Weight decay of the classifier.", minimum=0)
    linear_augment: str = option(
        "same",
        "Policy for the classifier's training images: 'same' as --augment, or another.",
        choices=("same",) + POLICIES,
    )


@dataclasses.dataclass(frozen=True)
class HardwareOptions:
    """Hardware"""

    strategy: str = option(
        "auto",
        "How to use the devices: 'one_device', 'mirrored' (all GPUs of this machine), 'multi_worker' (from "
        "TF_CONFIG), 'tpu', or 'auto'.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
        identity=False,
    )
    tpu: Optional[str] = option(
        None, "Name or grpc:// address of a TPU, or 'local'. Implies --strategy=tpu.", identity=False
    )
    tpu_zone: Optional[str] = option(
        None, "Google Cloud zone of the TPU. Default: that of the machine this runs on.", identity=False
    )
    tpu_project: Optional[str] = option(
        None, "Google Cloud project of the TPU. Default: that of the machine this runs on.", identity=False
    )
    cpu_devices: int = option(
        1, "Split the CPU into this many devices, to try --strategy=mirrored without GPUs.", minimum=1, identity=False
    )
    precision: str = option(
        "float32",
        "What layers compute in; weights, optimizer and losses stay float32. 'bfloat16' is faster on TPUs, recent "
        "GPUs and CPUs that have it, 'float16' (with loss scaling) on older GPUs.",
        choices=("float32", "bfloat16", "float16"),
    )
    jit_compile: bool = option(
        False, "Compile the training step with XLA. Faster on GPUs, slower on CPUs; TPUs always do.", identity=False
    )
    steps_per_execution: int = option(
        1,
        "Steps that the device takes before the program looks at it again: to save, to stop, to write curves. More is "
        "faster where steps are short, on TPUs above all.",
        minimum=1,
        identity=False,
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """All options, by group."""

    run: RunOptions = RunOptions()
    data: DataOptions = DataOptions()
    augment: AugmentOptions = AugmentOptions()
    model: ModelOptions = ModelOptions()
    loss: LossOptions = LossOptions()
    pretrain: PretrainOptions = PretrainOptions()
    linear: LinearOptions = LinearOptions()
    hardware: HardwareOptions = HardwareOptions()


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """Answers"""

    plan: bool = option(
        False,
        "Print what each training stage takes: steps, images, parameters, floating-point operations, memory and "
        "communication of a device; run nothing. Needs neither the data set nor the devices.",
    )
    plan_devices: Optional[int] = option(
        None, "Devices to plan for, of any number. Default: 1, or --cpu_devices.", minimum=1
    )
    plan_tflops: Optional[float] = option(
        None,
        "Also estimate the time, for a device that reaches so many TFLOP/s in convolutions (10¹² floating-point "
        "operations a second, a multiply and an add being two).",
        above=0,
    )
    plan_bandwidth: Optional[float] = option(
        None,
        "Beside --plan_tflops, add the time of all other layers, for a device that reaches so many GB/s in them. "
        "Default: no time for these.",
        above=0,
    )
    plan_memory: Optional[float] = option(
        None,
        "Memory of a device in GB (of 2³⁰ bytes), as far as training may use it: say whether a step fits, and if not "
        "the nearest flags with which it does.",
        above=0,
    )


class Option(NamedTuple):
    """One option, as `flags.py` and the checks below see it."""

    group: str
    title: str
    name: str
    type: Any
    default: Any
    metadata: Mapping[str, Any]


def options() -> Iterator[Option]:
    """Every option, in the order of declaration."""
    for group, options_class in get_type_hints(Config).items():
        yield from _options_of(group, options_class)


def plan_options() -> Iterator[Option]:
    """Those that ask what a run would take, and are no part of a `Config`."""
    return _options_of("plan", PlanOptions)


def _options_of(group: str, options_class: Any) -> Iterator[Option]:
    types = get_type_hints(options_class)
    for field in dataclasses.fields(options_class):
        title = str(options_class.__doc__)
        yield Option(group, title, field.name, types[field.name], field.default, field.metadata)


def values(config: Config) -> Dict[str, Any]:
    """Option name → value."""
    return {option.name: getattr(getattr(config, option.group), option.name) for option in options()}


def from_values(given: Mapping[str, Any]) -> Config:
    """The checked Config with these values, and defaults for the rest.

    Raises:
      UserError: an unknown option, a value that is not allowed, or values that contradict each other.
    """
    classes = get_type_hints(Config)
    groups: Dict[str, Dict[str, Any]] = {group: {} for group in classes}
    known = {option.name: option for option in options()}
    for name, value in given.items():
        if name not in known:
            raise UserError(f"--{name}: no such option{did_you_mean(name, known)}")
        _check_value(known[name], value)
        groups[known[name].group][name] = _like(known[name].default, value)
    config = Config(**{group: classes[group](**of_group) for group, of_group in groups.items()})
    _check_together(config)
    return config


def plan_from_values(given: Mapping[str, Any]) -> Optional[PlanOptions]:
    """The checked PlanOptions with these values; None where no plan is asked for.

    Raises:
      UserError: a value that is not allowed, or one that changes nothing.
    """
    for known in plan_options():
        if known.name in given:
            _check_value(known, given[known.name])
    asked = PlanOptions(**given)
    for name, needed in (
        ("plan_devices", "plan"),
        ("plan_tflops", "plan"),
        ("plan_bandwidth", "plan_tflops"),
        ("plan_memory", "plan"),
    ):
        value = getattr(asked, name)
        if value is not None and not getattr(asked, needed):
            raise UserError(f"{as_flag(name, value)}: changes nothing without --{needed}")
    return asked if asked.plan else None


def _like(default: Any, value: Any) -> Any:
    """A value as an option with this default has it: several in a tuple or list, even if there is one."""
    if not isinstance(default, (tuple, list)):
        return value
    return type(default)(value if isinstance(value, (tuple, list)) else [value])


def _check_value(option: Option, value: Any) -> None:
    """Raises UserError unless `value` is allowed for `option` by itself."""
    if value is None:
        return
    rules = option.metadata
    elements = value if isinstance(value, (tuple, list)) else [value]
    if not elements:
        raise UserError(f"--{option.name}= is empty; give at least one value")
    for element in elements:
        if rules["choices"] and element not in rules["choices"]:
            one_of = f"; one of {', '.join(rules['choices'])}"
            if element == "":
                what = "is empty" if len(elements) == 1 else "has an empty element"
                raise UserError(f"{as_flag(option.name, value)}: {what}{one_of}")
            if rules["beside"]:
                rules["beside"](element)
                continue
            hint = did_you_mean(str(element), rules["choices"]) or one_of
            raise UserError(f"--{option.name}={element}: unknown{hint}")
        if isinstance(element, float) and not math.isfinite(element):
            raise UserError(f"--{option.name}={element}: must be a finite number")
        if rules["above"] is not None and element <= rules["above"]:
            raise UserError(f"--{option.name}={element}: must be above {rules['above']}")
        if rules["minimum"] is not None and element < rules["minimum"]:
            raise UserError(f"--{option.name}={element}: must be at least {rules['minimum']}")
        if rules["maximum"] is not None and element > rules["maximum"]:
            raise UserError(f"--{option.name}={element}: must be at most {rules['maximum']}")


def _check_together(config: Config) -> None:
    """Raises UserError where allowed values contradict each other."""
    augment, hardware = config.augment, config.hardware
    if hardware.cpu_devices > 1 and hardware.tpu is not None:
        raise UserError(f"--cpu_devices={hardware.cpu_devices}: contradicts --tpu={hardware.tpu}")
    if hardware.cpu_devices > 1 and hardware.strategy in ("one_device", "tpu"):
        raise UserError(f"--cpu_devices={hardware.cpu_devices}: contradicts --strategy={hardware.strategy}")
    if augment.crop_min_area is not None and augment.crop_min_area > augment.crop_max_area:
        raise UserError(
            f"--crop_min_area={augment.crop_min_area}: must not exceed --crop_max_area={augment.crop_max_area}"
        )
    if hardware.tpu is not None and hardware.strategy not in ("auto", "tpu"):
        raise UserError(f"--strategy={hardware.strategy}: contradicts --tpu={hardware.tpu}; leave one of them out")
    if hardware.strategy == "tpu" and hardware.tpu is None:
        raise UserError("--strategy=tpu: needs the TPU's name or address, --tpu=NAME")
    if hardware.tpu == "":
        raise UserError("--tpu= is empty; give the TPU's name or address, or 'local'")
    for name in ("tpu_zone", "tpu_project"):
        value = getattr(hardware, name)
        if value is not None and hardware.tpu is None:
            raise UserError(f"{as_flag(name, value)}: needs the TPU's name, --tpu=NAME")
    if config.run.mode == "simclr" and augment.num_views < 2:
        raise UserError("--num_views=1: simclr needs at least 2; without labels another view is the only positive")
    views = augment.num_views
    if config.run.mode != "ce" and len(augment.augment) not in (1, views):
        raise UserError(
            f"{as_flag('augment', augment.augment)}: {len(augment.augment)} policies for --num_views={views}; give one "
            "for all, or as many"
        )
    if config.run.mode == "ce" and len(augment.augment) > 1:
        raise UserError(f"{as_flag('augment', augment.augment)}: give one policy; mode ce has one view of each image")
    if config.run.mode != "ce" and views > 1 and set(augment.augment) == {"none"}:
        raise UserError("--augment=none: makes the views of an image equal; use another, or --num_views=1")
    _check_mix(config)
    of_linear = config.linear.linear_augment if config.run.mode != "ce" else "same"
    if not any(policy.endswith("randaugment") for policy in (*augment.augment, of_linear)):
        for name in ("randaugment_layers", "randaugment_magnitude"):
            value = getattr(augment, name)
            if value != getattr(AugmentOptions, name):
                raise UserError(f"{as_flag(name, value)}: changes nothing where no policy of --augment is RandAugment")
    if augment.augment_on_device == "on" and augment.blur_on_device == "off":
        raise UserError("--blur_on_device=off: contradicts --augment_on_device=on; leave one of them out")
    if hardware.precision == "float16" and hardware.tpu is not None:
        raise UserError("--precision=float16: is not for TPUs; use --precision=bfloat16")
    _check_data(config)
    _check_model(config)
    _check_loss(config)
    _check_schedules(config)


def _check_schedules(config: Config) -> None:
    """Raises UserError where a schedule lacks what it needs, or has what changes nothing."""
    stages = (
        ("", config.pretrain, config.pretrain.pretrain_epochs),
        ("linear_", config.linear, config.linear.linear_epochs),
    )
    for prefix, group, epochs in stages:
        schedule, warmup = getattr(group, f"{prefix}schedule"), getattr(group, f"{prefix}warmup_epochs")
        times, rate = getattr(group, f"{prefix}decay_epochs"), getattr(group, f"{prefix}decay_rate")
        if warmup >= epochs:
            raise UserError(f"--{prefix}warmup_epochs={warmup:g}: must be less than the {epochs} epochs of its stage")
        if schedule not in ("exponential", "piecewise"):
            if times is not None:
                raise UserError(
                    f"{as_flag(f'{prefix}decay_epochs', times)}: changes nothing with --{prefix}schedule={schedule}"
                )
            if rate != getattr(type(group), f"{prefix}decay_rate"):
                raise UserError(f"--{prefix}decay_rate={rate:g}: changes nothing with --{prefix}schedule={schedule}")
            continue
        if times is None:
            raise UserError(f"--{prefix}schedule={schedule}: needs --{prefix}decay_epochs")
        if schedule == "exponential" and len(times) != 1:
            raise UserError(f"{as_flag(f'{prefix}decay_epochs', times)}: give one number for an exponential schedule")
        if schedule == "piecewise" and any(a >= b for a, b in zip(times, times[1:])):
            raise UserError(f"{as_flag(f'{prefix}decay_epochs', times)}: must rise")
        if warmup + times[-1] >= epochs:
            raise UserError(
                f"{as_flag(f'{prefix}decay_epochs', times)}: must end before the {epochs} epochs of the stage, "
                f"{warmup:g} of them warm-up"
            )


def _check_data(config: Config) -> None:
    """Raises UserError where options of the data contradict each other or the mode."""
    data, mode = config.data, config.run.mode
    for name in ("dataset", "unlabelled"):
        if getattr(data, name) in ("", "folder:"):
            raise UserError(f"--{name}={getattr(data, name)}: give a name, or a path as in folder:PATH")
    if data.unlabelled is not None and mode != "supcon":
        raise UserError(f"--unlabelled={data.unlabelled}: is for --mode=supcon; leave it out in mode {mode}")
    if data.unlabelled is None and data.unlabelled_share != DataOptions.unlabelled_share:
        raise UserError(f"--unlabelled_share={data.unlabelled_share:g}: changes nothing without --unlabelled")
    if data.classes_per_batch is not None and mode == "simclr":
        raise UserError(
            f"--classes_per_batch={data.classes_per_batch}: needs labels, which mode simclr does not look at"
        )


def _check_model(config: Config) -> None:
    """Raises UserError where options of the model contradict each other or would change nothing."""
    model, encoder = config.model, f"--encoder={config.model.encoder}"
    if model.encoder not in ENCODERS:
        for name in ("encoder_width", "stem", "sync_batch_norm"):
            value, default = getattr(model, name), getattr(ModelOptions, name)
            if value != default:
                raise UserError(f"{as_flag(name, value)}: is not for {encoder}; give {as_flag(name, default)}")
    if model.encoder_weights is not None and model.encoder not in KERAS_ENCODERS:
        raise UserError(f"--encoder_weights={model.encoder_weights}: is for --encoder=keras:NAME, not for {encoder}")
    if is_path(model.encoder) and config.hardware.precision != HardwareOptions.precision:
        raise UserError(
            f"--precision={config.hardware.precision}: is not for {encoder}, which computes in what it was saved in"
        )
    parts = as_flag("warm_start_parts", model.warm_start_parts)
    if model.warm_start is None:
        if model.warm_start_parts != ModelOptions.warm_start_parts:
            raise UserError(f"{parts}: changes nothing without --warm_start")
        return
    if config.run.mode == "ce" and "projection_head" in model.warm_start_parts:
        raise UserError(f"{parts}: mode ce has no projection head; leave that out")
    if model.encoder_weights is not None and "encoder" in model.warm_start_parts:
        raise UserError(f"--encoder_weights={model.encoder_weights}: contradicts --warm_start={model.warm_start}")


def has_ready_encoder(config: Config) -> bool:
    """Whether the encoder begins with what was learned elsewhere, and can be evaluated without being trained here."""
    model = config.model
    warm = model.warm_start is not None and "encoder" in model.warm_start_parts
    return warm or model.encoder_weights is not None or is_path(model.encoder)


def _check_mix(config: Config) -> None:
    """Raises UserError where images cannot be mixed, or nothing is that could."""
    augment, loss, mix = config.augment, config.loss, f"--mix={config.augment.mix}"
    if augment.mix == "none":
        if augment.mix_alpha != AugmentOptions.mix_alpha:
            raise UserError(f"--mix_alpha={augment.mix_alpha:g}: changes nothing without --mix")
        return
    if config.run.mode == "simclr":
        raise UserError(f"{mix}: needs labels; leave it out in mode simclr")
    if config.run.mode == "ce":
        return
    if augment.num_views < 2:
        raise UserError(f"--num_views={augment.num_views}: {mix} needs at least 2 in mode supcon")
    if config.data.unlabelled is not None:
        # What of a mixed image has no label would be shared with its partner alone, and places pair the two kinds.
        raise UserError(f"--unlabelled={config.data.unlabelled}: contradicts {mix}; leave one of them out")
    # Of the forms of the loss, mixed labels have the paper's.
    for name in ("contrastive_loss", "summation", "denominator", "anchors", "positives_cap", "queue_size"):
        value = getattr(loss, name)
        if value != getattr(LossOptions, name):
            raise UserError(f"{as_flag(name, value)}: contradicts {mix}; leave one of them out")


def _check_loss(config: Config) -> None:
    """Raises UserError where options of the loss contradict each other or would change nothing."""
    loss, simclr = config.loss, config.run.mode == "simclr"
    if config.run.mode == "ce":
        for name, value in (("queue_size", loss.queue_size), ("microbatch_size", config.pretrain.microbatch_size)):
            if value:
                raise UserError(
                    f"--{name}={value}: is for the contrastive loss of supcon and simclr; leave it out in mode ce"
                )
    if loss.momentum_encoder != LossOptions.momentum_encoder and not loss.queue_size:
        raise UserError(f"--momentum_encoder={loss.momentum_encoder:g}: changes nothing without --queue_size")
    if loss.positives_cap is not None and loss.queue_size:
        raise UserError(f"--positives_cap={loss.positives_cap}: contradicts --queue_size; leave one of them out")
    if loss.learn_temperature and loss.scale_by_temperature:
        raise UserError("--learn_temperature: contradicts --scale_by_temperature; add --noscale_by_temperature")
    if simclr and loss.positives_cap is not None:
        raise UserError(f"--positives_cap={loss.positives_cap}: needs labels, which mode simclr does not look at")
    if loss.contrastive_loss == "supcon":
        return
    if simclr:
        raise UserError(f"--contrastive_loss={loss.contrastive_loss}: needs labels; use --mode=supcon")
    if loss.contrastive_loss == "npairs" and config.augment.num_views != 2:
        raise UserError(f"--num_views={config.augment.num_views}: --contrastive_loss=npairs needs 2")
    # Recipes may set a temperature and multiply by it.
    of_supcon = ("learn_temperature", "summation", "denominator", "anchors", "positives_cap")
    for name in (*of_supcon, "queue_size"):
        value = getattr(loss, name)
        if value != getattr(LossOptions, name):
            raise UserError(f"{as_flag(name, value)}: changes nothing with --contrastive_loss={loss.contrastive_loss}")


def identity(config: Config) -> Dict[str, Any]:
    """The options that make a run what it is: runs that differ in one of these are different runs."""
    names = [option.name for option in options() if option.metadata["identity"]]
    return {name: value for name, value in values(config).items() if name in names}


def digest(config: Config) -> str:
    """Eight hexadecimal digits that differ between different runs, and stay when further options are added."""
    defaults = identity(Config())
    told = {name: value for name, value in identity(config).items() if value != defaults[name]}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def check_sum(config: Config, *, without: Sequence[str]) -> int:
    """A number under 2²⁴ that differs, in all likelihood, where an option does that is not one of `without`."""
    compared = {name: value for name, value in values(config).items() if name not in without}
    return int(hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:6], 16)


def recorded(old: Mapping[str, Any]) -> Dict[str, Any]:
    """The options of a run whose identity was recorded as `old`, and what else is in the record.

    An option that the record does not have is younger than the run, which then did as its default does, or `earlier`.
    """
    earlier = {option.name: option.metadata["earlier"] for option in options() if option.metadata["earlier"]}
    defaults = json.loads(json.dumps(identity(Config())))
    # What takes several values now may have taken one when it was recorded.
    return {name: _like(defaults.get(name), value) for name, value in {**defaults, **earlier, **old}.items()}


def differences(old: Mapping[str, Any], config: Config) -> List[str]:
    """'--name=new (was --name=old)' for each option in which a run recorded as `old` is another than `config`."""
    now, before = json.loads(json.dumps(identity(config))), recorded(old)
    return [
        f"{as_flag(name, now[name])} (was {as_flag(name, before[name])})" for name in now if now[name] != before[name]
    ]


def as_flag(name: str, value: Any) -> str:
    """The flag that sets option `name` to `value`; its name alone for `NAME_ONLY`."""
    if value is NAME_ONLY:
        return f"--{name}"
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value_text(value)}"


def value_text(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None:
        return "(automatic)"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.10g}"
    return ",".join(map(value_text, value)) if isinstance(value, (list, tuple)) else str(value)
