"""A tokenizer's backend: loaded from its files, its marks, and bulk encoding that gives its ids."""
