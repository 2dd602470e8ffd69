"""Weights of small public models by a short name, with or without access to the hub."""
