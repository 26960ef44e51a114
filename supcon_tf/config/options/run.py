"""Options of the run as a whole."""

import dataclasses
from typing import Optional, Tuple

from supcon_tf.config.choices import CHECK, MODES, PRESETS, STAGES
from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Objective, stages and folder of a run."""

    mode: str = option(
        "supcon",
        "Objective: 'supcon' (supervised contrastive loss), 'simclr' (contrastive loss without labels) or 'ce' "
        "(cross-entropy).",
        choices=MODES,
    )
    stages: Tuple[str, ...] = option(
        STAGES,
        "Stages to run, always in this order. In mode 'ce', 'pretrain' trains encoder and classifier together, and "
        "'linear' is skipped. 'check' looks at the data, says what would be chosen and how long it would take, and "
        "trains nothing.",
        choices=(CHECK, *STAGES),
        identity=False,
    )
    redo: Tuple[str, ...] = option(
        (),
        "Finished stages of the run in --run_dir to repeat, with all later ones. Their results are discarded. "
        "--redo=linear trains the classifier again on the same encoder, with other options of that stage if given.",
        none="none",
        choices=STAGES,
        identity=False,
    )
    run_dir: Optional[str] = option(
        None,
        "Folder of the run; may be a gs:// address. A second run with the same folder resumes the first. Default: a "
        "folder in runs/ named after data set, mode and a digest of the options.",
        none="automatic",
        identity=False,
    )
    seed: int = option(0, "Seed of everything random in the run.", minimum=0, maximum=2**31 - 1)
    recipe: Optional[str] = option(
        None,
        "Recipe that sets the options: its name (see supcon_tf/recipes/), the path of a flagfile, or 'none'. Default: "
        "the first of DATASET_MODE_ENCODER, DATASET_MODE and default_MODE that exists. A flag given by hand wins over "
        "the recipe.",
        none="automatic",
        identity=False,
    )
    preset: Optional[str] = option(
        None,
        "Kind of run for any data set: 'tiny' and 'small' (encoders for a CPU), 'base' (ResNet-18), 'paper' (ResNet-50 "
        "and the paper's two stages) or 'finetune' (an encoder trained on ImageNet, for few images). A preset is a "
        "recipe; the images decide what it leaves open.",
        none="none",
        choices=PRESETS,
        identity=False,
    )
    budget: Optional[str] = option(
        None,
        "Time or number of epochs that the run may take, such as 10m, 1h or 100epochs. Sets --pretrain_epochs, with "
        "warm-up and decay in proportion, so that the run ends well within the time.",
        none="none",
    )
    log_every: int = option(
        50,
        "Number of steps between two points of the TensorBoard curves. At these steps the loss is checked, and "
        "several workers agree whether to save or to stop.",
        minimum=1,
        identity=False,
    )
    checkpoint_minutes: float = option(
        10.0,
        "Maximum number of minutes between two checkpoints. The end of each epoch saves one as well.",
        above=0,
        identity=False,
    )

    @property
    def only_checks(self) -> bool:
        """True if the run looks at data and options, and trains nothing."""
        return self.stages == (CHECK,)
