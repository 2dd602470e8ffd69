"""How tokens spread over a corpus, and how stable the set is."""
