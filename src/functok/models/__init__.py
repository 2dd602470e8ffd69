"""What we look inside, and how we touch it.

Everything here can run on an accelerator and imports only torch, transformers, numpy and pyarrow
(SAE training also SAELens, where it is used).
"""
