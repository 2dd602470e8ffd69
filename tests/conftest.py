"""What all tests share."""

import os

# Before anything imports torch: two pools of two threads on two cores take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis

from system.fixtures import own_cache, run_copy, tiny_study, whole_run

__all__ = ["own_cache", "run_copy", "tiny_study", "whole_run"]

# The same examples on every machine; no deadline, since types are checked and machines are shared.
hypothesis.settings.register_profile("gate", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.load_profile("gate")
