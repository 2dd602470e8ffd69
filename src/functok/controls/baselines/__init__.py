"""Graphs of untrained models, shuffled text and frozen SAEs, to compare with."""
