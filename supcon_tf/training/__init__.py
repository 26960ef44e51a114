"""Runs training stages and keeps their checkpoints and curves."""
