"""How an image becomes the network's quantised input, for NAME_image.h: the C forms of `mbgen.images.quantize_pixels`.

Knows preprocessing. May not know templates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mbgen.graph import INTEGER_RANGE, Tensor
from mbgen.images import quantize_pixels
from mbgen.library.network import Network
from mbgen.library.text import C_TYPES, comment, float_literal, integer_macro
from mbgen.library.weights import initializer


@dataclass(frozen=True)
class PixelsText:
    """What element `i` of an 8-bit picture becomes, as a C expression, and the table that it reads, if any."""

    preprocess: str
    expression: str
    table: str | None
    table_elements: int


@dataclass(frozen=True)
class ImageText:
    """`low` and `high` bound the quantised value less the zero point; `pixels` is None if no preprocessing is known."""

    low: str
    high: str
    pixels: PixelsText | None


def image_text(network: Network) -> ImageText | None:
    """None for a network that takes real numbers."""
    tensor = network.input
    if tensor.quantization is None:
        return None
    preprocess = network.options.get("preprocess")
    zero_point = tensor.quantization.zero_point[0]
    low, high = INTEGER_RANGE[tensor.dtype]
    return ImageText(
        low=float_literal(low - zero_point),
        high=float_literal(high - zero_point),
        pixels=_pixels(tensor, preprocess) if isinstance(preprocess, str) else None,
    )


def _pixels(tensor: Tensor, preprocess: str) -> PixelsText:
    """Every 8-bit value in every channel through the one definition of preprocessing, so that C and Python agree."""
    channels = tensor.shape[-1]
    levels = np.arange(256, dtype=np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (256, 1, 1, channels))
    quantized = quantize_pixels(pixels, tensor, preprocess).reshape(256, channels)
    offsets = levels[:, None].astype(int) - quantized
    if (offsets == offsets[0, 0]).all():
        expression = f"({C_TYPES[tensor.dtype]})((int32_t)pixels[i] - {integer_macro(int(offsets[0, 0]))})"
        return PixelsText(comment(preprocess), expression, None, 0)
    if (quantized == quantized[:, :1]).all():
        return PixelsText(comment(preprocess), "table[pixels[i]]", initializer(quantized[:, 0]), 256)
    expression = f"table[i % {channels}U * 256U + pixels[i]]"
    return PixelsText(comment(preprocess), expression, initializer(quantized.T.reshape(-1)), channels * 256)
