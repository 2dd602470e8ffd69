"""Consolidation token by token: single targets, prompts, uncertain positions."""
