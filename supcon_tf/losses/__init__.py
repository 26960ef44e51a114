"""The contrastive losses."""

from supcon_tf.losses.contrastive import NTXentLoss, SupConLoss

__all__ = ["NTXentLoss", "SupConLoss"]
