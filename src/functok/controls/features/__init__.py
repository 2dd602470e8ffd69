"""Features: about a token, a class, or neither?"""
