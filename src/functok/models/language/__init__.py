"""Language models: loading, hook points, forward passes, generation."""
