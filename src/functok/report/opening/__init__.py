"""The first screen of the report, and what it has to say of what is not in it."""
