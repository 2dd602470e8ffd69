"""Losses by transition group."""
