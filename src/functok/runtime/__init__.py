"""Errors, progress, threads, atomic files, the run folder, engines and versions."""
