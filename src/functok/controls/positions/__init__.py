"""Coverage of equally many positions."""
