from __future__ import annotations

import numpy as np
import pytest

from mbgen import numerics
from mbgen.exact_scale import Scale, Steps, first_multiple, highest, search, shift_for, steps
from mbgen.graph import Array

RANDOM = np.random.default_rng(0)


def applied(scale: Scale, shift: int, acc: Array, high: int, rounding: int, levels: int) -> Array:
    scaled = (((acc + scale.offset) * scale.multiplier + rounding) >> high) + scale.addend
    assert np.abs(scaled).max() < 2**31
    return np.asarray(np.clip(scaled >> shift, 0, levels))


def layer(channels: int) -> tuple[Array, Array, Array, Array]:
    """Multipliers and shifts as TFLite has them, and the least and greatest sums."""
    multiplier, shift = RANDOM.integers(2**30, 2**31, channels), RANDOM.integers(5, 9, channels)
    return multiplier, shift, RANDOM.integers(-90000, -1000, channels), RANDOM.integers(1000, 90000, channels)


@pytest.mark.parametrize(("high", "rounding"), [(32, 0), (31, 0), (31, 2**30)])
def test_the_cheap_form_equals_tflites_on_every_sum(high: int, rounding: int) -> None:
    multiplier, right, low, high_sum = layer(24)

    def exact(acc: Array) -> Array:
        return np.clip(numerics.multiply_by_quantized_multiplier(acc, multiplier, -right), 0, 255)

    real = multiplier / 2.0 ** (31 + right)
    shift = shift_for(float(real.max()), high)
    for c, channel in enumerate(steps(exact, low, high_sum)):
        found = search(channel, float(real[c]), shift, high=high, rounding=rounding, offset=-int(low[c]))
        assert found is not None
        assert found.offset >= -low[c]
        sums = np.arange(low[c], high_sum[c] + 1)
        expected = np.clip(numerics.multiply_by_quantized_multiplier(sums, multiplier[c], -right[c]), 0, 255)
        np.testing.assert_array_equal(applied(found, shift, sums, high, rounding, 255), expected)


def test_thresholds_are_where_the_level_rises() -> None:
    (channel,) = steps(lambda acc: np.clip((acc + 5) // 10, 0, 4), np.array([-7]), np.array([31]), levels=4)
    assert channel == Steps(-7, 31, 0, (5, 15, 25), 4)
    assert channel.last == 3


def test_a_channel_that_never_changes_needs_no_multiplier() -> None:
    assert search(Steps(-5, 9, 3, (), 255), 0.01, 6, offset=5) == Scale(0, 3 << 6, 5)


def test_steps_that_no_line_makes_are_refused() -> None:
    assert search(Steps(0, 1000, 0, (100, 110, 500), 255), 0.01, 10) is None
    assert search(Steps(0, 1000, 0, (100, 200, 300), 255), 0.01, -1) is None


def test_the_multiplier_of_the_largest_scale_fits_an_int32() -> None:
    for real in RANDOM.uniform(2**-12, 2**-3, 50):
        for high in (31, 32):
            assert 2**30 <= real * 2.0 ** (high + shift_for(float(real), high)) < 2**31


def test_lines_that_are_left_out_are_never_the_highest() -> None:
    for _ in range(200):
        lines = RANDOM.integers(-500, 500, (2, 40)) * [[1], [1000]]
        low, high = (int(end) for end in np.sort(RANDOM.integers(1, 2000, 2)))
        kept = highest(lines, low, high)
        assert kept.shape[1] < lines.shape[1]
        for multiplier in range(low, high + 1):
            assert (kept[1] - kept[0] * multiplier).max() == (lines[1] - lines[0] * multiplier).max()


def test_the_first_multiple_in_a_range() -> None:
    for modulus in (*range(1, 12), *map(int, RANDOM.integers(12, 200, 300))):
        factor, one, other = map(int, RANDOM.integers(0, modulus, 3))
        low, high = sorted((one, other))
        found = (x for x in range(modulus) if low <= factor * x % modulus <= high)
        assert first_multiple(factor, modulus, low, high) == next(found, None)
