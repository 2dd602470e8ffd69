"""Every control by name."""
