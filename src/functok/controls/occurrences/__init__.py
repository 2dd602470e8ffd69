"""Controls that compare occurrences of one token."""
