"""Fold a batch normalisation into the convolution or dense layer before it.

Knows arrays only: both the weight files and the importers meet batch normalisation before there is a Graph.
"""

from __future__ import annotations

import numpy as np

from mbgen.errors import InputError
from mbgen.graph import Array


def fold_batch_norm(
    weights: Array,
    bias: Array | None,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    axis: int,
) -> tuple[Array, Array]:
    """Weights and bias of the one layer that computes `gamma * (layer(x) - mean) / sqrt(variance + epsilon) + beta`.

    `axis` is the output channels' axis of `weights`; everything else is `[oc]`, with no `bias` read as zeros (ONNX
    BatchNormalization; Ioffe and Szegedy, arXiv 1502.03167, algorithm 2). Exact in real numbers, because every output
    channel is linear in its own weights; computed in float64 and rounded once to float32, so that folding costs no
    more than half a unit in the last place of each constant.

    Raises InputError where a variance plus epsilon is not positive or a folded constant is not finite.
    """
    deviation = variance.astype(np.float64) + epsilon
    if not np.all(deviation > 0):
        raise InputError(
            f"batch normalisation divides by the root of variance + epsilon, which is {deviation.min():g} in one "
            "channel; it must be positive: the weights are damaged, or epsilon is not the one of the training"
        )
    factor = gamma.astype(np.float64) / np.sqrt(deviation)
    along = [1] * weights.ndim
    along[axis] = -1
    scaled = weights.astype(np.float64) * factor.reshape(along)
    shift = -mean.astype(np.float64) if bias is None else bias.astype(np.float64) - mean
    shifted = beta + shift * factor
    with np.errstate(over="ignore"):
        folded = scaled.astype(np.float32), shifted.astype(np.float32)
    if not all(np.isfinite(array).all() for array in folded):
        raise InputError("batch normalisation gives weights that are not finite: the weights are damaged")
    return folded
