"""Adding features to the residual stream."""
