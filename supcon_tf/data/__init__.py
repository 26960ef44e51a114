"""Loads data sets and brings their images to the training step."""
