"""Arrays as the text of C initialisers: exact, and fast enough for millions of elements.

Knows NumPy arrays and C constants. May not know networks or templates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mbgen.graph import Array
from mbgen.library.text import COLUMNS

INDENT = 4

Characters = NDArray[np.uint8]  # one row an element, absent characters are zero

_CHUNK = 1 << 16  # elements laid out at a time: the working set stays in the cache
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_EXPONENTS = np.array([f"{e:+d}" for e in range(-127, 129)], "S4").view(np.uint8).reshape(-1, 4)


def initializer(values: Array) -> str:
    """The elements of a one-dimensional array as lines of C constants, in order; INFINITY needs `math.h`.

    Every line but the last holds the same power of two of elements, so that packed blocks can be found by eye.
    """
    spell = _spell_floats if values.dtype == np.float32 else _spell_integers(values)
    return "".join(_lines(spell(values[start : start + _CHUNK])) for start in range(0, values.size, _CHUNK))


def _lines(characters: Characters) -> str:
    count, width = characters.shape
    fitting = (COLUMNS - INDENT + 1) // (width + 2)
    per_line = 1 << (fitting.bit_length() - 1)
    text = np.zeros((count, INDENT + width + 2), np.uint8)
    text[::per_line, :INDENT] = ord(" ")
    text[:, INDENT:-2] = characters
    text[:, -2] = ord(",")
    text[:, -1] = ord(" ")
    text[per_line - 1 :: per_line, -1] = ord("\n")
    text[-1, -1] = ord("\n")
    return str(text[text != 0].tobytes(), "ascii")


def _spell_integers(values: Array) -> Callable[[Array], Characters]:
    """A function from integers to decimals, all as wide as the widest of `values`."""
    low, high = int(values.min()), int(values.max())
    width = max(len(str(low)), len(str(high)))
    if values.dtype.itemsize == 1:
        table = _right_aligned(np.arange(low, high + 1), width)
        return lambda chunk: table[chunk.astype(np.int64) - low]
    return lambda chunk: _right_aligned(chunk, width)


def _right_aligned(values: Array, width: int) -> Characters:
    text = np.array([f"{value:{width}d}" for value in values.tolist()], f"S{width}")
    return text.view(np.uint8).reshape(-1, width)


def _spell_floats(values: Array) -> Characters:
    """Hexadecimal constants as C17 6.4.4.2 has them: `-0x1.8p+3f`; zero of either sign is `0.0f` or `-0.0f`."""
    bits = values.view(np.uint32)
    exponent = (bits >> 23 & 0xFF).astype(np.int64)
    mantissa = bits << 1 & 0xFFFFFF  # 23 bits, moved up to fill six digits
    digits = mantissa[:, None] >> np.arange(20, -1, -4, dtype=np.uint32) & 0xF
    significant = np.logical_or.accumulate(digits[:, ::-1] != 0, axis=1)[:, ::-1]

    text = np.zeros((values.size, 17), np.uint8)
    text[:, 0] = np.where(bits >> 31 != 0, ord("-"), 0)
    text[:, 1:3] = np.frombuffer(b"0x", np.uint8)
    text[:, 3] = np.where(exponent == 0, ord("0"), ord("1"))
    text[:, 4] = np.where(mantissa != 0, ord("."), 0)
    text[:, 5:11] = np.where(significant, _HEX[digits], 0)
    text[:, 11] = ord("p")
    text[:, 12:16] = _EXPONENTS[np.maximum(exponent, 1)]  # a subnormal has the least normal one's exponent
    text[:, 16] = ord("f")
    text[bits << 1 == 0, 1:] = np.frombuffer(b"0.0f".ljust(16, b"\0"), np.uint8)
    text[np.isinf(values), 1:] = np.frombuffer(b"INFINITY".ljust(16, b"\0"), np.uint8)
    return text
