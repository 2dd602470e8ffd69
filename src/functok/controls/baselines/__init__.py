"""Baselines: graphs of untrained models, shuffled text and frozen SAEs."""
