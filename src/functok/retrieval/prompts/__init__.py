"""Prompts: positions, traces, answers."""
