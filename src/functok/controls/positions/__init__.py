"""Coverage of the same number of positions."""
