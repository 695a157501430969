from __future__ import annotations

import pytest

from mbgen.measuring.cortex_m4 import cycles


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("adds r0, r0, #1", 1),
        ("smlal r4, r5, r2, r12", 1),
        ("ldr r0, [r1]", 2),
        ("ldr r0, [r1]; ldr r2, [r1, #4]; ldr.w r3, [r1, #8]", 4),
        ("ldr r0, [r1]; adds r0, #1; ldr r2, [r1, #4]", 5),
        ("str r0, [r1]; ldr r2, [r1, #4]", 2),
        ("ldrd r2, r3, [r0], #8", 3),
        ("ldm r1!, {r4, r5, r6, r7}", 5),
        ("ldm.w r1!, {r4-r11}", 9),
        ("push {r4, r5, lr}", 4),
        ("pop {r4, r5, pc}", 6),
        ("vpush {d8, d9}", 3),
        ("sdiv r0, r1, r2", 7),
        ("subs r3, #1; bne #-4", 4),
        ("cbz r0, #8", 3),
        ("bl #100", 3),
        ("bfi r0, r1, #3, #5", 1),
        ("bic r0, r1, r2", 1),
        ("", 0),
    ],
)
def test_cycles_by_the_manual(code: str, expected: int) -> None:
    assert cycles([line.strip() for line in code.split(";") if line]) == expected
