"""Exact graph rewrites, each Graph -> Graph, one a file; `simplify` runs them all."""

from mbgen.passes.simplify import Removal, Simplified, simplify
from mbgen.passes.softmax import drop_softmax

__all__ = ["Removal", "Simplified", "drop_softmax", "simplify"]
