"""Folding equals normalising, for every axis on which a layer keeps its output channels."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen.errors import InputError
from mbgen.graph import Array
from mbgen.passes.batch_norm import fold_batch_norm


def parts(channels: int) -> tuple[Array, Array, Array, Array]:
    random = np.random.default_rng(3)
    gamma, beta, mean = random.normal(size=(3, channels)).astype(np.float32)
    variance = random.uniform(1e-4, 4, channels).astype(np.float32)
    return gamma, beta, mean, variance


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_folded_layer_equals_layer_then_normalisation(axis: int, with_bias: bool) -> None:
    random = np.random.default_rng(5)
    shape = [4, 4, 4]
    shape[axis] = 6
    weights = random.normal(size=shape).astype(np.float32)
    bias = random.normal(size=6).astype(np.float32) if with_bias else None
    gamma, beta, mean, variance = parts(6)

    folded_weights, folded_bias = fold_batch_norm(weights, bias, gamma, beta, mean, variance, 1e-3, axis)

    x = random.normal(size=(4, 4))

    def layer(w: Array, b: Array | float) -> Array:
        return np.asarray(np.einsum("oab,ab->o", np.moveaxis(w, axis, 0).astype(np.float64), x) + b)

    normalised = gamma * (layer(weights, 0.0 if bias is None else bias) - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(layer(folded_weights, folded_bias), normalised, rtol=1e-5, atol=1e-5)
    assert folded_weights.dtype == folded_bias.dtype == np.float32
    assert folded_weights.shape == weights.shape


def test_each_constant_is_rounded_once() -> None:
    gamma, beta, mean, variance = parts(8)
    weights = np.random.default_rng(7).normal(size=(8, 3)).astype(np.float32)
    folded, _ = fold_batch_norm(weights, None, gamma, beta, mean, variance, 1e-5, 0)
    exact = weights.astype(np.longdouble) * (gamma / np.sqrt(variance.astype(np.longdouble) + 1e-5))[:, None]
    assert np.all(np.abs(folded - exact) <= np.spacing(np.abs(folded)) * 0.5000001)


def test_variance_that_cannot_be_is_refused() -> None:
    gamma, beta, mean, variance = parts(2)
    variance[1] = -1.0
    with pytest.raises(InputError) as error:
        fold_batch_norm(np.ones((2, 1), np.float32), None, gamma, beta, mean, variance, 0.5, 0)
    assert str(error.value) == (
        "batch normalisation divides by the root of variance + epsilon, which is -0.5 in one channel; it must be "
        "positive: the weights are damaged, or epsilon is not the one of the training"
    )


@pytest.mark.parametrize("damage", [np.nan, np.inf, 3e38])
def test_values_that_are_not_finite_are_refused(damage: float) -> None:
    gamma, beta, mean, variance = parts(2)
    gamma[0], mean[0], variance[0] = 1e3, damage, 0
    with pytest.raises(InputError) as error:
        fold_batch_norm(np.ones((2, 1), np.float32), None, gamma, beta, mean, variance, 0.5, 0)
    assert str(error.value) == "batch normalisation gives weights that are not finite: the weights are damaged"
