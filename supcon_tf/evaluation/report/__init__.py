"""A run's figures as one HTML page that needs no other file."""

from supcon_tf.evaluation.report.page import report_html

__all__ = ["report_html"]
