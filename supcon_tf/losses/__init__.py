"""The contrastive losses, and those that they are compared with."""

from supcon_tf.losses.baselines import NPairsLoss, TripletLoss
from supcon_tf.losses.contrastive import NTXentLoss, SupConLoss, Temperature
from supcon_tf.losses.inputs import Memory

__all__ = ["Memory", "NPairsLoss", "NTXentLoss", "SupConLoss", "Temperature", "TripletLoss"]
