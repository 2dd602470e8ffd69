"""The charts, one file per subject."""
