"""Building a graph: shards, sorted runs, merging."""
