"""Are features re-activated at function tokens?"""
