"""Null models of degree."""
