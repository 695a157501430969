"""Cycles by the instruction timings of Arm's Cortex-M4 Technical Reference Manual (r0p1, table 3-1).

At zero wait states, without the fold of an IT into the instruction before it. The Cortex-M33's manual gives no table;
published figures for identical C put it within some per cent of the same rules (docs/measuring.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

REFILL = 2  # cycles P of a taken branch beside its own: 1 to 3 by the table, 2 where the target is aligned and whole
DIVIDE = 7  # 2 to 12 by the table, by the operands
_MULTIPLE = re.compile(r"^v?(ldm|stm|push|pop)")
_BRANCH = re.compile(r"^(?!bf[ci]|bic)(b|cbn?z|tb[bh])")


def cycles(instructions: Sequence[str]) -> int:
    """What one run of straight-line code takes, its last branch taken.

    LDR and STR next to another are pipelined: the second takes one cycle. LDM, STM, LDRD and STRD take 1 + N.
    """
    total, after_transfer = 0, False
    for instruction in instructions:
        name = re.sub(r"\.[wn]$", "", instruction.split(" ")[0])
        transfer = False
        if name in ("ldrd", "strd"):
            total += 3
        elif _MULTIPLE.match(name):
            total += 1 + _registers(instruction) + (REFILL if re.search(r"\bpc\b", instruction) else 0)
        elif name.startswith(("ldr", "vldr")):
            total += 1 if after_transfer else 2
            transfer = True
        elif name.startswith(("str", "vstr")):
            total += 1  # the store buffer takes it
            transfer = True
        elif name in ("sdiv", "udiv"):
            total += DIVIDE
        elif _BRANCH.match(name):
            total += 1 + REFILL
        else:
            total += 1
        after_transfer = transfer
    return total


def _registers(instruction: str) -> int:
    """How many registers a list in braces names, its ranges included."""
    listed = re.search(r"\{(.*)\}", instruction)
    if listed is None:
        return 1
    count = 0
    for part in listed[1].split(","):
        first, _, last = part.strip().partition("-")
        count += 1 if not last else int(re.sub(r"\D", "", last)) - int(re.sub(r"\D", "", first)) + 1
    return count
