"""Alignment of everything in the arena."""

from __future__ import annotations

ALIGNMENT = 16  # bytes: a NEON or half an AVX register, and any element type


def aligned(size: int) -> int:
    """The next multiple of ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT
