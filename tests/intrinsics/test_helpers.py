"""Every helper's C against its meaning, on the cores that run it: one program a core, all helpers in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Array
from mbgen.intrinsics import HELPERS, Helper, closure
from mbgen.intrinsics.dsp import TILES
from mbgen.intrinsics.scalar import pair
from mbgen.kernel import VectorType
from mbgen.running import run_program
from mbgen.target import Target
from tests.support.compilers import STRICT, call
from tests.support.tools import require_target

Random = np.random.Generator
# the others have tests of their own
ELSEWHERE = ("gemm_", "depthwise_", "byte_", "copy_bytes", "packed_run_", "conv_", "gather_", "image_", "row_")
ELEMENTWISE = [k for k in HELPERS if not k.startswith(ELSEWHERE) and not k.endswith("@mve") and k not in TILES]
Arguments = tuple[Array, ...]

VALUES = 960  # for each helper, edges included: a multiple of every number of lanes
INT32_EDGES = (
    -(2**31),
    -(2**31) + 1,
    -(2**30),
    -129,
    -128,
    -2,
    -1,
    0,
    1,
    2,
    127,
    128,
    255,
    2**30,
    2**31 - 2,
    2**31 - 1,
)
C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
}
NUMPY_TYPES = {spelling: name for name, spelling in C_TYPES.items()} | {
    "i16": "int16",
    "i32": "int32",
    "f32": "float32",
}
VECTOR_NAMES = {"int16": "i16", "int32": "i32", "float32": "f32"}
TOLERANCE = {"expf": 1e-6, "exp_f32x8@avx2": 3e-7}  # relative


# --- what the helpers are tried on ---------------------------------------------------------------------------------


def mixed(rng: Random, edges: Iterable[float], others: Array) -> Array:
    """The edges, then random values, in an order of their own for each argument."""
    values = np.concatenate([np.array(list(edges), others.dtype), others])[: len(others)]
    return rng.permutation(values)


def integers(rng: Random, low: int = -(2**31), high: int = 2**31 - 1) -> Array:
    """int32 values of all magnitudes, with the edges that lie in the range."""
    signs = rng.choice([-1, 1], VALUES)
    magnitudes = np.exp2(rng.uniform(0, 31, VALUES)).astype(np.int64)
    others = np.where(rng.random(VALUES) < 0.5, rng.integers(low, high, VALUES, endpoint=True), signs * magnitudes)
    edges = [edge for edge in (*INT32_EDGES, low, high) if low <= edge <= high]
    return mixed(rng, edges, np.clip(others, low, high).astype(np.int32))


def floats(rng: Random, low: float, high: float) -> Array:
    """float32 values, among them integers, halves and their neighbours."""
    halves = rng.integers(round(2 * low), round(2 * high), VALUES, endpoint=True) / np.float32(2)
    others = rng.choice([*halves, *np.nextafter(halves, np.float32(np.inf)), *rng.uniform(low, high, VALUES)], VALUES)
    return mixed(rng, (0.0, 0.5, -0.5, 1.5, -1.5, 2.5, low, high), np.clip(others, low, high).astype(np.float32))


def multipliers(rng: Random) -> Array:
    """What `numerics.quantize_multiplier` gives: [2^30, 2^31), or 0."""
    return mixed(rng, (0, 2**30, 2**31 - 1), rng.integers(2**30, 2**31, VALUES).astype(np.int32))


def ordered(a: Array, b: Array) -> Arguments:
    return np.minimum(a, b), np.maximum(a, b)


def two_floats(rng: Random) -> Arguments:
    return floats(rng, -1e6, 1e6), floats(rng, -1e6, 1e6)


def two_integers(rng: Random) -> Arguments:
    return integers(rng), integers(rng)


def requantized(rng: Random) -> Arguments:
    """Sums whose rounding does not leave int32, which lowering makes sure of for every layer."""
    acc, multiplier = integers(rng), multipliers(rng)
    shift = mixed(rng, (1, 30, 31), rng.integers(1, 31, VALUES).astype(np.int32))
    ties = rng.random(VALUES) < 0.25  # which fall on a half exactly
    halves = (2 * rng.integers(-128, 128, VALUES) + 1) << shift.astype(np.int64)
    acc[ties], multiplier[ties] = np.clip(halves, -(2**31), 2**31 - 1)[ties], 2**30
    product = np.abs(acc.astype(np.int64) * multiplier) >> 31
    shift[product + (np.int64(1) << (shift - 1)) >= 2**31] = 1
    return acc, multiplier, shift


def requantized_wide(rng: Random) -> Arguments:
    return integers(rng), multipliers(rng), mixed(rng, (-31, -1, 0, 1, 31), rng.integers(-31, 32, VALUES, np.int32))


def requantized_single(rng: Random) -> Arguments:
    """Multipliers and shifts whose products fit int64, as `numerics.single_rounding` gives them."""
    acc, shift = integers(rng), mixed(rng, (1, 31, 62), rng.integers(1, 63, VALUES).astype(np.int32))
    magnitude = np.maximum(np.abs(acc.astype(float)), 1)
    result = np.exp2(rng.uniform(-8, 34, VALUES))
    return acc, np.minimum(result / magnitude * np.exp2(shift), np.exp2(61) / magnitude).astype(np.int64), shift


def scaled(rng: Random) -> Arguments:
    acc = integers(rng, -(2**24), 2**24)
    scale = np.abs(rng.uniform(-128, 128, VALUES) / np.maximum(np.abs(acc), 1)).astype(np.float32)
    ties = rng.random(VALUES) < 0.25  # halves, which go to the even neighbour
    acc[ties], scale[ties] = rng.integers(-600, 600, VALUES)[ties], 0.5
    low, high = ordered(*(rng.integers(-255, 256, VALUES).astype(np.float32) for _ in range(2)))
    return acc, scale, low, high


def averages(rng: Random) -> Arguments:
    count = mixed(rng, (1, 2, 3, 49), rng.integers(1, 5000, VALUES).astype(np.int32))
    return (rng.integers(-128, 256, VALUES, np.int32) * count + rng.integers(-count, count)).astype(np.int32), count


def softmax_scales(rng: Random) -> Arguments:
    shift = mixed(rng, (1, 31, 34), rng.integers(1, 35, VALUES).astype(np.int32))
    return integers(rng, 0), integers(rng, 2**30), shift


def pairs(rng: Random) -> Array:
    """Two int16 of at most nine bits and a sign, as kernels make them of bytes."""
    low, high = rng.integers(-510, 511, (2, VALUES))
    return pair(low, high)


def bytes_of(dtype: str) -> Callable[[Random], Arguments]:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return lambda rng: (mixed(rng, (low, -1 if low else 128, 0, high), rng.integers(low, high, VALUES, dtype, True)),)


def zero_points(dtype: str) -> Callable[[Random], Arguments]:
    return lambda rng: (bytes_of(dtype)(rng)[0].astype(np.int32),)


def masked_pairs(dtype: str) -> Callable[[Random], Arguments]:
    masks = np.array([0, -1, 0xFFFF, -0x10000], np.int32)
    return lambda rng: (
        *bytes_of(dtype)(rng),
        *bytes_of(dtype)(rng),
        *zero_points(dtype)(rng),
        rng.choice(masks, VALUES),
    )


def integers_of(dtype: str) -> Callable[[Random], Arguments]:
    return lambda rng: (bytes_of(dtype)(rng)[0].astype(np.int32),)


def levelled(rng: Random) -> Arguments:
    """Sums, multipliers and addends whose parts stay in int32, and any shift."""
    addend = rng.integers(-(2**29), 2**29, VALUES).astype(np.int32)
    return integers(rng), multipliers(rng), addend, rng.integers(1, 25, VALUES).astype(np.int32)


ARGUMENTS: Mapping[str, Callable[[Random], Arguments]] = {
    "min_i32": two_integers,
    "max_i32": two_integers,
    "min_f32": two_floats,
    "max_f32": two_floats,
    "clamp_i32": lambda rng: (integers(rng), *ordered(integers(rng), integers(rng))),
    "clamp_f32": lambda rng: (floats(rng, -300, 300), *ordered(floats(rng, -300, 300), floats(rng, -300, 300))),
    "requantize_i32": requantized,
    "requantize_wide_i32": requantized_wide,
    "requantize_single_i32": requantized_single,
    "multiply_f32": two_floats,
    "load_f32": lambda rng: (floats(rng, -300, 300),),
    "store_f32": lambda rng: (floats(rng, -300, 300),),
    "clamp_store_f32": lambda rng: (floats(rng, -300, 300), *ordered(floats(rng, -300, 300), floats(rng, -300, 300))),
    "multiply_add_f32": lambda rng: (floats(rng, -1e3, 1e3), floats(rng, -1e3, 1e3), floats(rng, -1e3, 1e3)),
    "round_even_f32": lambda rng: (floats(rng, -(2.0**22) + 1, 2.0**22 - 1),),
    "round_away_f32": lambda rng: (floats(rng, -(2.0**30), 2.0**30),),
    "scale_round_i32": scaled,
    "average_i32": averages,
    "level_i32": levelled,
    "leading_zeros_i32": lambda rng: (integers(rng, 1),),
    "reciprocal_i32": lambda rng: (integers(rng, 0),),
    "softmax_scale_i32": softmax_scales,
    "expf": lambda rng: (floats(rng, -80, 80),),
    "exp_f32": lambda rng: (floats(rng, -120, 100),),
    "splat_f32": lambda rng: (floats(rng, -300, 300),),
    "splat_i32": lambda rng: (integers(rng),),
    "widen_i8": bytes_of("int8"),
    "pair_at_i8": lambda rng: (np.concatenate([*bytes_of("int8")(rng), *bytes_of("int8")(rng)]),),
    "pair_at_u8": lambda rng: (np.concatenate([*bytes_of("uint8")(rng), *bytes_of("uint8")(rng)]),),
    "pair_at_i16": lambda rng: (rng.integers(-510, 511, 2 * VALUES).astype(np.int16),),
    "pair_i8": masked_pairs("int8"),
    "pair_u8": masked_pairs("uint8"),
    "center_i8": lambda rng: (*bytes_of("int8")(rng), *zero_points("int8")(rng)),
    "center_u8": lambda rng: (*bytes_of("uint8")(rng), *zero_points("uint8")(rng)),
    "dot_pair_i32": lambda rng: (integers(rng), pairs(rng), pairs(rng)),
    "widen_u8": bytes_of("uint8"),
    "narrow_i8": integers_of("int8"),
    "narrow_u8": integers_of("uint8"),
}


# --- C that runs them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signature:
    """A helper's C signature; `result` and the parameters' types are C's, less `name_`."""

    lanes: int
    result: str
    parameters: tuple[str, ...]  # "int32_t", "i32x4", "const int8_t *", ...

    @property
    def narrows(self) -> bool:
        return self.result == "void"


def signature(helper: Helper) -> Signature:
    if helper.name == "expf":
        return Signature(1, "float", ("float",))
    found = re.search(r"static NAME_INLINE (\w+) name_\w+\(([^)]*)\)", helper.source)
    assert found is not None, helper.name
    parameters = tuple(re.sub(r"\w+$", "", part).strip() for part in found[2].replace("name_", "").split(","))
    lanes = re.search(r"x(\d+)$", helper.name)
    return Signature(int(lanes[1]) if lanes else 1, found[1].replace("name_", ""), parameters)


def element(c_type: str) -> str:
    """NumPy's name for the element of a C type."""
    return NUMPY_TYPES[re.sub(r"x\d+$|const | ?\*", "", c_type)]


def array(name: str, values: Array) -> str:
    def literal(value: Array) -> str:
        if values.dtype == np.float32:
            return f"{float(value).hex()}F"
        return f"{int(value)}LL" if values.dtype == np.int64 else f"(int32_t){int(value)}LL"

    text = ", ".join(map(literal, values))
    return f"static const {C_TYPES[str(values.dtype)]} {name}[{len(values)}] = {{{text}}};\n"


def trial(key: str, index: int, prefix: str) -> str:
    """A C function that counts the values on which a helper and its meaning differ, and prints the first."""
    helper, rng = HELPERS[key], np.random.default_rng(index)
    form, arguments = signature(helper), list(ARGUMENTS[base(key)](rng))
    pointers = [position for position, c_type in enumerate(form.parameters) if c_type.endswith("*")]
    groups, lanes = VALUES // form.lanes, form.lanes
    inputs = [c_type for c_type in form.parameters if not (form.narrows and c_type.endswith("*"))]
    uniform = [lanes > 1 and c_type in C_TYPES.values() for c_type in inputs]
    arguments = [values[:groups] if one else values for values, one in zip(arguments, uniform, strict=True)]
    spread = [np.repeat(values, lanes) if one else values for values, one in zip(arguments, uniform, strict=True)]
    result = element(form.parameters[0] if form.narrows else form.result)
    expected = helper.meaning(*spread).astype(result)

    def passed(number: int, c_type: str) -> str:
        if c_type.endswith("*"):
            return f"&a{number}[i * {lanes * helper.strides.get(number, 1)}]"
        if lanes > 1 and not uniform[number]:
            return f"*(const {prefix}_{c_type}_u *)(const void *)&a{number}[i * {lanes}]"
        return f"a{number}[i]"

    call_text = ", ".join(passed(number, c_type) for number, c_type in enumerate(inputs))
    name = helper.name if helper.name == "expf" else f"{prefix}_{helper.name}"
    if form.narrows:
        assert pointers == [0]
        compute = f"{name}(result, {call_text});"
    elif lanes > 1:
        compute = f"*({prefix}_{form.result}_u *)(void *)result = {name}({call_text});"
    else:
        compute = f"result[0] = {name}({call_text});"
    tolerance = TOLERANCE.get(key)
    differs = "result[lane] != expected[i * LANES + lane]".replace("LANES", str(lanes))
    if tolerance is not None:
        wanted = f"expected[i * {lanes} + lane]"
        differs = f"fabsf(result[lane] - {wanted}) > {tolerance}F * {wanted}"
    return (
        f"static void test_{index}(void)\n{{\n"
        + "".join(array(f"a{number}", values) for number, values in enumerate(arguments))
        + array("expected", expected)
        + f"""\
    int32_t wrong = 0, first = -1;

    for (int32_t i = 0; i < {groups}; i++) {{
        {C_TYPES[result]} result[{lanes}];

        {compute}
        for (int32_t lane = 0; lane < {lanes}; lane++) {{
            if ({differs}) {{
                first = wrong == 0 ? i * {lanes} + lane : first;
                wrong++;
            }}
        }}
    }}
    print_number("{key}", wrong);
    print_number(" wrong, the first at", first);
    harness_print("\\n");
}}
"""
    )


SUPPORT = """
static void print_number(const char *label, int32_t number)
{
    char text[12];
    int32_t place = 11;
    int32_t rest = number < 0 ? -number : number;

    text[place] = 0;
    do {
        text[--place] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        text[--place] = '-';
    }
    harness_print(label);
    harness_print(" ");
    harness_print(text + place);
}
"""


def base(key: str) -> str:
    """The scalar operation behind a key: `clamp_i32x8@avx2` is `clamp_i32`."""
    return re.sub(r"(x\d+)?(@\w+)?$", "", key)


def keys_of(instruction_set: str) -> list[str]:
    """The helpers of one file of intrinsics; "portable" for those that run everywhere."""
    return [key for key in ELEMENTWISE if (key.partition("@")[2] or "portable") == instruction_set]


def definitions(keys: Iterable[str], prefix: str) -> str:
    """The helpers, what they require, and the macros and vector types that a library gives them."""
    used = closure(keys)
    vectors: set[VectorType] = {vector for key in used for vector in HELPERS[key].vectors}
    lines = [f"#define {prefix.upper()}_INLINE inline __attribute__((always_inline))"]
    for vector in sorted(vectors):
        name, item = f"{prefix}_{VECTOR_NAMES[vector.element]}x{vector.lanes}", np.dtype(vector.element).itemsize
        lines.append(f"typedef {C_TYPES[vector.element]} {name} __attribute__((vector_size({item * vector.lanes})));")
        lines.append(f"typedef {name} {name}_u __attribute__((aligned({item}), may_alias));")
    return "\n".join(lines) + "\n" + "\n".join(HELPERS[key].text(prefix) for key in used)


def headers(keys: Iterable[str]) -> str:
    names = {"stdint.h", *(header for key in closure(keys) for header in HELPERS[key].headers)}
    return "".join(f"#include <{name}>\n" for name in sorted(names))


def program(groups: Mapping[str, list[str]]) -> str:
    """`main` for the helpers of each group, whose names C tells apart by the group's prefix."""
    keys = [key for group in groups.values() for key in group]
    parts = [headers(keys), "#include <math.h>\n", '#include "harness.h"\n', SUPPORT]
    parts += [definitions(group, prefix) for prefix, group in groups.items()]
    parts += [trial(key, keys.index(key), prefix) for prefix, group in groups.items() for key in group]
    calls = "".join(f"    test_{index}();\n" for index in range(len(keys)))
    return "".join([*parts, f"int main(void)\n{{\n{calls}    return 0;\n}}\n"])


def empty_library(target: Target, folder: Path) -> Path:
    """As much of a library as `run_program` needs to know the target."""
    (folder / "manifest.json").write_text(
        json.dumps({"name": "helpers", "target": {"name": target.name, "c_flags": list(target.c_flags)}})
    )
    return folder


# --- the tests -----------------------------------------------------------------------------------------------------


def test_every_helper_has_values_to_be_tried_on() -> None:
    assert {base(key) for key in ELEMENTWISE} == set(ARGUMENTS)


@pytest.mark.parametrize(
    ("name", "instruction_sets"),
    [("host", ("avx2",)), ("cortex-a72", ("neon",)), ("cortex-m4", ())],
)
def test_c_computes_what_the_meaning_says(name: str, instruction_sets: tuple[str, ...], tmp_path: Path) -> None:
    target = require_target(name)
    groups = {"portable": keys_of("portable")}
    groups |= {isa: keys_of(isa) for isa in instruction_sets if isa in target.instruction_set}
    printed = run_program([empty_library(target, tmp_path)], program(groups), ["-Wno-psabi"])
    keys = [key for group in groups.values() for key in group]
    assert printed.splitlines() == [f"{key} 0 wrong, the first at -1" for key in keys]


@pytest.mark.parametrize(
    ("compiler", "flags", "instruction_sets"),
    [
        ("gcc", ("-march=x86-64-v3",), ("portable", "avx2")),
        ("clang", ("-march=x86-64-v3",), ("portable", "avx2")),
        ("gcc", (), ("portable",)),
        ("aarch64-linux-gnu-gcc", ("-mcpu=cortex-a72",), ("portable", "neon")),
        ("arm-none-eabi-gcc", ("-mcpu=cortex-m4", "-mthumb"), ("portable",)),
    ],
)
def test_helpers_compile_without_a_warning(
    compiler: str, flags: tuple[str, ...], instruction_sets: tuple[str, ...], tmp_path: Path
) -> None:
    groups = {isa: keys_of(isa) for isa in instruction_sets}
    text = headers(key for group in groups.values() for key in group)
    (tmp_path / "helpers.h").write_text(text + "".join(definitions(keys, isa) for isa, keys in groups.items()))
    (tmp_path / "user.c").write_text(
        '#include "helpers.h"\n\nint32_t user(void);\n\nint32_t user(void) { return 0; }\n'
    )
    call([compiler, "-std=c99", *flags, *STRICT, "-Wno-psabi", "-fsyntax-only", tmp_path / "user.c"])


def test_a_helper_follows_all_that_it_requires() -> None:
    order = closure(HELPERS)
    assert sorted(order) == sorted(HELPERS)
    for place, key in enumerate(order):
        assert set(HELPERS[key].requires) <= set(order[:place]), key


@pytest.mark.parametrize("key", ELEMENTWISE)
def test_declarations_agree_with_the_source(key: str) -> None:
    """What `requires`, `vectors` and `uniform` say is what the C text uses."""
    helper = HELPERS[key]
    form = signature(helper)
    if helper.source:
        called = set(re.findall(r"name_(\w+)\(", helper.source)) - {helper.name}
        assert called == {HELPERS[required].name for required in helper.requires}
        used = {VectorType(element(name), int(name.partition("x")[2])) for name in vector_names(helper.source)}
        assert used == helper.vectors
    addresses = {place for place, c_type in enumerate(form.parameters) if c_type.endswith("*")}
    if not (base(key).startswith("widen") or form.narrows):  # which loads and stores are printed as
        assert set(helper.strides) == addresses
    if form.lanes > 1 and not base(key).startswith(("splat", "widen", "narrow")):
        scalars = [place for place, c_type in enumerate(form.parameters) if c_type in C_TYPES.values()]
        assert tuple(scalars) == helper.uniform


def vector_names(source: str) -> set[str]:
    return set(re.findall(r"name_([if]\d+x\d+)\b", source))
