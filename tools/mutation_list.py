"""The faults that `tools/mutations.py` plants, one at a time.

Each mutation names its room, what the fault is, and the same edit for every layout of the code that the list covers.
The first edit whose file exists and holds the text applies; the text must occur exactly once in its file. A test path
that a tree does not have is left out.
"""

from typing import NamedTuple, Tuple


class Edit(NamedTuple):
    """Replaces `old`, which occurs exactly once in `file`, with `new`."""

    file: str
    old: str
    new: str


class Mutation(NamedTuple):
    """A plausible bug, and the tests of its room, which must notice it."""

    name: str
    room: str
    fault: str
    edits: Tuple[Edit, ...]
    tests: Tuple[str, ...]


MUTATIONS = (
    # losses
    Mutation(
        "anchor-is-its-own-positive",
        "losses",
        "the mask that takes the anchor itself out of its positives is dropped",
        (
            Edit(
                "supcon_tf/losses/forms.py",
                "    positives &= distinct\n",
                "",
            ),
            Edit(
                "supcon_tf/losses/variants.py",
                "    positives &= distinct\n",
                "",
            ),
        ),
        ("tests/losses/test_contrastive.py",),
    ),
    Mutation(
        "positives-cap-off-by-one",
        "losses",
        "an anchor keeps one image fewer of its class than the cap allows",
        (
            Edit(
                "supcon_tf/losses/forms.py",
                "size) <= form.positives_cap",
                "size) < form.positives_cap",
            ),
            Edit(
                "supcon_tf/losses/variants.py",
                "size) <= variant.positives_cap",
                "size) < variant.positives_cap",
            ),
        ),
        ("tests/losses/test_contrastive.py", "tests/losses/test_special_cases.py"),
    ),
    Mutation(
        "gradient-of-positives-counts-the-anchor",
        "losses",
        "the gradient of Eq. 2 takes the anchor off its class once instead of twice",
        (
            Edit(
                "supcon_tf/losses/engine.py",
                "- 2.0 * rows",
                "- rows",
            ),
        ),
        ("tests/losses/test_contrastive.py", "tests/losses/test_engine.py"),
    ),
    Mutation(
        "gradient-of-temperature-wrong-sign",
        "losses",
        "the gradient with respect to a learned temperature has the wrong sign",
        (
            Edit(
                "supcon_tf/losses/engine.py",
                "temperature_gradient = -tf.reduce_sum(rows * gradient)",
                "temperature_gradient = tf.reduce_sum(rows * gradient)",
            ),
            Edit(
                "supcon_tf/losses/engine.py",
                "of_temperature = -tf.reduce_sum(rows * gradient)",
                "of_temperature = tf.reduce_sum(rows * gradient)",
            ),
        ),
        ("tests/losses/test_contrastive.py", "tests/losses/test_special_cases.py", "tests/losses/test_engine.py"),
    ),
    Mutation(
        "one-anchor-takes-the-last-view",
        "losses",
        "with one anchor an image the last view is taken instead of the first",
        (
            Edit(
                "supcon_tf/losses/contrastive.py",
                'losses[:, 0] if self.anchors == "one"',
                'losses[:, -1] if self.anchors == "one"',
            ),
            Edit(
                "supcon_tf/losses/functional.py",
                'losses[:, 0] if anchors == "one"',
                'losses[:, -1] if anchors == "one"',
            ),
        ),
        (
            "tests/losses/test_contrastive.py",
            "tests/losses/test_special_cases.py",
            "tests/losses/test_reference.py",
        ),
    ),
    Mutation(
        "unlabelled-images-are-one-class",
        "losses",
        "all unlabelled images become positives of each other",
        (
            Edit(
                "supcon_tf/losses/classes.py",
                "-1 - tf.cast(tf.range(batch), labels.dtype)",
                "-tf.ones_like(labels)",
            ),
            Edit(
                "supcon_tf/losses/classes.py",
                "UNLABELLED - tf.cast(tf.range(batch), labels.dtype)",
                "UNLABELLED - tf.zeros_like(labels)",
            ),
        ),
        ("tests/losses/test_special_cases.py", "tests/losses/test_contrastive.py"),
    ),
    Mutation(
        "row-of-zeros-is-class-zero",
        "losses",
        "a one-hot row of zeros means class 0 instead of unlabelled",
        (
            Edit(
                "supcon_tf/losses/inputs.py",
                "tf.where(classes == 0, UNLABELLED, tf.argmax(tf.cast(is_class, tf.int32), 1, tf.int32))",
                "tf.argmax(tf.cast(is_class, tf.int32), 1, tf.int32)",
            ),
            Edit(
                "supcon_tf/batch.py",
                "tf.where(classes == 0, UNLABELLED, tf.argmax(tf.cast(is_class, tf.int32), 1, tf.int32))",
                "tf.argmax(tf.cast(is_class, tf.int32), 1, tf.int32)",
            ),
        ),
        (
            "tests/losses/test_special_cases.py",
            "tests/losses/test_contrastive.py",
            "tests/test_batch.py",
        ),
    ),
    Mutation(
        "mixed-loss-counts-its-own-replica",
        "losses",
        "the number of images of each class is not gathered over replicas",
        (
            Edit(
                "supcon_tf/losses/mixed.py",
                "images_of_classes = tf.reduce_sum(gather(y), axis=0)",
                "images_of_classes = tf.reduce_sum(y, axis=0)",
            ),
        ),
        ("tests/losses/test_mixed.py",),
    ),
    # distribute
    Mutation(
        "slice-of-the-next-replica",
        "distribute",
        "a replica looks for its rows where those of the next one begin",
        (
            Edit(
                "supcon_tf/distribute/gather.py",
                "owners < replica",
                "owners <= replica",
            ),
        ),
        ("tests/distribute/test_gather.py",),
    ),
    # optimizers
    Mutation(
        "lars-adapts-what-it-should-not",
        "optimizers",
        "LARS scales the rate by the list of weights that do not decay",
        (
            Edit(
                "supcon_tf/optimizers/lars.py",
                "if variable.name not in self.unadapted:",
                "if variable.name not in self.undecayed:",
            ),
            Edit(
                "supcon_tf/optimizers/lars.py",
                "if position not in self._unadapted:",
                "if position not in self._undecayed:",
            ),
        ),
        ("tests/optimizers/test_lars.py",),
    ),
    Mutation(
        "piecewise-decay-one-step-early",
        "optimizers",
        "a piecewise schedule decays at the boundary instead of after it",
        (
            Edit(
                "supcon_tf/optimizers/schedules.py",
                "steps > boundary",
                "steps >= boundary",
            ),
        ),
        ("tests/optimizers/test_schedules.py",),
    ),
    # models
    Mutation(
        "whitening-wrong-sign",
        "models",
        "the mean is added instead of subtracted where the encoder whitens",
        (
            Edit(
                "supcon_tf/models/encoders.py",
                "offset = [-(1 + mean) / std",
                "offset = [-(1 - mean) / std",
            ),
        ),
        ("tests/models/test_encoders.py",),
    ),
    Mutation(
        "relu-after-the-last-layer",
        "models",
        "the last layer of the projection head is treated as a hidden one",
        (
            Edit(
                "supcon_tf/models/heads.py",
                "hidden = index < len(layers)",
                "hidden = index <= len(layers)",
            ),
        ),
        ("tests/models/test_heads.py",),
    ),
    Mutation(
        "online-classifier-trains-the-encoder",
        "models",
        "the stop-gradient before the online classifier is missing",
        (
            Edit(
                "supcon_tf/models/contrastive.py",
                "self.online_classifier(tf.stop_gradient(embeddings))",
                "self.online_classifier(embeddings)",
            ),
            Edit(
                "supcon_tf/models/online_classifier.py",
                "self(embeddings if self.joint_ce else tf.stop_gradient(embeddings))",
                "self(embeddings)",
            ),
        ),
        ("tests/models/test_contrastive.py",),
    ),
    Mutation(
        "microbatches-chain-moving-averages",
        "models",
        "each microbatch moves the batch statistics further instead of all from the same start",
        (
            Edit(
                "supcon_tf/models/microbatches.py",
                "            self._reset(before)\n            arrays",
                "            arrays",
            ),
        ),
        ("tests/models/test_microbatches.py",),
    ),
    Mutation(
        "queue-keeps-the-oldest",
        "models",
        "the memory queue drops the newest projections instead of the oldest",
        (
            Edit(
                "supcon_tf/models/memory_queue.py",
                "joined[-self.size :]",
                "joined[: self.size]",
            ),
        ),
        ("tests/models/test_memory_queue.py",),
    ),
    Mutation(
        "momentum-encoder-follows-too-fast",
        "models",
        "the momentum of the momentum encoder is exchanged with its complement",
        (
            Edit(
                "supcon_tf/models/memory_queue.py",
                "self.momentum * weight + (1.0 - self.momentum) * target",
                "(1.0 - self.momentum) * weight + self.momentum * target",
            ),
        ),
        ("tests/models/test_memory_queue.py",),
    ),
    Mutation(
        "linear-stage-trains-the-encoder",
        "models",
        "the classifier does not freeze its encoder",
        (
            Edit(
                "supcon_tf/models/classifier.py",
                "encoder.trainable = not freeze_encoder",
                "encoder.trainable = True",
            ),
        ),
        ("tests/models/test_classifier.py",),
    ),
    # augment
    Mutation(
        "crop-never-touches-the-lower-border",
        "augment",
        "the last place of a crop is never drawn",
        (
            Edit(
                "supcon_tf/augment/geometry.py",
                "for_top * (height - crop_height + 1)",
                "for_top * (height - crop_height)",
            ),
        ),
        ("tests/augment/test_geometry.py",),
    ),
    Mutation(
        "contrast-about-the-plain-mean",
        "augment",
        "the contrast of the colour jitter turns about the mean of the channels instead of the grey value",
        (
            Edit(
                "supcon_tf/augment/colour.py",
                "mean = tf.tensordot(mean, LUMA, axes=1)",
                "mean = tf.reduce_mean(mean)",
            ),
        ),
        ("tests/augment/test_colour.py",),
    ),
    Mutation(
        "blur-normalised-along-the-wrong-axis",
        "augment",
        "the weights of the blur sum to 1 over rows instead of sources",
        (
            Edit(
                "supcon_tf/augment/blur.py",
                "weights /= tf.reduce_sum(weights, axis=2, keepdims=True)",
                "weights /= tf.reduce_sum(weights, axis=1, keepdims=True)",
            ),
        ),
        ("tests/augment/test_blur.py",),
    ),
    Mutation(
        "cutmix-label-ignores-the-border",
        "augment",
        "the label of CutMix keeps the drawn share although the border cut the box off",
        (
            Edit(
                "supcon_tf/augment/mixing.py",
                "        share = 1 - tf.reduce_mean(inside, axis=[1, 2])\n",
                "",
            ),
        ),
        ("tests/augment/test_mixing.py",),
    ),
    # data
    Mutation(
        "step-counted-to-the-wrong-epoch",
        "data",
        "a step belongs to the epoch in which it begins instead of the one in which it ends",
        (
            Edit(
                "supcon_tf/data/pipeline.py",
                "((step + 1) * self.labelled - 1) // self.images",
                "(step * self.labelled) // self.images",
            ),
            Edit(
                "supcon_tf/data/steps.py",
                "((step + 1) * self.labelled - 1) // self.images",
                "(step * self.labelled) // self.images",
            ),
        ),
        ("tests/data/test_pipeline.py", "tests/data/test_steps.py"),
    ),
    Mutation(
        "resumed-run-skips-in-every-epoch",
        "data",
        "a resumed run skips the images that are done in each later epoch too",
        (
            Edit(
                "supcon_tf/data/pipeline.py",
                "tf.where(epoch == start_epoch, tf.constant(done, tf.int64), 0)",
                "tf.constant(done, tf.int64)",
            ),
            Edit(
                "supcon_tf/data/training_order.py",
                "tf.where(epoch == start_epoch, tf.constant(done, tf.int64), 0)",
                "tf.constant(done, tf.int64)",
            ),
        ),
        ("tests/data/test_pipeline.py",),
    ),
    Mutation(
        "padding-is-evaluated",
        "data",
        "images that only fill the last evaluation batch get weight 1",
        (
            Edit(
                "supcon_tf/data/pipeline.py",
                "(index, nothing, -tf.ones_like(label))",
                "(index, nothing, label)",
            ),
        ),
        ("tests/data/test_pipeline.py",),
    ),
    Mutation(
        "label-noise-may-keep-the-label",
        "data",
        "label noise shifts a label by 0 to classes − 2 instead of 1 to classes − 1",
        (
            Edit(
                "supcon_tf/data/sampling.py",
                "probability, 1 + others, 0)",
                "probability, others, 0)",
            ),
        ),
        ("tests/data/test_sampling.py",),
    ),
    Mutation(
        "class-of-one-image-is-only-tested",
        "data",
        "a class with a single image is held out whole",
        (
            Edit(
                "supcon_tf/data/folder.py",
                "drawn = min(max(drawn, 1), len(members) - 1)",
                "drawn = max(drawn, 1)",
            ),
            Edit(
                "supcon_tf/data/folder_layout.py",
                "drawn = min(max(drawn, 1), len(members) - 1)",
                "drawn = max(drawn, 1)",
            ),
        ),
        (
            "tests/data/test_folder.py",
            "tests/data/test_folder_layout.py",
        ),
    ),
    Mutation(
        "difficult-objects-count-as-there",
        "data",
        "an image of which a class has only difficult objects counts as one of the class",
        (
            Edit(
                "supcon_tf/data/records.py",
                "tf.where(certain, 1, tf.where(there, -1, 0))",
                "tf.where(there, 1, 0)",
            ),
        ),
        ("tests/data/test_records.py",),
    ),
    # training
    Mutation(
        "resumed-stage-sees-the-first-images",
        "training",
        "a resumed stage reads its batches from the start instead of from its step",
        (
            Edit(
                "supcon_tf/training/fit.py",
                "stage.make_batches(first_step, context)",
                "stage.make_batches(0, context)",
            ),
        ),
        ("tests/training/test_fit.py",),
    ),
    Mutation(
        "checkpoint-of-weights-that-are-not-finite",
        "training",
        "weights that are not finite are saved",
        (
            Edit(
                "supcon_tf/training/checkpoints.py",
                "if self._all_finite() and self.saved_step != self.step:",
                "if self.saved_step != self.step:",
            ),
            Edit(
                "supcon_tf/training/checkpoints.py",
                "        self._check_finite()\n",
                "",
            ),
        ),
        ("tests/training/test_checkpoints.py",),
    ),
    Mutation(
        "multiples-missed-between-executions",
        "training",
        "what happens every few steps is missed where several steps are one execution",
        (
            Edit(
                "supcon_tf/training/callbacks.py",
                "self.step // every > self.step_before // every",
                "self.step % every == 0",
            ),
            Edit(
                "supcon_tf/training/callbacks/steps.py",
                "self.step // every > self.step_before // every",
                "self.step % every == 0",
            ),
        ),
        (
            "tests/training/test_callbacks.py",
            "tests/training/callbacks",
        ),
    ),
    # evaluation
    Mutation(
        "evaluation-ignores-weights",
        "evaluation",
        "accuracy and cross-entropy count the padding of the last batch",
        (
            Edit(
                "supcon_tf/evaluation/classifier.py",
                "metric.update_state(labels, logits, sample_weight=weights)",
                "metric.update_state(labels, logits)",
            ),
        ),
        ("tests/evaluation/test_classifier.py",),
    ),
    Mutation(
        "average-precision-counts-difficult-images",
        "evaluation",
        "average precision does not leave out the images of weight 0",
        (
            Edit(
                "supcon_tf/evaluation/multi_label.py",
                "average_precision(*(x[counts[:, i], i] for x in (logits, labels)))",
                "average_precision(*(x[:, i] for x in (logits, labels)))",
            ),
        ),
        ("tests/evaluation/test_multi_label.py",),
    ),
    # serving
    Mutation(
        "several-classes-share-one-probability",
        "serving",
        "the exported model applies softmax where an image may have several classes",
        (
            Edit(
                "supcon_tf/serving/export.py",
                "tf.nn.sigmoid(logits) if self._multi_label else tf.nn.softmax(logits)",
                "tf.nn.softmax(logits)",
            ),
        ),
        ("tests/serving/test_export.py",),
    ),
    # config, command line, run folder
    Mutation(
        "warm-up-may-fill-its-stage",
        "config",
        "a warm-up as long as its stage is accepted",
        (
            Edit(
                "supcon_tf/config.py",
                "if warmup >= epochs:",
                "if warmup > epochs:",
            ),
            Edit(
                "supcon_tf/config/constraints.py",
                "if options.warmup_epochs >= epochs:",
                "if options.warmup_epochs > epochs:",
            ),
        ),
        ("tests/test_config.py", "tests/config"),
    ),
    Mutation(
        "recipe-wins-over-the-command-line",
        "cli",
        "what the recipe sets wins over a flag given by hand",
        (
            Edit(
                "flags.py",
                "config_lib.from_values({**from_recipe, **by_hand})",
                "config_lib.from_values({**by_hand, **from_recipe})",
            ),
            Edit(
                "supcon_tf/cli/flags.py",
                "given = {**from_recipe, **by_hand, ",
                "given = {**by_hand, **from_recipe, ",
            ),
        ),
        ("tests/test_flags.py", "tests/cli"),
    ),
    Mutation(
        "folder-without-checkpoints-is-refused",
        "run_dir",
        "a folder whose run has saved nothing yet cannot be claimed by a run with other options",
        (
            Edit(
                "supcon_tf/run_dir.py",
                "if recorded is not None and self._has_saved():",
                "if recorded is not None:",
            ),
            Edit(
                "supcon_tf/run_dir.py",
                "self.record() if record is None and self._has_saved() else record\n        if recorded",
                "self.record() if record is None else record\n        if recorded",
            ),
        ),
        ("tests/test_run_dir.py",),
    ),
    # plan
    Mutation(
        "multiply-and-add-are-one-operation",
        "plan",
        "a multiply and an add count as one operation",
        (
            Edit(
                "supcon_tf/graph_cost.py",
                "else 2 * math.prod(dimensions)",
                "else math.prod(dimensions)",
            ),
            Edit(
                "supcon_tf/plan/graph_cost.py",
                "else 2 * math.prod(dimensions)",
                "else math.prod(dimensions)",
            ),
        ),
        ("tests/test_plan.py", "tests/plan"),
    ),
    Mutation(
        "gathered-counts-as-summed",
        "plan",
        "a gathered message costs as much as a summed one",
        (
            Edit(
                "supcon_tf/plan.py",
                "(2 if self.summed else 1) * self.size",
                "2 * self.size",
            ),
            Edit(
                "supcon_tf/plan/stage.py",
                "(2 if self.summed else 1) * self.size",
                "2 * self.size",
            ),
        ),
        ("tests/test_plan.py", "tests/plan"),
    ),
    # run
    Mutation(
        "warm-start-measures-its-own-whitening",
        "run",
        "a run that begins with the encoder of another run whitens by constants measured on this run's images",
        (
            Edit(
                "supcon_tf/experiment.py",
                "        return _recorded_whitening(warm_start.find(model.warm_start).record)\n",
                "        pass\n",
            ),
            Edit(
                "supcon_tf/run/weights.py",
                "        return _recorded_whitening(warm_start.find(model.warm_start).record)\n",
                "        pass\n",
            ),
        ),
        ("tests/test_experiment.py", "tests/run"),
    ),
    Mutation(
        "resumed-run-decides-again",
        "run",
        "a resumed run takes the data set's defaults of today instead of those that it recorded",
        (
            Edit(
                "supcon_tf/experiment.py",
                '        decided = {name: past[name] for name in (*decided, "train_split")}\n',
                "        pass\n",
            ),
            Edit(
                "supcon_tf/run/resolve.py",
                '    return _fill_in(config, {name: record[name] for name in (*DECIDED_BY_DATA, "precision")})\n',
                "    return _fill_in(config, _decided_by(defaults, config))\n",
            ),
        ),
        ("tests/test_experiment.py", "tests/run"),
    ),
)
