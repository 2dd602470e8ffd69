"""What a study takes, before it is run: tokens, products, time, memory and disk, step by step.

Sizes follow from the study and its text, speeds from a probe of seconds on this machine. Each step
says what it takes in its own file (``Step.cost``), in terms of ``Forecast``.
"""
