"""Supervised contrastive learning (Khosla et al., NeurIPS 2020, arXiv 2004.11362) in TensorFlow and Keras."""

__version__ = "0.1.0"
