"""Is it frequency? Controls of degree and coverage."""
