"""From kernels, plan and constants to the files of a C library."""

from mbgen.library.network import ModelInfo, Network, Rewrites
from mbgen.library.render import Library, render
from mbgen.library.write import write

__all__ = ["Library", "ModelInfo", "Network", "Rewrites", "render", "write"]
