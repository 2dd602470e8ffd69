"""Published SAE formats."""
