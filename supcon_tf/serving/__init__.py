"""Serves a trained model: export, and prediction for image files."""
