"""Says what to write for options that other programs have under another name, or that are not needed here."""

import re
from typing import Dict, Optional

ENCODER = "--encoder, for example --encoder=resnet50 or --encoder=keras:MobileNetV2"
EPOCHS = "--pretrain_epochs for the encoder or --linear_epochs for the classifier"
FOLDER = "--dataset=folder:PATH"
PRECISION = "--precision=float16, --precision=bfloat16 or --precision=auto"
PRETRAINED = "--encoder=keras:NAME --encoder_weights=imagenet"
RATE = "--learning_rate for the encoder or --linear_learning_rate for the classifier"
NO_STOPPING = "there is no early stopping; --pretrain_epochs, --linear_epochs and --budget limit the training"
RESUME = "not needed: the same command resumes the run in its --run_dir"
RESUME_PATH = "--run_dir={0}, whose run the same command resumes, or --warm_start={0} for another run's weights"
STRATEGY = "--strategy=mirrored, which trains on all GPUs; CUDA_VISIBLE_DEVICES chooses some"
THREADS = "not needed: images are read by as many threads as the machine has cores"

EVALUATING = ("eval", "evaluate", "test", "validate", "evaluateonly", "evalonly", "testonly")
RESUMING = ("resume", "checkpoint", "ckpt", "restore", "load")
# Letters of the name → what to write. Names that are near to one of ours are left to `supcon_tf.names`.
INSTEAD: Dict[str, str] = {
    **dict.fromkeys(("lr", "learningrateinit", "baselr", "initlr"), RATE),
    **dict.fromkeys(("epochs", "epoch", "nepochs", "numepochs", "maxepochs", "ep"), EPOCHS),
    **dict.fromkeys(("b", "bs", "bsz", "minibatch", "trainbatchsize"), "--batch_size"),
    **dict.fromkeys(("model", "arch", "architecture", "backbone", "net", "network", "resnet"), ENCODER),
    **dict.fromkeys(("workers", "numworkers", "nworkers", "threads", "numthreads", "jobs"), THREADS),
    **dict.fromkeys(("pretrained", "finetune"), PRETRAINED),
    **dict.fromkeys(("fp16", "amp", "half", "bf16", "mixedprecision"), PRECISION),
    **dict.fromkeys(("gpus", "gpu", "ngpus", "numgpus", "device", "devices", "cuda", "distributed"), STRATEGY),
    **dict.fromkeys(("datapath", "dataroot", "datafolder", "root", "images", "imagedir", "traindir", "folder"), FOLDER),
    **dict.fromkeys(("output", "outputdir", "out", "outdir", "savedir", "logdir", "workdir", "modeldir"), "--run_dir"),
    **dict.fromkeys(RESUMING, RESUME),
    **dict.fromkeys(("tau", "temp", "ncet"), "--temperature"),
    **dict.fromkeys(("wd", "l2", "decayweight"), "--weight_decay"),
    **dict.fromkeys(("size", "imgsize", "imgsz", "resolution", "inputsize", "cropsize"), "--image_size"),
    **dict.fromkeys(("opt", "optim"), "--optimizer"),
    **dict.fromkeys(("loss", "criterion"), "--mode=supcon, simclr or ce, and --contrastive_loss"),
    **dict.fromkeys(("method", "task", "algorithm", "objective"), "--mode=supcon, simclr or ce"),
    **dict.fromkeys(EVALUATING, "--stages=evaluate with the --run_dir of the run"),
    **dict.fromkeys(("export", "savedmodel"), "--stages=export with the --run_dir of the run"),
    **dict.fromkeys(("predict", "infer", "inference"), "python -m supcon_tf.cli.predict MODEL IMAGE"),
    **dict.fromkeys(("config", "cfg", "configfile", "conf", "yaml"), "--recipe=FILE or --flagfile=FILE"),
    **dict.fromkeys(("dryrun", "dry", "simulate"), "--plan"),
    **dict.fromkeys(("patience", "earlystopping", "earlystop"), NO_STOPPING),
    **dict.fromkeys(("ds", "dset"), "--dataset"),
    **dict.fromkeys(("limit", "subset", "numsamples", "numexamples"), "--max_examples"),
    **dict.fromkeys(("views", "nviews", "ncrops"), "--num_views"),
    **dict.fromkeys(("warmup", "warm"), "--warmup_epochs"),
    **dict.fromkeys(("dim", "projectiondim", "featdim", "embeddingdim"), "--projection_layers, for example 2048,128"),
    **dict.fromkeys(("moco", "memorybank", "queue"), "--queue_size"),
    **dict.fromkeys(("xla", "compile"), "--jit_compile"),
    **dict.fromkeys(("classes", "numclasses", "nclasses"), "not needed: the classes are those of the data set"),
    **dict.fromkeys(("tensorboard", "wandb"), "not needed: a run writes tensorboard/ in its --run_dir"),
    **dict.fromkeys(("verbose", "debug", "quiet"), "--log_every for more or fewer points of the curves"),
}
# After 'linear': letters of the name → what to write.
LINEAR: Dict[str, str] = {
    **dict.fromkeys(("lr", "rate"), "--linear_learning_rate"),
    **dict.fromkeys(("bs", "bsz", "batch"), "--linear_batch_size"),
    **dict.fromkeys(("wd", "decay"), "--linear_weight_decay"),
    **dict.fromkeys(("opt", "optim"), "--linear_optimizer"),
    **dict.fromkeys(("warmup",), "--linear_warmup_epochs"),
    **dict.fromkeys(("aug", "augmentation"), "--linear_augment"),
}
# After 'no': an option that has values in place of true and false → the value that switches it off.
SWITCHES: Dict[str, str] = {"flip": "off", "cache": "off", "augment": "none", "whitening": "none", "mix": "none"}


def hint(name: str, value: Optional[str] = None) -> str:
    """Returns '; use ...' or '; not needed: ...' for an unknown option that other programs have, or ''.

    >>> hint("lr")
    '; use --learning_rate for the encoder or --linear_learning_rate for the classifier'

    Args:
      name: the option's name.
      value: what it was set to; None for nothing.
    """
    letters = re.sub(r"[\W_]+", "", name.lower())
    if letters.startswith("linear"):
        instead = LINEAR.get(letters[len("linear") :], "")
    elif letters.startswith("no") and letters[len("no") :] in SWITCHES:
        instead = f"--{letters[len('no') :]}={SWITCHES[letters[len('no') :]]}"
    elif letters in RESUMING and value and value.lower() not in ("true", "false", "1", "0", "auto"):
        instead = RESUME_PATH.format(value)
    else:
        instead = INSTEAD.get(letters, "")
    if instead.startswith(("not needed", "there is no")):
        return f"; {instead}"
    return instead and f"; use {instead}"
