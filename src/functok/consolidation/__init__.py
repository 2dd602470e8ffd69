"""The paper's §4: what pre-training consolidates, checkpoint by checkpoint."""
