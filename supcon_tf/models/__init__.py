"""Encoders, heads, and the models that are trained."""

from supcon_tf.models.classifier import Classifier
from supcon_tf.models.contrastive import ContrastiveModel
from supcon_tf.models.encoders import build_encoder
from supcon_tf.models.finish_views import FinishViews, finished
from supcon_tf.models.from_options import make_classifier, make_contrastive_model
from supcon_tf.models.heads import ProjectionHead

__all__ = [
    "Classifier",
    "ContrastiveModel",
    "FinishViews",
    "ProjectionHead",
    "build_encoder",
    "finished",
    "make_classifier",
    "make_contrastive_model",
]
