"""Contrastive losses: as a pure function, as Keras losses, and by the name of an option."""

from supcon_tf.losses.baselines import NPairsLoss, TripletLoss
from supcon_tf.losses.by_name import LOSSES, make_contrastive_loss
from supcon_tf.losses.contrastive import NTXentLoss, SupConLoss
from supcon_tf.losses.functional import supervised_contrastive_loss
from supcon_tf.losses.inputs import Memory
from supcon_tf.losses.mixed import MixedSupConLoss
from supcon_tf.losses.temperature import Temperature

__all__ = [
    "LOSSES",
    "Memory",
    "MixedSupConLoss",
    "NPairsLoss",
    "NTXentLoss",
    "SupConLoss",
    "Temperature",
    "TripletLoss",
    "make_contrastive_loss",
    "supervised_contrastive_loss",
]
