"""The paper's §3: what a model retrieves at inference, and through which tokens."""
