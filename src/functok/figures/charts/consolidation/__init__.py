"""Charts of the paper's §4."""
