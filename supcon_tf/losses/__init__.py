"""The contrastive losses, and those that they are compared with."""

from supcon_tf.losses.baselines import NPairsLoss, TripletLoss
from supcon_tf.losses.contrastive import NTXentLoss, SupConLoss, Temperature
from supcon_tf.losses.inputs import Memory
from supcon_tf.losses.mixed import MixedSupConLoss

__all__ = ["Memory", "MixedSupConLoss", "NPairsLoss", "NTXentLoss", "SupConLoss", "Temperature", "TripletLoss"]
