"""Which positions and features cause the answer?"""
