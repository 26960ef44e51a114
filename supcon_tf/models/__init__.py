"""Encoders, heads, and the models that are trained."""

import supcon_tf.keras_2  # noqa: F401
from supcon_tf.models.applications import build_application
from supcon_tf.models.by_name import family_of, make_classifier, make_contrastive_model, make_encoder
from supcon_tf.models.classifier import Accuracy, Classifier, CrossEntropy, HitAtOne, SigmoidCrossEntropy
from supcon_tf.models.contrastive import ContrastiveModel
from supcon_tf.models.encoders import build_encoder
from supcon_tf.models.heads import ProjectionHead
from supcon_tf.models.user_model import load_encoder

__all__ = [
    "Accuracy",
    "Classifier",
    "ContrastiveModel",
    "CrossEntropy",
    "HitAtOne",
    "ProjectionHead",
    "SigmoidCrossEntropy",
    "build_application",
    "build_encoder",
    "family_of",
    "load_encoder",
    "make_classifier",
    "make_contrastive_model",
    "make_encoder",
]
