"""Planted worlds for the rows of the claims that are not about the graph."""
