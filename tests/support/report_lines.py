"""The lines of a report of times, as templates/measuring/measure.c sends them."""

from __future__ import annotations

import binascii

BODIES = (
    "mbgen tiny 1 168496141 1000 2",
    "run 0 70",
    "run 1 72",
    "run 2 71",
    "core 4000",
    "profiled 2 3",
    "section 0 40 2",
    "section 1 30 1",
    "section 0 44 2",
    "section 1 32 1",
    "load 2 10 400 780",
    "end",
)


def line(body: str) -> str:
    return f"{body} *{binascii.crc_hqx(body.encode(), 0):04x}\r\n"


def sent(*changes: tuple[str, str]) -> list[str]:
    """A report with some bodies replaced."""
    replaced = dict(changes)
    return [line(replaced.get(body, body)) for body in BODIES]
