"""Changes to the residual stream while a model runs."""
