"""Encoders, heads, and the models that are trained."""

from supcon_tf.models.classifier import Accuracy, Classifier, CrossEntropy, HitAtOne, SigmoidCrossEntropy
from supcon_tf.models.contrastive import ContrastiveModel
from supcon_tf.models.encoders import build_encoder
from supcon_tf.models.from_options import make_classifier, make_contrastive_model
from supcon_tf.models.heads import ProjectionHead
from supcon_tf.models.other_encoders import build_application, check_not_random, load_encoder

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
    "check_not_random",
    "load_encoder",
    "make_classifier",
    "make_contrastive_model",
]
