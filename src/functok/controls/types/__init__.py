"""Function types against content types."""
