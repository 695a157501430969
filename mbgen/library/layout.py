"""How a tensor between the layers of bands lies in memory, as a line for whoever reads or debugs a kernel.

Knows `plan.Storage`. May not know kernels or templates.
"""

from __future__ import annotations

import numpy as np

from mbgen.plan import Storage


def layout(name: str, storage: Storage) -> str:
    """What an element of the parameter `name` is, by the index that a kernel makes; counted from where it begins."""
    size = np.dtype(storage.item).itemsize
    row, column, channel = (stride // size for stride in (storage.row, storage.column, storage.channel))
    value = f"value + {storage.add}" if storage.add else "value"
    if storage.triples:
        rows, of_row = ("", "") if storage.slots == 1 else (f"{storage.slots} rows; ", f"row * {row} + ")
        index = f"{of_row}triple * {column} + k * {channel} + i"
        return f"{name}[{index}]: {rows}{value} of pixel i, and of pixel i + 1 times 2^21; i = 0, 1"
    rows = f"{storage.slots} {'row' if storage.slots == 1 else 'rows'} by {row // column} columns"
    return f"{name}[c * {channel} + row * {row} + column]: {value}; a plane of {rows} for each channel, with its border"
