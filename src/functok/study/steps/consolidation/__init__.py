"""Steps of the paper's §4 that run no SAE."""
