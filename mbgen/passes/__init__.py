"""Exact graph rewrites, each Graph -> Graph, one a file."""
