"""Tiles that cover an extent: whole ones, and where there is a rest a last one that lies over the one before it.

What both compute they compute alike, so a rest costs neither another loop nor padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from mbgen.graph import Array
from mbgen.schedules.tile import tiles


def start(tile: Any, extent: int, size: int) -> Any:
    """Where tile number `tile` starts."""
    if extent % size == 0:
        return tile * size
    return tirx.min(tile * size, extent - size)


def starts(extent: int, size: int) -> Array:
    """Where each tile starts."""
    return np.minimum(np.arange(tiles(extent, size)) * size, extent - size)


def panels(values: Array, size: int) -> Array:
    """The first axis of `values` in tiles: `[extent, ...]` to `[tiles, size, ...]`, entries of a rest repeated."""
    return values[starts(len(values), size)[:, np.newaxis] + np.arange(size)]
