"""The result of a test, the verdict on each claim, and the explanation of the degree."""
