"""The methods tried where the truth is known."""
