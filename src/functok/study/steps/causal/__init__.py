"""The causal experiments on facts that the model knows."""
