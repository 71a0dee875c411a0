"""Frontends: model files become Relax."""
