"""Copies of rows for the DSP extension of Cortex-M, eight words at a time where a C library copies one, or a byte."""

from __future__ import annotations

from mbgen.intrinsics.dsp_byte_gemm import IF_ASM, SHARED
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.mve import asm

_WORDS = ("r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12")  # r7 may be the frame pointer
_LIST = f"{{{', '.join(_WORDS)}}}"
_LINE = 32  # bytes of them

COPY_BYTES = Helper(
    "copy_bytes",
    f"""\
/* Copy `count` bytes between places that lie apart. */
{SHARED} void name_copy_bytes(void *y, const void *x, size_t count)
{{
    size_t left = count;
{IF_ASM}
    size_t lines = (((uintptr_t)y | (uintptr_t)x) & 3U) == 0U ? count / {_LINE} : 0;

    left -= {_LINE} * lines;
{
        asm(
            [
                "cmp %[lines], #0",
                "beq 2f",
                "1:",
                f"ldm %[x]!, {_LIST}",
                f"stm %[y]!, {_LIST}",
                "subs %[lines], %[lines], #1",
                "bne 1b",
                "2:",
            ],
            ['[y] "+r"(y)', '[x] "+r"(x)', '[lines] "+r"(lines)'],
            [],
            (*_WORDS, "cc", "memory"),
        )
    }#endif
    if (left > 0) {{
        (void)memcpy(y, x, left);
    }}
}}
""",
    lambda x: x,
    ("stddef.h", "string.h"),
)

DSP_COPY = (COPY_BYTES,)
