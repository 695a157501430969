"""Rounding, multipliers, folded biases and tables against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen import numerics
from mbgen.errors import GraphError
from mbgen.graph import (
    NO_CLAMP,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Logistic,
    Numerics,
    Padding,
    Quantization,
    Requantize,
    Reshape,
    Softmax,
    Tensor,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


def half_away(value: Fraction) -> int:
    """Exact rounding to nearest, half away from zero."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def per_tensor(scale: float, zero_point: int) -> Quantization:
    return Quantization((float(np.float32(scale)),), (zero_point,))


def graph_of(numerics_: Numerics, layer: Layer, *tensors: Tensor) -> Graph:
    return Graph("model", numerics_, {t.name: t for t in tensors}, (layer,), layer.inputs[0], layer.output)


# --- fixed point ---------------------------------------------------------------------------------------------------


@given(st.floats(2.0**-31, 2.0**30, exclude_min=True))
def test_a_multiplier_is_normalised_and_within_half_a_unit(real: float) -> None:
    multiplier, shift = numerics.quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize(
    ("real", "expected"),
    [(0.0, (0, 0)), (1.0, (2**30, 1)), (0.5, (2**30, 0)), (1 - 2.0**-33, (2**30, 1)), (2.0**-33, (0, 0))],
)
def test_multipliers_at_the_edges(real: float, expected: tuple[int, int]) -> None:
    assert numerics.quantize_multiplier(real) == expected


@given(INT32, st.integers(0, 31))
def test_division_by_a_power_of_two_rounds_half_away(x: int, exponent: int) -> None:
    assert int(numerics.rounding_divide_by_pot(np.array(x), exponent)) == half_away(Fraction(x, 2**exponent))


@given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
def test_rescaling_rounds_twice(x: int, multiplier: int, shift: int) -> None:
    high = math.floor(Fraction(x * multiplier, 2**31) + Fraction(1, 2))
    expected = half_away(Fraction(high, 2**-shift))
    assert int(numerics.multiply_by_quantized_multiplier(np.array(x), multiplier, shift)) == expected


@given(st.lists(st.floats(-300, 300, width=32).map(lambda x: round(2 * x) / 2), min_size=1))
def test_round_half_away_is_exact_at_halves(values: list[float]) -> None:
    rounded = numerics.round_half_away(np.array(values, np.float32))
    assert rounded.tolist() == [half_away(Fraction(v)) for v in values]


def test_the_float_just_below_a_half_rounds_to_zero() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert numerics.round_half_away(np.array([below, -below])).tolist() == [0, 0]


# --- scales of a layer ---------------------------------------------------------------------------------------------


def dense(
    weights: Array, bias: Array | None, s_w: tuple[float, ...], zp_x: int, y: Quantization, clamp: Clamp = NO_CLAMP
) -> Graph:
    oc, ic = weights.shape
    axis = 0 if len(s_w) > 1 else None
    tensors = [
        Tensor("input", (1, ic), "int8", per_tensor(0.02, zp_x)),
        Tensor("w", (oc, ic), "int8", Quantization(s_w, (0,) * len(s_w), axis), weights),
        Tensor("y", (1, oc), "int8", y),
    ]
    if bias is not None:
        tensors.append(Tensor("b", (oc,), "int32", None, bias))
    name = None if bias is None else "b"
    layer = Dense(name="y", inputs=("input",), output="y", weights="w", bias=name, clamp=clamp)
    return graph_of(Numerics.TFLITE, layer, *tensors)


@given(
    seed=st.integers(0, 2**32 - 1),
    ic=st.integers(1, 3),
    zp_x=st.integers(-128, 127),
    zp_y=st.integers(-128, 127),
    factor=st.one_of(st.floats(0.01, 40), st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0])),
    low=st.integers(-128, 127),
)
def test_single_rounding_is_the_double_for_every_sum(
    seed: int, ic: int, zp_x: int, zp_y: int, factor: float, low: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (2, ic)).astype(np.int8)
    bias = rng.integers(-3000, 3000, 2).astype(np.int32)
    y = per_tensor(0.02 * 0.01 * factor, zp_y)
    graph = dense(weights, bias, (float(np.float32(0.01)), float(np.float32(0.013))), zp_x, y, Clamp(low, 127))
    assert_single_rounding_is_the_double(graph)


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.125, 1.0, 1.5])
def test_single_rounding_meets_exact_ties_on_both_sides_of_zero(factor: float) -> None:
    weights = np.array([[1, -3], [2, 7]], np.int8)
    assert_single_rounding_is_the_double(dense(weights, None, (factor,), 5, per_tensor(0.02, -7)))


def assert_single_rounding_is_the_double(graph: Graph) -> None:
    (layer,) = graph.layers
    assert isinstance(layer, Dense)
    output = graph.layer_output(layer)
    scale, fast = numerics.output_scale(layer, graph), numerics.single_rounding(layer, graph)
    least, greatest = numerics.sum_range(layer, graph)
    sums = np.arange(least.min(), greatest.max() + 1)[:, np.newaxis]
    exact = numerics.requantize(sums, scale, output, layer.clamp)
    scaled = (sums * fast.multiplier + (1 << (fast.shift.astype(np.int64) - 1))) >> fast.shift
    integer = numerics.saturate(scaled + numerics.zero_point(output), output, layer.clamp)
    inside = (sums >= least) & (sums <= greatest)
    np.testing.assert_array_equal(integer[inside], exact[inside])


@given(seed=st.integers(0, 2**32 - 1), zp_x=st.integers(-128, 127))
def test_sum_range_is_met_by_the_worst_inputs(seed: int, zp_x: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (3, 5)).astype(np.int8)
    graph = dense(weights, None, (0.5,), zp_x, per_tensor(1, 0))
    (layer,) = graph.layers
    assert isinstance(layer, Dense)
    least, greatest = numerics.sum_range(layer, graph)
    for row, lowest, highest in zip(weights.astype(int), least, greatest, strict=True):
        assert sum(w * ((-128 if w > 0 else 127) - zp_x) for w in row) == lowest
        assert sum(w * ((127 if w > 0 else -128) - zp_x) for w in row) == highest


def test_single_rounding_is_refused_where_no_integer_fits() -> None:
    graph = dense(np.ones((1, 1), np.int8), np.array([2**31 - 1], np.int32), (1.0,), 0, per_tensor(2**-40, 0))
    (layer,) = graph.layers
    assert isinstance(layer, Dense)
    with pytest.raises(GraphError) as caught:
        numerics.single_rounding(layer, graph)
    assert str(caught.value) == (
        "y: no integer multiplier rounds the sums of channel 0, 2147483519 to 2147483774, as TFLite's double does; "
        "quantise the layer with a smaller bias"
    )


def test_single_rounding_is_tflites_alone() -> None:
    x, y = Tensor("input", (1, 1), "int8", per_tensor(1, 0)), Tensor("y", (1, 1), "int8", per_tensor(1, 0))
    w = Tensor("w", (1, 1), "int8", per_tensor(1, 0), np.ones((1, 1), np.int8))
    layer = Dense(name="dense_1", inputs=("input",), output="y", weights="w")
    with pytest.raises(GraphError) as caught:
        numerics.single_rounding(layer, graph_of(Numerics.QDQ, layer, x, w, y))
    assert str(caught.value) == "dense_1: QDQ dense layers are not rescaled in double"


def convolution(weights: Tensor, x: Tensor, y: Tensor, bias: Tensor, kind: Numerics) -> tuple[Conv2D, Graph]:
    layer = Conv2D(name="conv_1", inputs=("input",), output="y", weights="w", bias="b")
    return layer, graph_of(kind, layer, x, weights, y, bias)


def test_output_scales_have_an_entry_for_each_channel() -> None:
    x = Tensor("input", (1, 2, 2, 3), "int8", per_tensor(0.25, 3))
    y = Tensor("y", (1, 2, 2, 4), "int8", per_tensor(0.5, -1))
    w = Tensor("w", (4, 1, 1, 3), "int8", per_tensor(0.125, 0), np.ones((4, 1, 1, 3), np.int8))
    b = Tensor("b", (4,), "int32", None, np.zeros(4, np.int32))
    layer, graph = convolution(w, x, y, b, Numerics.TFLITE)
    fixed = numerics.output_scale(layer, graph)
    assert isinstance(fixed, numerics.FixedPoint)
    assert fixed.multiplier.tolist() == [2**30] * 4
    assert fixed.shift.tolist() == [-3] * 4
    scale = numerics.output_scale(*convolution(w, x, y, b, Numerics.QDQ))
    assert isinstance(scale, numerics.FloatScale)
    assert scale.scale.dtype == np.float32
    assert scale.scale.tolist() == [0.0625] * 4


@given(st.integers(0, 2**32 - 1))
def test_folded_bias_stands_for_the_zero_points(seed: int) -> None:
    """On uint8 with weight zero points: both ways of summing give the definition."""
    rng = np.random.default_rng(seed)
    zp_x, zp_w = rng.integers(0, 256, 2)
    shape = (2, 3, 2, 4)
    weights = Tensor("w", shape, "uint8", per_tensor(0.1, int(zp_w)), rng.integers(0, 256, shape).astype(np.uint8))
    x, y = (Tensor(n, (1, *s), "uint8", per_tensor(1, int(zp_x))) for n, s in (("input", (3, 2, 4)), ("y", (1, 1, 2))))
    bias = Tensor("b", (2,), "int32", None, rng.integers(-9999, 9999, 2).astype(np.int32))
    layer, graph = convolution(weights, x, y, bias, Numerics.TFLITE)
    image = rng.integers(0, 256, (1, 3, 2, 4))
    w = graph.constant("w").astype(int)
    definition = ((image - zp_x) * (w - zp_w)).sum(axis=(1, 2, 3)) + graph.constant("b")
    folded = numerics.folded_bias(layer, graph)
    centered = numerics.centered_weights(layer, graph)
    assert folded.dtype == np.int32
    np.testing.assert_array_equal((image * centered).sum(axis=(1, 2, 3)) + folded, definition)
    np.testing.assert_array_equal((image * w).sum(axis=(1, 2, 3)) - zp_w * image.sum() + folded, definition)


def test_folded_bias_of_a_depthwise_layer_is_per_channel() -> None:
    x, y = (Tensor(n, (1, 2, 2, 2), "int8", per_tensor(1, 10)) for n in ("input", "y"))
    values = np.array([[[1, -2]], [[3, 4]]], np.int8)
    w = Tensor("w", (2, 1, 2), "int8", Quantization((1.0, 2.0), (0, 0), 2), values)
    layer = DepthwiseConv2D(name="y", inputs=("input",), output="y", weights="w", padding=Padding(1, 0))
    assert numerics.folded_bias(layer, graph_of(Numerics.TFLITE, layer, x, w, y)).tolist() == [-40, -20]


def test_a_folded_bias_beyond_int32_is_refused() -> None:
    graph = dense(
        np.full((1, 1), 127, np.int8), np.array([2**31 - 1], np.int32), (1.0,), -128, per_tensor(1, 0), Clamp()
    )
    (layer,) = graph.layers
    assert isinstance(layer, Dense)
    with pytest.raises(GraphError) as caught:
        numerics.folded_bias(layer, graph)
    assert str(caught.value) == "y: the bias with the input's zero point folded in does not fit int32"


def test_an_average_counts_what_is_inside_the_image() -> None:
    x, y = (
        Tensor("input", (1, 3, 3, 1), "int8", per_tensor(0.5, 0)),
        Tensor("y", (1, 3, 3, 1), "int8", per_tensor(0.1, 0)),
    )
    layer = AveragePool2D(name="y", inputs=("input",), output="y", kernel=(3, 3), padding=Padding(1, 1, 1, 1))
    scale = numerics.average_pool_scale(layer, graph_of(Numerics.QDQ, layer, x, y), np.array([4, 6, 9]))
    assert scale.dtype == np.float32
    assert scale.tolist() == [float(np.float32(0.5) / (np.float32(0.1) * np.float32(n))) for n in (4, 6, 9)]


# --- element by element --------------------------------------------------------------------------------------------


@given(
    st.floats(2.0**-10, 8, width=32),
    st.integers(-128, 127),
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1),
)
def test_quantize_then_dequantize_stays_within_half_a_step(scale: float, zero_point: int, values: list[float]) -> None:
    tensor = Tensor("t", (len(values),), "int8", per_tensor(scale, zero_point))
    for kind in (Numerics.TFLITE, Numerics.QDQ):
        q = numerics.quantize(np.array(values, np.float32), tensor, kind)
        back = numerics.dequantize(q, tensor)
        lowest, highest = (-128 - zero_point) * scale, (127 - zero_point) * scale
        inside = np.clip(np.array(values), lowest, highest)
        assert np.all(np.abs(back - inside) <= scale * 0.5001)


@pytest.mark.parametrize(("kind", "expected"), [(Numerics.TFLITE, [-2, -1, 1, 2]), (Numerics.QDQ, [-2, 0, 0, 2])])
def test_halves_round_as_each_contract_says(kind: Numerics, expected: list[int]) -> None:
    tensor = Tensor("t", (4,), "int8", per_tensor(1, 0))
    halves = np.array([-1.5, -0.5, 0.5, 1.5], np.float32)
    assert numerics.quantize(halves, tensor, kind).tolist() == expected


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_tables_are_indexed_from_the_lowest_value(dtype: DType) -> None:
    low = np.iinfo(dtype).min
    x = Tensor("input", (1, 4), dtype, per_tensor(0.1, low + 128))
    same = Tensor("y", (1, 4), dtype, x.quantization)
    clip = Clip(name="y", inputs=("input",), output="y", clamp=Clamp(low + 100, low + 150))
    table = numerics.lookup_table(clip, graph_of(Numerics.TFLITE, clip, x, same))
    assert table.dtype == dtype
    assert table.tolist() == [low + min(max(i, 100), 150) for i in range(256)]


@pytest.mark.parametrize("kind", [Numerics.TFLITE, Numerics.QDQ])
def test_a_logistic_table_is_the_sigmoid(kind: Numerics) -> None:
    x, y = Tensor("input", (1, 4), "int8", per_tensor(0.05, 7)), Tensor("y", (1, 4), "int8", per_tensor(1 / 256, -128))
    layer = Logistic(name="y", inputs=("input",), output="y")
    table = numerics.lookup_table(layer, graph_of(kind, layer, x, y))
    real = [256 / (1 + math.exp(-0.05 * (q - 7))) - 128 for q in range(-128, 128)]
    assert np.all(np.abs(table - np.clip(real, -128, 127)) <= 0.5001)


def test_a_requantize_table_of_qdq_is_dequantize_then_quantize() -> None:
    x, y = Tensor("input", (1, 4), "uint8", per_tensor(0.3, 9)), Tensor("y", (1, 4), "int8", per_tensor(0.2, -5))
    layer = Requantize(name="y", inputs=("input",), output="y")
    table = numerics.lookup_table(layer, graph_of(Numerics.QDQ, layer, x, y))
    quotients = (np.arange(-9, 247, dtype=np.float32) * np.float32(0.3)) / np.float32(0.2)
    assert table.tolist() == np.clip(np.rint(quotients) - 5, -128, 127).tolist()


def test_a_layer_without_a_table_is_refused() -> None:
    x, y = Tensor("input", (1, 4), "int8", per_tensor(1, 0)), Tensor("y", (4,), "int8", per_tensor(1, 0))
    layer = Reshape(name="reshape_1", inputs=("input",), output="y")
    with pytest.raises(GraphError) as caught:
        numerics.lookup_table(layer, graph_of(Numerics.TFLITE, layer, x, y))
    assert str(caught.value) == "reshape_1: Reshape has no table of 256 entries"


def test_a_scale_is_asked_only_of_quantised_tensors() -> None:
    with pytest.raises(GraphError) as caught:
        numerics.tensor_scale(Tensor("t", (1,), "float32"))
    assert str(caught.value) == "tensor 't' is float32 without quantisation"


# --- softmax -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.003, 0.05, 0.2, 3.0])
def test_both_softmax_tables_are_the_exponential(scale: float) -> None:
    x, y = Tensor("input", (1, 4), "int8", per_tensor(scale, 0)), Tensor("y", (1, 4), "int8", per_tensor(1 / 256, -128))
    layer = Softmax(name="y", inputs=("input",), output="y", beta=0.75)
    expected = np.exp(-0.75 * float(np.float32(scale)) * np.arange(256))
    fixed = numerics.softmax_table(layer, graph_of(Numerics.TFLITE, layer, x, y))
    assert fixed.dtype == np.int32
    np.testing.assert_allclose(fixed / 2**31, expected, atol=2e-7)
    exact = numerics.softmax_table(layer, graph_of(Numerics.QDQ, layer, x, y))
    assert exact.dtype == np.float32
    np.testing.assert_allclose(exact, expected, rtol=1e-7, atol=2**-126)


@given(st.integers(0, 2**31 - 1))
def test_the_reciprocal_is_close(x: int) -> None:
    assert abs(numerics.reciprocal(x) / 2**31 - 1 / (1 + x / 2**31)) < 3e-9


@pytest.mark.parametrize("classes", [1, 2, 511, 512, 1001, 2000])
def test_a_flat_softmax_is_right_even_where_litert_aborts(classes: int) -> None:
    x = Tensor("input", (1, classes), "uint8", per_tensor(0.1, 0))
    y = Tensor("y", (1, classes), "uint8", per_tensor(1 / 256, 0))
    layer = Softmax(name="y", inputs=("input",), output="y")
    table = numerics.softmax_table(layer, graph_of(Numerics.TFLITE, layer, x, y))
    row = numerics.tflite_softmax(np.full(classes, 9, np.uint8), table, y)
    assert np.all(np.abs(row - min(256 / classes, 255)) <= 0.5)


def test_a_qdq_row_is_summed_in_order() -> None:
    """2^24 + 1 + 1 in float32 is 2^24 in this order and 2^24 + 2 in the other."""
    y = Tensor("y", (3,), "uint8", per_tensor(1 / 256, 0))
    table = np.array([2**24, 1] + [0] * 254, np.float32)
    row = numerics.qdq_softmax(np.array([1, 0, 0], np.uint8), table, y)
    assert row.tolist() == [255, 0, 0]
    reverse = np.cumsum(table[[1, 1, 0]])[-1]
    assert reverse != np.cumsum(table[[0, 1, 1]])[-1]
