"""From kernels, plan and constants to the files of a C library."""

from mbgen.library.network import ModelInfo, Network, Rewrites, arena_bytes
from mbgen.library.render import Library, render
from mbgen.library.write import write

__all__ = ["Library", "ModelInfo", "Network", "Rewrites", "arena_bytes", "render", "write"]
