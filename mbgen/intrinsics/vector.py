"""Helpers on GCC/Clang vectors in portable form, lane by lane.

The file of an instruction set replaces what the compiler does not make of these.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.scalar import SCALAR
from mbgen.kernel import VectorType

_C_TYPES = {"f32": "float", "i32": "int32_t", "i8": "int8_t", "u8": "uint8_t"}
_ELEMENTS = {"f32": "float32", "i32": "int32", "i8": "int8", "u8": "uint8"}
_MEANINGS = {helper.name: helper.meaning for helper in SCALAR}


def vector(abbreviation: str, lanes: int) -> VectorType:
    """The vector type that C spells `NAME_{abbreviation}x{lanes}`."""
    return VectorType(_ELEMENTS[abbreviation], lanes)


def _lane_by_lane(name: str, vectors: dict[str, str], scalars: dict[str, str], lanes: int) -> Helper:
    """The scalar helper `name` applied to each lane; arguments by name, with their element types.

    The result has the type of the first argument; `scalars` are the same for all lanes.
    """
    first, kind = next(iter(vectors.items()))
    declared = [f"name_{element}x{lanes} {argument}" for argument, element in vectors.items()]
    declared += [f"{_C_TYPES[element]} {argument}" for argument, element in scalars.items()]
    values = [f"{argument}[lane]" for argument in vectors] + list(scalars)
    return Helper(
        f"{name}x{lanes}",
        f"""\
static NAME_INLINE name_{kind}x{lanes} name_{name}x{lanes}({", ".join(declared)})
{{
    name_{kind}x{lanes} result = {first};

    for (int32_t lane = 0; lane < {lanes}; lane++) {{
        result[lane] = name_{name}({", ".join(values)});
    }}
    return result;
}}
""",
        _MEANINGS[name],
        vectors=frozenset(vector(element, lanes) for element in vectors.values()),
        requires=(name,),
        uniform=tuple(range(len(vectors), len(vectors) + len(scalars))),
    )


def _splat(element: str, lanes: int) -> Helper:
    copies = ", ".join(["value"] * lanes)
    return Helper(
        f"splat_{element}x{lanes}",
        f"""\
static NAME_INLINE name_{element}x{lanes} name_splat_{element}x{lanes}({_C_TYPES[element]} value)
{{
    const name_{element}x{lanes} result = {{{copies}}};

    return result;
}}
""",
        np.asarray,
        vectors=frozenset({vector(element, lanes)}),
    )


def widen_meaning(source: Array) -> Array:
    """Bytes as int32."""
    return np.asarray(source).astype(np.int32)


def _widen(element: str, lanes: int) -> Helper:
    return Helper(
        f"widen_{element}x{lanes}",
        f"""\
static NAME_INLINE name_i32x{lanes} name_widen_{element}x{lanes}(const {_C_TYPES[element]} *source)
{{
    name_i32x{lanes} result = {{0}};

    for (int32_t lane = 0; lane < {lanes}; lane++) {{
        result[lane] = (int32_t)source[lane];
    }}
    return result;
}}
""",
        widen_meaning,
        vectors=frozenset({vector("i32", lanes)}),
    )


def narrow_meaning(value: Array) -> Array:
    """int32 values that fit a byte; the test compares their low eight bits."""
    return np.asarray(value).astype(np.int32)


def _narrow(element: str, lanes: int) -> Helper:
    return Helper(
        f"narrow_{element}x{lanes}",
        f"""\
static NAME_INLINE void name_narrow_{element}x{lanes}({_C_TYPES[element]} *target, name_i32x{lanes} value)
{{
    for (int32_t lane = 0; lane < {lanes}; lane++) {{
        target[lane] = ({_C_TYPES[element]})value[lane];
    }}
}}
""",
        narrow_meaning,
        vectors=frozenset({vector("i32", lanes)}),
    )


def portable(lanes: int) -> tuple[Helper, ...]:
    """All vector helpers of one width."""
    pair = {"a": "f32", "b": "f32"}
    fixed_point = {"acc": "i32", "multiplier": "i32", "shift": "i32"}
    low_high = {"low": "f32", "high": "f32"}
    return (
        _splat("f32", lanes),
        _splat("i32", lanes),
        _widen("i8", lanes),
        _widen("u8", lanes),
        _narrow("i8", lanes),
        _narrow("u8", lanes),
        _lane_by_lane("min_f32", pair, {}, lanes),
        _lane_by_lane("max_f32", pair, {}, lanes),
        _lane_by_lane("clamp_i32", {"value": "i32"}, {"low": "i32", "high": "i32"}, lanes),
        _lane_by_lane("clamp_f32", {"value": "f32"}, low_high, lanes),
        _lane_by_lane("requantize_i32", fixed_point, {}, lanes),
        _lane_by_lane("requantize_wide_i32", fixed_point, {}, lanes),
        _lane_by_lane("scale_round_i32", {"acc": "i32", "scale": "f32"}, low_high, lanes),
    )
