"""The C text of small TIR functions, to the letter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from tvm import tirx
from tvm.script.ir_builder import IRBuilder

from mbgen.intrinsics import HELPERS
from mbgen.kernel import VectorType
from mbgen.lowering.builder import T, build, constant, parameter, run
from mbgen.lowering.printer import LINE, Printed, PrinterError, float_literal, print_body, wrap
from mbgen.lowering.tir import helper

Expression = Callable[[Any, Any], Any]
Vectors = Callable[[Any, Any, Any], Any]


def printed(value: Expression, dtype: str = "int32", result: str | None = None) -> str:
    """The C of `value(x, i)`, x a buffer of `dtype` and i a loop over 0 .. 7, where it is stored in y[i]."""

    def body() -> None:
        x = parameter("x", (64,), dtype)
        y = parameter("y", (64,), result or dtype)
        with T.serial(0, 8) as i:
            IRBuilder.name("i", i)
            T.buffer_store(y, value(x, i), [i])

    opening, statement, closing = print_body(build(body), "net", ()).body.splitlines()
    assert (opening, closing) == ("    for (int32_t i = 0; i < 8; i++) {", "    }")
    found = re.fullmatch(r" {8}y\[i\] = (.*);", statement)
    assert found is not None, statement
    return found[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda a, b, c: a + b + c, "x[i] + x[i + 1] + x[i + 2]"),
        (lambda a, b, c: a + (b + c), "x[i] + (x[i + 1] + x[i + 2])"),
        (lambda a, b, c: a - (b - c), "x[i] - (x[i + 1] - x[i + 2])"),
        (lambda a, b, c: a - b - c, "x[i] - x[i + 1] - x[i + 2]"),
        (lambda a, b, c: (a + b) * c, "(x[i] + x[i + 1]) * x[i + 2]"),
        (lambda a, b, c: a + b * c, "x[i] + x[i + 1] * x[i + 2]"),
        (lambda a, b, c: a * (b * c), "x[i] * (x[i + 1] * x[i + 2])"),
        (lambda a, b, c: tirx.Select(a < b, b, c), "x[i] < x[i + 1] ? x[i + 1] : x[i + 2]"),
        (lambda a, b, c: tirx.Select(a < b, b, c) + a, "(x[i] < x[i + 1] ? x[i + 1] : x[i + 2]) + x[i]"),
        (
            lambda a, b, c: tirx.if_then_else(a >= b, a, tirx.if_then_else(b != c, b, c)),
            "x[i] >= x[i + 1] ? x[i] : x[i + 1] != x[i + 2] ? x[i + 1] : x[i + 2]",
        ),
        (
            lambda a, b, c: tirx.Select(tirx.all(a <= b, b > c), a, b),
            "x[i] <= x[i + 1] && x[i + 1] > x[i + 2] ? x[i] : x[i + 1]",
        ),
        (
            lambda a, b, c: tirx.Select(tirx.any(tirx.all(a == b, b == c), a < c), a, b),
            "(x[i] == x[i + 1] && x[i + 1] == x[i + 2]) || x[i] < x[i + 2] ? x[i] : x[i + 1]",
        ),
        (
            lambda a, b, c: tirx.Select(tirx.all(tirx.any(a < b, b < c), tirx.Not(a < c)), a, b),
            "(x[i] < x[i + 1] || x[i + 1] < x[i + 2]) && !(x[i] < x[i + 2]) ? x[i] : x[i + 1]",
        ),
        (lambda a, b, c: tirx.min(a, tirx.max(b, c)), "net_min_i32(x[i], net_max_i32(x[i + 1], x[i + 2]))"),
        (lambda a, b, c: tirx.shift_left(a + b, c), "(x[i] + x[i + 1]) << x[i + 2]"),
        (lambda a, b, c: tirx.shift_left(a, b) - c, "(x[i] << x[i + 1]) - x[i + 2]"),
    ],
)
def test_precedence(value: Vectors, expected: str) -> None:
    assert printed(lambda x, i: value(x[i], x[i + 1], x[i + 2])) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda x, i: x[i] + constant(-3, "int32"), "x[i] - 3"),
        (lambda x, i: x[i] - constant(-3, "int32"), "x[i] - -3"),
        (lambda x, i: constant(-3, "int32") - x[i], "-3 - x[i]"),
        (lambda x, i: x[i] * constant(-3, "int32"), "x[i] * -3"),
        (lambda x, i: constant(-3, "int32"), "-3"),
        (lambda x, i: x[i].astype("int64") + constant(1 << 40, "int64"), "(int64_t)x[i] + (int64_t)1099511627776"),
        (lambda x, i: x[i].astype("int64") * constant(-5, "int64"), "(int64_t)x[i] * -(int64_t)5"),
    ],
)
def test_negative_and_wide_constants(value: Expression, expected: str) -> None:
    assert printed(value, result="int64" if "int64" in expected else "int32") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda x, i: tirx.floordiv(i, 3), "i / 3"),
        (lambda x, i: tirx.floormod(i, 3), "i % 3"),
        (lambda x, i: tirx.floordiv(i * 5 + 2, 3) * 2, "(i * 5 + 2) / 3 * 2"),
        (lambda x, i: tirx.floordiv(x[i], 8), "x[i] >> 3"),
        (lambda x, i: tirx.floordiv(x[i] + 4, 8) + 1, "((x[i] + 4) >> 3) + 1"),
        (lambda x, i: tirx.floordiv(i - 4, 4), "(i - 4) >> 2"),
        (lambda x, i: tirx.floormod(i - 4, 4), "((i - 4) & 3)"),
        (lambda x, i: tirx.floormod(x[i], 16) * 2, "(x[i] & 15) * 2"),
    ],
)
def test_floor_division(value: Expression, expected: str) -> None:
    """C's / and % where the dividend cannot be negative; a shift and a mask, which round down, where it may be."""
    assert printed(value) == expected


@pytest.mark.parametrize(
    ("value", "dtype", "result", "expected"),
    [
        (lambda x, i: x[i].astype("int32") - 5, "int8", "int32", "(int32_t)x[i] - 5"),
        (lambda x, i: (x[i] + x[i + 1]).astype("uint8"), "int32", "uint8", "(uint8_t)(x[i] + x[i + 1])"),
        (lambda x, i: x[i].astype("float32") * constant(0.1, "float32"), "int32", "float32", "(float)x[i] * 0.1F"),
        (lambda x, i: x[i] / constant(3.0, "float32"), "float32", "float32", "x[i] / 3.0F"),
        (lambda x, i: tirx.exp(x[i] - x[0]), "float32", "float32", "expf(x[i] - x[0])"),
        (lambda x, i: tirx.max(x[i], constant(0.0, "float32")), "float32", "float32", "net_max_f32(x[i], 0.0F)"),
        (
            lambda x, i: helper("requantize_i32", "int32", x[i], constant(7, "int32"), constant(1, "int32")),
            "int32",
            "int32",
            "net_requantize_i32(x[i], 7, 1)",
        ),
    ],
)
def test_casts_and_calls(value: Expression, dtype: str, result: str, expected: str) -> None:
    assert printed(value, dtype, result) == expected


# --- statements ----------------------------------------------------------------------------------------------------


def test_statements() -> None:
    def body() -> None:
        x = parameter("x", (64,), "int32")
        y = parameter("y", (64,), "int32")
        with T.serial(0, 8) as i:
            IRBuilder.name("i", i)
            with T.serial(2, 6) as j:
                IRBuilder.name("j", j)
                T.buffer_store(y, y[i] + x[j] * 2, [i])
                T.buffer_store(y, x[j] + y[i], [i])
                T.buffer_store(y, y[i + 1] + x[j], [i])
            with T.If(tirx.all(i >= 1, x[i] < 4)):
                with T.Then():
                    T.buffer_store(y, x[i], [i])
                with T.Else():
                    T.buffer_store(y, x[0], [i])

    assert (
        print_body(build(body), "net", ()).body
        == """\
    for (int32_t i = 0; i < 8; i++) {
        for (int32_t j = 2; j < 6; j++) {
            y[i] += x[j] * 2;
            y[i] = x[j] + y[i];
            y[i] = y[i + 1] + x[j];
        }
        if (i >= 1 && x[i] < 4) {
            y[i] = x[i];
        } else {
            y[i] = x[0];
        }
    }
"""
    )


def test_local_buffers_and_bindings() -> None:
    def body() -> None:
        x = parameter("x", (64,), "int8")
        y = parameter("y", (64,), "int32")
        first = T.alloc_buffer((4,), "int32")
        IRBuilder.name("first", first)
        second = T.alloc_buffer((1,), "float32")
        IRBuilder.name("second", second)
        wide = T.bind(x[3].astype("int32"))
        IRBuilder.name("wide", wide)
        T.buffer_store(first, wide * wide, [2])
        T.buffer_store(second, constant(0.5, "float32"), [0])
        T.buffer_store(y, first[2], [0])

    assert (
        print_body(build(body), "net", ()).body
        == """\
    int32_t first[4];
    float second[1];

    const int32_t wide = (int32_t)x[3];
    first[2] = wide * wide;
    second[0] = 0.5F;
    y[0] = first[2];
"""
    )


# --- vectors -------------------------------------------------------------------------------------------------------


def vectors(value: Vectors, dtype: str, result: str, lanes: int = 8, isa: tuple[str, ...] = ()) -> tuple[str, Printed]:
    """The statement that stores `value(x, i, lanes)` as a vector in y, and all that was printed."""

    def body() -> None:
        x = parameter("x", (64,), dtype)
        y = parameter("y", (64,), result)
        with T.serial(0, 8) as i:
            IRBuilder.name("i", i)
            T.buffer_store(y, value(x, i, lanes), [tirx.Ramp(i * lanes, 1, lanes)])

    output = print_body(build(body), "net", isa)
    return "\n".join(line.strip() for line in output.body.splitlines()[1:-1]), output


def load(x: Any, place: Any, lanes: int) -> Any:
    return x[tirx.Ramp(place, 1, lanes)]


def test_vectors_of_floats() -> None:
    text, output = vectors(
        lambda x, i, lanes: load(x, i * lanes, lanes) * tirx.Broadcast(x[i], lanes) + load(x, i, lanes),
        "float32",
        "float32",
    )
    assert (
        text == "NET_STORE(net_f32x8, &y[i * 8], NET_LOAD(net_f32x8, &x[i * 8]) * x[i] + NET_LOAD(net_f32x8, &x[i]));"
    )
    assert output.vectors == {VectorType("float32", 8)}
    assert output.helpers == frozenset()


def test_bytes_are_widened_and_narrowed_by_helpers() -> None:
    text, output = vectors(
        lambda x, i, lanes: (load(x, i * lanes, lanes).astype(f"int32x{lanes}") + tirx.Broadcast(3, lanes)).astype(
            f"int8x{lanes}"
        ),
        "int8",
        "int8",
        isa=("scalar", "avx2"),
    )
    assert text == "net_narrow_i8x8(&y[i * 8], net_widen_i8x8(&x[i * 8]) + 3);"
    assert output.helpers == {"narrow_i8x8@avx2", "widen_i8x8@avx2"}
    assert output.vectors == {VectorType("int32", 8)}


def test_the_instruction_set_chooses_among_helpers_but_not_their_names() -> None:
    def clamp(x: Any, i: Any, lanes: int) -> Any:
        low, high = (tirx.Broadcast(constant(bound, "int32"), lanes) for bound in (-5, 5))
        return helper("clamp_i32", f"int32x{lanes}", load(x, i, lanes), low, high)

    expected = "NET_STORE(net_i32x4, &y[i * 4], net_clamp_i32x4(NET_LOAD(net_i32x4, &x[i]), -5, 5));"
    for isa, key in ((("neon",), "clamp_i32x4@neon"), ((), "clamp_i32x4"), (("avx2",), "clamp_i32x4")):
        text, output = vectors(clamp, "int32", "int32", 4, isa)
        assert text == expected
        assert output.helpers == {key}


def test_a_vector_of_equal_lanes_is_a_splat() -> None:
    text, output = vectors(lambda x, i, lanes: tirx.Broadcast(x[i], lanes), "float32", "float32", 4)
    assert text == "NET_STORE(net_f32x4, &y[i * 4], net_splat_f32x4(x[i]));"
    assert output.helpers == {"splat_f32x4"}


def test_every_helper_that_is_printed_exists() -> None:
    _, output = vectors(lambda x, i, lanes: tirx.max(load(x, i, lanes), load(x, 0, lanes)), "float32", "float32")
    assert output.helpers == {"max_f32x8"}
    assert output.helpers <= HELPERS.keys()


# --- what has no C -------------------------------------------------------------------------------------------------


def strided(x: Any, i: Any, lanes: int) -> Any:
    return x[tirx.Ramp(i, 2, lanes)]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (lambda x, i: tirx.floordiv(x[i], 3), "int32", "cannot prove the dividend non-negative in a division by 3"),
        (lambda x, i: tirx.floormod(x[i], 3), "int32", "cannot prove the dividend non-negative in a division by 3"),
        (lambda x, i: tirx.truncmod(x[i], x[i + 1]), "int32", "no C for the expression Mod: "),
        (lambda x, i: tirx.sqrt(x[i]), "float32", "no C for a call of tirx.sqrt"),
        (lambda x, i: tirx.min(x[i], x[i + 1]), "int64", "no helper is called min_i64"),
        (lambda x, i: x[i].astype("float64").astype("int32"), "int32", "no C for the type float64"),
        (lambda x, i: constant(float("inf"), "float32"), "float32", "no C literal for inf"),
        (lambda x, i: constant(float("nan"), "float32"), "float32", "no C literal for nan"),
    ],
)
def test_expressions_without_c(value: Expression, dtype: str, message: str) -> None:
    with pytest.raises(PrinterError) as caught:
        printed(value, dtype)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "dtype", "result", "message"),
    [
        (strided, "float32", "float32", "no C for a vector access of stride 2 on x"),
        (
            lambda x, i, n: load(x, i, n).astype(f"float32x{n}"),
            "int32",
            "float32",
            "no C for a vector cast from int32 to float32x8",
        ),
        (lambda x, i, n: tirx.exp(load(x, i, n)), "float32", "float32", "no C for the exponential of a vector"),
        (
            lambda x, i, n: tirx.Select(load(x, i, n) < load(x, 0, n), load(x, i, n), load(x, 0, n)),
            "float32",
            "float32",
            "no C for a choice between vectors",
        ),
        (
            lambda x, i, n: helper("average_i32", f"int32x{n}", load(x, i, n), load(x, 0, n)),
            "int32",
            "int32",
            "no helper is called average_i32x8",
        ),
    ],
)
def test_vectors_without_c(value: Vectors, dtype: str, result: str, message: str) -> None:
    with pytest.raises(PrinterError) as caught:
        vectors(value, dtype, result)
    assert str(caught.value) == message


def a_parallel_loop() -> None:
    y = parameter("y", (64,), "int32")
    with T.parallel(0, 8) as i:
        T.buffer_store(y, i, [i])


def a_value_of_no_use() -> None:
    parameter("y", (64,), "int32")
    T.evaluate(constant(0, "int32"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (a_parallel_loop, "no C for a loop of kind 1"),
        (a_value_of_no_use, "no C for the statement Evaluate of 0"),
    ],
)
def test_statements_without_c(body: Callable[[], None], message: str) -> None:
    with pytest.raises(PrinterError) as caught:
        print_body(build(body), "net", ())
    assert str(caught.value) == message


# --- text ----------------------------------------------------------------------------------------------------------


def test_short_statements_are_not_wrapped() -> None:
    text = "x" * (LINE - 8)
    assert wrap(text, 2) == [f"        {text}"]


def test_lines_break_at_the_outermost_space_and_behind_an_operator() -> None:
    text = f"place[{'a' * 40}] = first({'b' * 30}, {'c' * 10}) + second({'d' * 40});"
    assert wrap(text, 1) == [
        f"    place[{'a' * 40}] = first({'b' * 30}, {'c' * 10}) +",
        f"        second({'d' * 40});",
    ]
    text = f"place[{'a' * 40}] = first({'b' * 40}, {'c' * 40});"
    assert wrap(text, 1) == [f"    place[{'a' * 40}] =", f"        first({'b' * 40}, {'c' * 40});"]
    text = f"sum += first({'a' * 60}) * ({'b' * 20} + {'c' * 20});"
    assert wrap(text, 1) == [f"    sum += first({'a' * 60}) *", f"        ({'b' * 20} + {'c' * 20});"]


def test_arguments_break_where_nothing_further_out_fits() -> None:
    text = f"{'call' * 20}({'a' * 20}, {'b' * 20}, {'c' * 20});"
    assert wrap(text, 1) == [f"    {'call' * 20}({'a' * 20},", f"        {'b' * 20}, {'c' * 20});"]


def test_a_long_word_leaves_the_line_and_the_rest_is_wrapped() -> None:
    text = f"{'a' * 150} + {'b' * 40} + {'c' * 90}"
    assert wrap(text, 0) == [f"{'a' * 150} +", f"    {'b' * 40} +", f"    {'c' * 90}"]
    assert wrap("a" * 150, 0) == ["a" * 150]


@pytest.mark.parametrize("depth", [0, 1, 7])
def test_wrapping_changes_white_space_only(depth: int) -> None:
    text = " + ".join(f"f{i}(x[{i} * 3 - 1], -{i}) * y[{i}]" for i in range(40)) + ";"
    lines = wrap(text, depth)
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= LINE for line in lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0F"),
        (-1.0, "-1.0F"),
        (0.1, "0.1F"),
        (1e-20, "1e-20F"),
        (3.4028234663852886e38, "3.4028235e+38F"),
        (1.401298464324817e-45, "1e-45F"),
    ],
)
def test_float_literals_are_the_shortest_that_read_back(value: float, text: str) -> None:
    assert float_literal(value) == text


def test_threads_share_the_outermost_loops_and_have_what_one_of_them_uses_alone() -> None:
    def body() -> None:
        x = parameter("x", (8,), "int32")
        y = parameter("y", (8,), "int32")
        both, alone = (T.alloc_buffer((8,), "int32") for _ in range(2))
        for name, buffer in (("both", both), ("alone", alone)):
            IRBuilder.name(name, buffer)
        with T.serial(0, 8) as i:
            IRBuilder.name("i", i)
            T.buffer_store(both, x[i], [i])
        with T.serial(0, 8) as i:
            IRBuilder.name("i", i)
            T.buffer_store(alone, both[i], [i])
            T.buffer_store(y, alone[i], [i])

    function = build(body)
    lines = print_body(function, "net", (), parallel=True).body.splitlines()
    assert [line.strip() for line in lines if "PARALLEL" in line] == ["NET_PARALLEL()", "NET_PARALLEL(private(alone))"]
    assert [line for line in lines if "PARALLEL" not in line] == print_body(function, "net", ()).body.splitlines()


def called(name: str, *arguments: int) -> str:
    """The C of a call of helper `name` on two buffers from their beginning, and numbers."""

    def body() -> None:
        x = parameter("x", (64,), "int8")
        y = parameter("y", (64,), "int32")
        run(name, tirx.address_of(y[0]), tirx.address_of(x[8]), *arguments)

    return " ".join(print_body(build(body), "net", ("dsp",)).body.split())


def test_where_a_helper_takes_many_numbers_each_is_named() -> None:
    assert called("byte_triples_s8", 8, 9, 10, 0) == (
        "net_byte_triples_s8(y, &x[8], /*pitch=*/8, /*k=*/9, /*triples=*/10, /*skip=*/0);"
    )
    assert called("row_words_s8", 16) == "net_row_words_s8(y, &x[8], 16);"


def test_parameters_are_those_of_the_c_function() -> None:
    triples = next(one for key, one in HELPERS.items() if key.partition("@")[0] == "byte_triples_s8")
    assert triples.parameters == ("y", "x", "pitch", "k", "triples", "skip")
    assert [key for key, one in HELPERS.items() if not one.parameters] == ["expf"]
