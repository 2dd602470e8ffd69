"""The tiny world: text whose latents, right answers and exact probabilities are known."""
