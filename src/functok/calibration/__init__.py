"""The instruments, tried where the truth is known."""
