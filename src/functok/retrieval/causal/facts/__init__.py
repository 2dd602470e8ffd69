"""Facts for causal experiments: where they come from, how they are asked, which a model knows.

``read_facts`` reads a file of facts, ``shipped_facts`` are those that come with functok, ``ask``
makes prompts of them in every frame, ``know`` keeps what the model answers, and ``pairs`` gives
each kept fact another of the same length as its counterfactual source.
"""
