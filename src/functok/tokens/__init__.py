"""What is a function token? Tokenizers and bulk encoding, counts, the set and its classes."""
