"""Constants keep their meaning under transposes and reshapes; bounds are rounded as each contract rounds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.errors import InputError
from mbgen.graph import NO_CLAMP, Array, Clamp, Numerics, Quantization
from mbgen.importers.constant import Constant, quantization, quantized, quantized_clamp, tightened

PER_CHANNEL = Quantization((0.5, 0.25, 2.0), (1, 2, 3), 2)


def real(constant: Constant) -> Array:
    """The numbers that a constant stands for."""
    q = constant.quantization
    assert q is not None
    along = [1] * constant.data.ndim
    along[q.axis or 0] = -1
    scale, zero_point = (np.array(values).reshape(along) for values in (q.scale, q.zero_point))
    result: Array = scale * (constant.data.astype(np.float64) - zero_point)
    return result


def test_a_transpose_takes_the_quantised_axis_along() -> None:
    constant = Constant(np.arange(24, dtype=np.int8).reshape(2, 4, 3), PER_CHANNEL)
    turned = constant.transposed((2, 0, 1))
    assert turned.quantization == Quantization(PER_CHANNEL.scale, PER_CHANNEL.zero_point, 0)
    np.testing.assert_array_equal(real(turned), real(constant).transpose(2, 0, 1))


@pytest.mark.parametrize(("shape", "axis"), [((8, 3, 1), 1), ((2, 4, 1, 3), 3), ((2, 2, 2, 3), 3)])
def test_a_reshape_takes_the_quantised_axis_along(shape: tuple[int, ...], axis: int) -> None:
    constant = Constant(np.arange(24, dtype=np.int8).reshape(2, 4, 3), PER_CHANNEL)
    reshaped = constant.reshaped(shape)
    assert reshaped.quantization == Quantization(PER_CHANNEL.scale, PER_CHANNEL.zero_point, axis)
    np.testing.assert_array_equal(real(reshaped), real(constant).reshape(shape))


def test_a_reshape_that_cuts_the_quantised_axis_is_refused() -> None:
    constant = Constant(np.zeros((2, 4, 3), np.int8), PER_CHANNEL)
    with pytest.raises(InputError) as caught:
        constant.reshaped((4, 6))
    assert str(caught.value) == "a constant quantised along axis 2 cannot become [4, 6]"


def test_one_scale_means_per_tensor() -> None:
    assert quantization(np.array([0.5]), np.array([3]), 1, 4) == Quantization((0.5,), (3,))
    assert quantization(np.array([0.5, 1]), np.array(3), -1, 4) == Quantization((0.5, 1.0), (3, 3), 3)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_cannot_be_is_refused(scale: float) -> None:
    with pytest.raises(InputError) as caught:
        quantization(np.array([1.0, scale]), np.array(0), 0, 1)
    assert str(caught.value) == "a quantisation scale is not a positive finite number"


def test_weights_are_quantised_half_to_even_and_saturate() -> None:
    q = Quantization((1.0, 2.0), (0, 10), 0)
    constant = quantized(np.array([[0.5, 1.5, 200.0], [1.0, 3.0, -300.0]], np.float32), q, "int8")
    np.testing.assert_array_equal(constant.data, np.array([[0, 2, 127], [10, 12, -128]], np.int8))
    assert constant.data.dtype == np.int8


def test_bounds_half_way_are_rounded_as_the_contract_says() -> None:
    q = Quantization((4.0,), (0,))
    assert quantized_clamp(Clamp(-10.0, 10.0), q, "int8", Numerics.TFLITE) == Clamp(-3, 3)
    assert quantized_clamp(Clamp(-10.0, 10.0), q, "int8", Numerics.QDQ) == Clamp(-2, 2)


def test_bounds_that_the_type_keeps_anyway_are_none() -> None:
    q = Quantization((6 / 255,), (-128,))
    assert quantized_clamp(Clamp(0.0, 6.0), q, "int8", Numerics.QDQ) == NO_CLAMP
    assert quantized_clamp(Clamp(low=-1e38), Quantization((1e-30,), (0,)), "int8", Numerics.TFLITE) == NO_CLAMP


@given(
    st.floats(-20, 20, width=32),
    st.floats(-20, 20, width=32),
    st.floats(2**-6, 1, width=32),
    st.integers(-128, 127),
    st.floats(-50, 50, width=32),
)
def test_a_clamp_commutes_with_quantisation(a: float, b: float, scale: float, zero_point: int, value: float) -> None:
    low, high = min(a, b), max(a, b)
    q = Quantization((scale,), (zero_point,))
    clamp = quantized_clamp(Clamp(low, high), q, "int8", Numerics.QDQ)
    before = quantized(np.clip(np.array([value], np.float32), np.float32(low), np.float32(high)), q, "int8").data
    after = quantized(np.array([value], np.float32), q, "int8").data.astype(np.float64)
    np.testing.assert_array_equal(before, np.clip(after, clamp.low, clamp.high))


@given(st.lists(st.integers(-200, 300), min_size=4, max_size=4), st.integers(-128, 127))
def test_two_clamps_are_one(bounds: list[int], value: int) -> None:
    first, then = Clamp(*sorted(bounds[:2])), Clamp(*sorted(bounds[2:]))
    one = tightened(first, then, "int8")
    twice = min(max(min(max(value, first.low), first.high), then.low), then.high)
    assert min(max(min(max(value, one.low), one.high), -128), 127) == min(max(twice, -128), 127)
