"""Token counts, and the function tokens that follow from them."""
