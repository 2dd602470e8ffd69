"""Text to token ids to model inputs."""
