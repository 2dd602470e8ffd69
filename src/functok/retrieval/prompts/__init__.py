"""Questions about prompts: positions, traces, answers."""
