"""The trained model as a SavedModel that takes images as they come."""
