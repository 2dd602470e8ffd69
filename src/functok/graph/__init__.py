"""The token–feature bipartite graph: paper §3.1."""
