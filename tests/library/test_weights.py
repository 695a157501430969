from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mbgen.graph import Array
from mbgen.library.weights import initializer
from tests.support.compilers import call

SPECIAL = np.array(
    [0.0, -0.0, np.inf, -np.inf, 1.0, -1.0, 0.5, 0.1, 1e-45, -1e-40, 2.0**-126, 3.4028235e38, 1.5, 2.0**-127],
    np.float32,
)


def read_back(text: str) -> list[float]:
    """The values of an initialiser, by Python's own parsers."""
    words = [word.strip() for word in text.split(",")][:-1]
    return [float.fromhex(word.removesuffix("f").replace("INFINITY", "inf")) for word in words]


def floats_from_bits(bits: Array) -> Array:
    values: Array = bits.view(np.float32)
    return values[~np.isnan(values)]


@given(arrays(np.uint32, st.integers(1, 60)).map(floats_from_bits).filter(lambda values: values.size > 0))
def test_floats_read_back_to_the_same_bits(values: Array) -> None:
    assert np.array(read_back(initializer(values)), np.float32).tobytes() == values.tobytes()


@given(arrays(st.sampled_from([np.int8, np.uint8, np.int32, np.int64]), st.integers(1, 200)))
def test_integers_read_back(values: Array) -> None:
    assert [int(word) for word in initializer(values).split(",")[:-1]] == values.tolist()


def test_floats_as_they_are_spelled() -> None:
    assert initializer(SPECIAL[:12]) == (
        "    0.0f, -0.0f, INFINITY, -INFINITY,\n"
        "    0x1p+0f, -0x1p+0f, 0x1p-1f, 0x1.99999ap-4f,\n"
        "    0x0.000002p-126f, -0x0.022d84p-126f, 0x1p-126f, 0x1.fffffep+127f,\n"
    )


def test_integers_as_they_are_spelled() -> None:
    assert initializer(np.array([1, -128, 127, 0], np.int8)) == "       1, -128,  127,    0,\n"
    assert initializer(np.array([-(2**31), 2**31 - 1], np.int32)) == "    -2147483648,  2147483647,\n"
    assert initializer(np.array([2**62], np.int64)) == "    4611686018427387904,\n"
    assert initializer(np.array([7], np.uint8)) == "    7,\n"


@pytest.mark.parametrize("count", [1, 15, 16, 17, 65535, 65536, 65537, 200001])
def test_lines_hold_a_power_of_two_of_elements_and_fit(count: int) -> None:
    for values, per_line in ((np.arange(count).astype(np.int8), 16), (np.full(count, 0.1, np.float32), 4)):
        lines = initializer(values).splitlines()
        assert max(map(len, lines)) <= 120
        assert not any(line.endswith(" ") for line in lines)
        if count > 128:  # int8 then needs its full width
            assert {line.count(",") for line in lines[:-1]} == {per_line}
        assert sum(line.count(",") for line in lines) == count


@pytest.mark.parametrize("compiler", [["gcc", "-std=c99"], ["clang", "-std=c99"], ["g++", "-x", "c++", "-std=c++17"]])
def test_compilers_read_the_same_bits(compiler: list[str], tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    floats = floats_from_bits(random.integers(0, 2**32, 500, np.uint32))
    expected = np.concatenate([SPECIAL, floats])
    source = tmp_path / "floats.c"
    source.write_text(
        "#include <math.h>\n#include <stdio.h>\n"
        f"static const float values[] = {{\n{initializer(expected)}}};\n"
        "int main(void) { return fwrite(values, sizeof(values), 1, stdout) == 1 ? 0 : 1; }\n"
    )
    program = tmp_path / "floats"
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    call([*compiler, *flags, "-o", program, source])
    assert subprocess.run([str(program)], capture_output=True, check=True).stdout == expected.tobytes()


def test_millions_of_weights_take_seconds_at_most() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=4_200_000).astype(np.float32)
    start = time.process_time()
    text = initializer(weights)
    assert time.process_time() - start < 5
    assert len(re.findall(",", text)) == weights.size
