"""Small pieces of C: types, literals, and comments that nothing can break out of.

Knows C spellings. May not know networks or templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

COLUMNS = 120

C_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "int8": "int8_t",
        "uint8": "uint8_t",
        "int16": "int16_t",
        "uint16": "uint16_t",
        "int32": "int32_t",
        "uint32": "uint32_t",
        "int64": "int64_t",
        "float32": "float",
    }
)

VECTOR_ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        "int8": "i8",
        "uint8": "u8",
        "int16": "i16",
        "uint16": "u16",
        "int32": "i32",
        "uint32": "u32",
        "int64": "i64",
        "float32": "f32",
    }
)


def comment(text: str) -> str:
    """`text` as one line that may stand in any C comment, or in Markdown: printable ASCII that ends nothing.

    A backslash could splice lines, `??/` is a backslash where trigraphs are on, `*/` ends a comment and `/*` is
    warned about inside one.
    """
    printable = re.sub(r"[^ -~]", "_", re.sub(r"\s+", " ", text.strip())).replace("\\", "/")
    return re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", printable)


def float_literal(value: float) -> str:
    """The shortest decimal constant that a C or C++ compiler of any standard reads back as the same float32."""
    return str(np.float32(value)) + "f"


def integer_macro(value: int) -> str:
    """An integer as a macro's replacement: parenthesised where a sign could meet an operator."""
    return str(value) if value >= 0 else f"({value})"


def shape(dimensions: tuple[int, ...]) -> str:
    """A shape without its batch of 1: 48x48x8."""
    return "x".join(map(str, dimensions[1:]))


def joined(head: str, items: Sequence[str], tail: str) -> str:
    """`head`, the items with commas between, `tail`, in lines of at most 120 columns where the items allow it.

    Further lines start under the first item, or eight columns in if `head` takes more than half a line.
    """
    words = [f"{item}," for item in items[:-1]] + [f"{items[-1]}{tail}"]
    line, lines = head + words[0], []
    margin = " " * len(head)
    if len(head) > COLUMNS // 2:
        margin = " " * (len(head) - len(head.lstrip()) + 8)
        if len(f"{head}{' '.join(words)}") > COLUMNS:
            line, lines = margin + words[0], [head]
    for word in words[1:]:
        if len(line) + 1 + len(word) > COLUMNS:
            lines.append(line)
            line = margin + word
        else:
            line += f" {word}"
    return "\n".join([*lines, line])


def wrapped_signatures(functions: str) -> str:
    """C text with the declarations of static functions broken as `joined` breaks them."""

    def wrap(line: str) -> str:
        found = re.fullmatch(r"(static [^(]+\()([^()]+)(\))", line)
        return line if found is None else joined(found[1], found[2].split(", "), found[3])

    return "\n".join(map(wrap, functions.split("\n")))
