"""Which layers may have constants that take more memory than they must, to save work.

Knows sizes of constants and the work that they save; may not know kernels or the plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from mbgen.lowering.prepared import Prepared

SHARE = 16  # of the network's constants, what larger ones may take more
MOST = 2560  # bytes, whatever the size of the network


def within_allowance(layers: Mapping[str, Prepared]) -> dict[str, Prepared]:
    """The layers by name, those with the most work to save larger.

    That takes a sixteenth more in all at most, and not more than `MOST`.
    """
    chosen = dict(layers)
    left = min(sum(map(constant_bytes, layers.values())) // SHARE, MOST)
    for name, layer in sorted(layers.items(), key=lambda item: -item[1].worth):
        if layer.larger is not None and (extra := constant_bytes(layer.larger) - constant_bytes(layer)) <= left:
            chosen[name] = layer.larger
            left -= extra
    return chosen


def constant_bytes(prepared: Prepared) -> int:
    """Of all constants that a layer reads."""
    return sum(data.nbytes for data, _ in prepared.constants.values())
