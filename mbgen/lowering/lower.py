"""A whole network to kernels, calls and constants.

Each layer becomes a *form*: a frozen value that says everything its code depends on. Layers of equal forms share one
kernel, which is named after the first of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import tirx

from mbgen import numerics
from mbgen.errors import UnsupportedError
from mbgen.graph import (
    INTEGER_RANGE,
    NO_CLAMP,
    NO_PADDING,
    Add,
    Array,
    AveragePool2D,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    DType,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Quantize,
    Requantize,
    Reshape,
    Softmax,
    Tensor,
    WeightedLayer,
    is_pointwise,
)
from mbgen.intrinsics import neon_depthwise, neon_rows, neon_tile
from mbgen.kernel import (
    ActivationArgument,
    Argument,
    Call,
    Constant,
    ConstantArgument,
    Kernel,
    LoweredNetwork,
    Parameter,
    Scalar,
    WindowArgument,
)
from mbgen.lowering import (
    bands,
    byte_gemm,
    conv,
    depthwise,
    elementwise,
    gemm,
    helium,
    micro,
    neon_int8,
    pair_conv,
    pair_gemm,
    pool,
    softmax,
    tir,
)
from mbgen.lowering.epilogue import Epilogue, plain_epilogue, weighted_epilogue
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.printer import print_body
from mbgen.lowering.rescale import levels, sums
from mbgen.lowering.tiling import panels
from mbgen.plan import Plan
from mbgen.planning.bands import lowest
from mbgen.planning.rows import rows_of
from mbgen.schedules.byte_gemm import byte_space, byte_tile
from mbgen.schedules.columns import columns_of, columns_space
from mbgen.schedules.micro import micro_costs, micro_space, microtiles
from mbgen.schedules.neon import row_form, row_space, runs_of, runs_space, tile_of, tile_space
from mbgen.schedules.pairs import pair_depthwise_space, pair_direct_space, pair_gemm_space, pair_tile, row_tile
from mbgen.schedules.space import Choice, Choose, default_schedule
from mbgen.schedules.tile import Tile, channel_space, channel_tile, gemm_space, gemm_tile, lanes
from mbgen.target import Target

MAX_POOL_PLACES = numerics.INT32_MAX // 2**8  # sums of bytes, and half the count that rounding adds


def lower(
    graph: Graph, plan: Plan, target: Target, name: str, choose: Choose = default_schedule, threads: int = 1
) -> LoweredNetwork:
    """Kernels for every layer of `graph`, run as `plan` says, on `target`; `name` is the prefix of all symbols.

    `choose` gives each kernel's schedule from its space. With more than one thread, kernels that make a whole layer say
    which of their loops threads may share.

    Raises UnsupportedError, naming the layer, for what no kernel computes.
    """
    kernels: dict[Any, Kernel] = {}
    calls, constants = [], []
    for layer in graph.layers:
        if isinstance(layer, Reshape):
            continue
        _check_indices(layer, graph)
        prepared = prepare_planned(layer, graph, plan, target, choose)
        kernel = kernels.get((prepared.form, prepared.schedule))
        if kernel is None:
            symbol = f"{name}_{layer.name}_{_OPERATIONS[prepared.family]}"
            kernel = kernels[prepared.form, prepared.schedule] = _kernel(
                prepared, layer, graph, target, name, symbol, threads > 1 and layer.name not in plan.rows
            )
        symbols = {role: f"{name}_{layer.name}_{role}" for role in prepared.constants}
        for role, (data, summary) in prepared.constants.items():
            constants.append(Constant(symbols[role], data.reshape(-1), str(data.dtype), layer.name, summary))
        window = any(parameter.name == "rows" for parameter in kernel.parameters)
        arguments = [_argument(parameter.name, layer, symbols, window) for parameter in kernel.parameters]
        calls.append(Call(layer.name, kernel.symbol, tuple(arguments)))
    packing = None
    if plan.bands:
        first = graph.layers[0]
        assert isinstance(first, Conv2D)
        prepared = bands.prepare_rows(first, graph)
        packing = _kernel(prepared, first, graph, target, name, f"{name}_{first.name}_pack")
    return LoweredNetwork(tuple(kernels.values()), tuple(calls), tuple(constants), packing)


def prepare_planned(layer: Layer, graph: Graph, plan: Plan, target: Target, choose: Choose) -> Prepared:
    """A layer as `plan` runs it: in a band, row by row or whole."""
    if layer.name in plan.banded and isinstance(layer, WeightedLayer):
        return bands.prepare_banded(layer, graph, plan, Context(target, True, choose))
    return prepare(layer, graph, Context(target, layer.name in plan.rows, choose, plan.apart(layer)))


def _check_indices(layer: Layer, graph: Graph) -> None:
    """Refuse a tensor, with the padding around it, that int32 cannot index: that is what the kernels count with."""
    elements = [graph.tensors[name].elements for name in (*layer.inputs, *layer.constants, layer.output)]
    if isinstance(layer, Conv2D | DepthwiseConv2D | AveragePool2D):
        (_, height, width, channels), pad = graph.layer_inputs(layer)[0].shape, layer.padding
        elements.append((height + pad.top + pad.bottom) * (width + pad.left + pad.right) * channels)
    if max(elements) > numerics.INT32_MAX:
        raise UnsupportedError(
            f"{layer.name}: one of its tensors has {max(elements):,} elements, more than int32 can index; "
            "use a smaller resolution or fewer channels"
        )


def _argument(parameter: str, layer: Layer, symbols: Mapping[str, str], window: bool) -> Argument:
    """What a call passes for a kernel's parameter."""
    if parameter in symbols:
        return ConstantArgument(symbols[parameter])
    if parameter == "output":
        return ActivationArgument(layer.output)
    if window:
        return WindowArgument(parameter)  # type: ignore[arg-type]  # the kernel's remaining parameters are these
    index = int(parameter.removeprefix("input_")) if parameter != "input" else 0
    return ActivationArgument(layer.inputs[index])


def _kernel(
    prepared: Prepared, layer: Layer, graph: Graph, target: Target, name: str, symbol: str, shared: bool = False
) -> Kernel:
    function = tir.lower(prepared.function())
    parallel = shared and prepared.family in _SHARED_FAMILIES
    printed = print_body(function, name, sorted(target.instruction_set), parallel=parallel)
    parameters = tuple(_parameter(variable) for variable in function.params)
    return Kernel(
        symbol=symbol,
        family=prepared.family,
        summary=(_shapes(layer, graph), prepared.schedule),
        parameters=parameters,
        body=printed.body,
        vectors=printed.vectors,
        helpers=printed.helpers,
        schedule=prepared.schedule,
        schedule_source=prepared.source,
    )


def _parameter(variable: Any) -> Parameter | Scalar:
    if not tirx.is_buffer_var(variable):
        return Scalar(variable.name)
    elements = math.prod(int(extent) for extent in variable.shape)
    return Parameter(variable.name, str(variable.dtype), elements, variable.name != "output")


# whose outermost loops are over rows or panels, each of which writes its own part of the output; where the last lies
# over the one before, both write the same
_SHARED_FAMILIES = ("pointwise", "dense")

# what a kernel does, as the last part of its symbol; no constant's role is named like it
_OPERATIONS = {
    "pointwise": "gemm",
    "dense": "gemm",
    "conv2d": "direct",
    "depthwise": "direct",
    "average_pool": "mean",
    "mean": "mean",
    "add": "sum",
    "softmax": "rows",
    "table": "lookup",
    "map": "map",
    "pad": "copy",
    "concat": "copy",
}


def _shapes(layer: Layer, graph: Graph) -> str:
    def spelled(tensor: Tensor) -> str:
        return "x".join(str(extent) for extent in tensor.shape[1:]) + f" {tensor.dtype}"

    inputs = " and ".join(spelled(tensor) for tensor in graph.layer_inputs(layer))
    return f"{inputs} -> {spelled(graph.layer_output(layer))}"


@functools.singledispatch
def prepare(layer: Layer, graph: Graph, context: Context) -> Prepared:
    """The layer's form, default schedule and packed constants."""
    raise UnsupportedError(f"{layer.name}: mbgen has no kernel for {type(layer).__name__}")


# --- layers with weights -------------------------------------------------------------------------------------------


def _weight_zero_point(layer: WeightedLayer, graph: Graph) -> int:
    quantization = graph.tensors[layer.weights].quantization
    zero_points = {0} if quantization is None else set(quantization.zero_point)
    if len(zero_points) > 1:
        raise UnsupportedError(
            f"{layer.name}: the weights have another zero point for each channel; "
            "quantise them symmetrically (zero point 0) or per tensor"
        )
    return zero_points.pop()


def _bias(layer: WeightedLayer, graph: Graph, folded: bool) -> Array:
    """The bias, with the input's zero point folded in if the kernel multiplies stored values."""
    output = graph.layer_output(layer)
    if folded:
        return numerics.folded_bias(layer, graph)
    if layer.bias is not None:
        return graph.constant(layer.bias)
    return np.zeros(output.shape[-1], np.float32 if output.dtype == "float32" else np.int32)


def _arrays(
    weights: Array, packing: str, bias: Array, arrays: Mapping[str, Array], pack: Callable[[Array], Array]
) -> dict[str, tuple[Array, str]]:
    constants = {"weights": (weights, f"weights {packing}"), "bias": (pack(bias), "bias")}
    return constants | {role: (pack(values), role) for role, values in arrays.items()}


def _gemm(layer: WeightedLayer, graph: Graph, context: Context, rows: int, weights: Array, family: str) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    n, k = weights.shape
    epilogue, arrays = weighted_epilogue(layer, graph)
    if x.dtype == "float32":
        prepared = _micro_gemm(layer, graph, context, rows, weights, family)
        if prepared is not None:
            return prepared
    prepared = _neon_gemm(layer, graph, context, rows, weights, family)
    prepared = prepared or helium.prepare_gemm(layer, graph, context, rows, family)
    if prepared is not None:
        return prepared
    weight_dtype = graph.tensors[layer.weights].dtype
    form = gemm.Gemm(rows, n, k, output.dtype, weight_dtype, _weight_zero_point(layer, graph), epilogue)
    facts = {"m": rows, "n": n, "k": k, "dtype": x.dtype, "epilogue": epilogue.kind}
    plain_dsp = {"dsp", "mve"} & context.target.instruction_set == {"dsp"}
    if plain_dsp and weight_dtype == "int8" and form.weight_zero_point == 0:
        return _byte_gemm(layer, graph, context, rows, weights, family)
    if k % 2 == 0 and _has_pairs(n, weight_dtype, form.weight_zero_point, context.target):
        pairs = context.choose(pair_gemm_space(facts, context.target))
        pair_schedule = pair_tile(pairs.point)
        return Prepared(
            family,
            form,
            f"gemm of pairs {pair_schedule}",
            lambda: pair_gemm.schedule(pair_gemm.define(form, pair_schedule), form, pair_schedule),
            _arrays(
                pair_gemm.pack_weights(weights, pair_schedule.nr),
                f"[{n}][{k}] in pairs of k, in panels of {pair_schedule.nr} output channels",
                _bias(layer, graph, folded=True),
                arrays,
                lambda values: panels(values, pair_schedule.nr),
            ),
            pairs.source,
        )
    chosen = context.choose(gemm_space(facts, context.target, fused=x.dtype == "float32"))
    tile = gemm_tile(chosen.point)
    return Prepared(
        family,
        form,
        f"gemm {tile}",
        lambda: gemm.schedule(gemm.define(form, tile), form, tile),
        _arrays(
            gemm.pack_weights(weights, tile.nr),
            f"[{n}][{k}] in panels of {tile.nr} output channels",
            _bias(layer, graph, folded=x.dtype != "float32"),
            arrays,
            lambda values: panels(values, tile.nr),
        ),
        chosen.source,
    )


def _micro_gemm(
    layer: WeightedLayer, graph: Graph, context: Context, rows: int, weights: Array, family: str
) -> Prepared | None:
    """A float32 GEMM by the core's micro-kernels; None where it has none, or too few channels for one."""
    n, k = weights.shape
    facts: dict[str, Choice] = {"m": rows, "n": n, "k": k, "dtype": "float32"}
    space = micro_space(facts, context.target)
    if space is None:
        return None
    chosen = context.choose(space)
    tiled = microtiles(chosen.point, facts, context.target)
    form = micro.MicroGemm(rows, n, k, micro.Bounds(*layer.clamp))
    return Prepared(
        family,
        form,
        f"gemm {tiled}",
        lambda: micro.define(form, tiled),
        _arrays(
            gemm.pack_weights(weights, tiled.nr),
            f"[{n}][{k}] in panels of {tiled.nr} output channels",
            _bias(layer, graph, folded=False),
            {},
            lambda values: panels(values, tiled.nr),
        ),
        chosen.source,
    )


def _byte_gemm(
    layer: WeightedLayer, graph: Graph, context: Context, rows: int, weights: Array, family: str
) -> Prepared:
    """A GEMM on bytes by the DSP extension."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    n, k = weights.shape
    chosen = context.choose(byte_space({"m": rows, "n": n, "k": k, "dtype": x.dtype}))
    mr, nr = byte_tile(chosen.point)
    epilogue, arrays = weighted_epilogue(layer, graph)
    least, shift, bias = lowest(layer, output), None, _bias(layer, graph, folded=True)
    if epilogue.kind != "single":
        over = sums(layer, graph, 0, *INTEGER_RANGE[x.dtype])
        made = levels(layer, graph, over, np.zeros(n, np.int64), np.full(n, 1 << 18))
        if made.scales is not None and made.patches.shape[1] == 0:
            shift, bias = made.shift, (bias.astype(np.int64) + made.offset).astype(np.int32)
            arrays = {"multiplier": made.scales[:, 0], "addend": made.scales[:, 1]}
    form = byte_gemm.ByteGemm(rows, n, k, mr, nr, x.dtype, shift, least, epilogue)
    return Prepared(
        family,
        form,
        f"gemm of bytes mr={mr} nr={nr}",
        lambda: byte_gemm.define(form),
        _arrays(
            byte_gemm.pack_weights(weights, nr),
            f"[{n}][{k}] in panels of {nr} output channels, four k a step",
            bias,
            arrays,
            lambda values: panels(values, nr),
        ),
        chosen.source,
    )


def _has_pairs(channels: int, weight_dtype: DType, weight_zero_point: int, target: Target) -> bool:
    """Whether the core has products of int16 pairs that serve these weights: int8 without a zero point."""
    vectors = "avx2" in target.instruction_set and channels >= lanes(target)
    return vectors and weight_dtype == "int8" and weight_zero_point == 0


def _neon_gemm(
    layer: WeightedLayer, graph: Graph, context: Context, rows: int, weights: Array, family: str
) -> Prepared | None:
    """An int8 GEMM by AArch64's helpers; None where they cannot compute it."""
    n, k = weights.shape
    facts: dict[str, Choice] = {"m": rows, "n": n, "k": k, "dtype": "int8"}
    space = runs_space(facts, context.target)
    rescaling = neon_int8.rescaling(layer, graph) if space is not None else None
    if space is None or rescaling is None:
        return None
    chosen = context.choose(space)
    runs = runs_of(chosen.point, facts, context.target)
    form = neon_int8.NeonGemm(rows, n, k, rescaling)
    return Prepared(
        family,
        form,
        f"gemm {runs}",
        lambda: neon_int8.define(form, runs),
        _arrays(
            neon_tile.pack(panels(weights, runs.nr), runs.form),
            f"[{n}][{k}] in panels of {runs.nr} output channels, as {runs.form} tiles read them",
            _bias(layer, graph, folded=True),
            rescaling.arrays,
            lambda values: panels(values, runs.nr),
        ),
        chosen.source,
    )


@prepare.register
def _(layer: Dense, graph: Graph, context: Context) -> Prepared:
    return _gemm(layer, graph, context, 1, graph.constant(layer.weights), "dense")


@prepare.register
def _(layer: Conv2D, graph: Graph, context: Context) -> Prepared:
    weights = graph.constant(layer.weights)
    if is_pointwise(layer, graph):
        _, oh, ow, _ = graph.layer_output(layer).shape
        rows = ow if context.by_row else oh * ow
        return _gemm(layer, graph, context, rows, weights[:, 0, 0, :], "pointwise")
    helium_row = helium.prepare_conv(layer, graph, context, _window_form(layer, graph).window)
    if helium_row is not None:
        return helium_row
    pairs = _pair_convolution(layer, graph, context)
    if pairs is not None:
        return pairs
    prepared = _neon_convolution(layer, graph, context)
    if prepared is not None:
        return prepared
    oc, kh, kw, ic = weights.shape
    if graph.layer_output(layer).dtype == "float32":
        prepared = _micro_convolution(layer, graph, context)
        if prepared is not None:
            return prepared
    chosen = context.choose(channel_space("conv2d", _facts(layer, graph), context.target, vectors=4))
    tile = channel_tile(chosen.point)
    packing = f"[{oc}][{kh}][{kw}][{ic}] in panels of {tile.nr} output channels"
    return _convolution(layer, graph, tile, conv.pack_direct(weights, tile.nr), packing, chosen.source)


@prepare.register
def _(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared:
    strips = helium.prepare_depthwise(layer, graph, context)
    if strips is not None:
        return strips
    pairs = _pair_convolution(layer, graph, context)
    if pairs is not None:
        return pairs
    weights = graph.constant(layer.weights)
    kh, kw, oc = weights.shape
    multiplier = oc // graph.layer_inputs(layer)[0].shape[3]
    prepared = _neon_row(layer, graph, context) if multiplier == 1 else None
    if prepared is not None:
        return prepared
    if graph.layer_output(layer).dtype == "float32" and multiplier == 1:
        prepared = _depthwise_row(layer, graph, context)
        if prepared is not None:
            return prepared
    # with a multiplier, neighbouring outputs read the same input: no vector load serves
    space = channel_space("depthwise", _facts(layer, graph), context.target, vectorized=multiplier == 1)
    chosen = context.choose(space)
    return _convolution(layer, graph, channel_tile(chosen.point), weights, f"[{kh}][{kw}][{oc}]", chosen.source)


def _facts(layer: Conv2D | DepthwiseConv2D, graph: Graph) -> dict[str, Choice]:
    """What the best schedule of a window layer may depend on."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    kh, kw = graph.tensors[layer.weights].shape[:2]
    if isinstance(layer, Conv2D):
        kh, kw = graph.tensors[layer.weights].shape[1:3]
    extents = {"oh": output.shape[1], "ow": output.shape[2], "ic": x.shape[3], "oc": output.shape[3]}
    return {**extents, "window": f"{kh}x{kw}", "stride": "x".join(map(str, layer.stride)), "dtype": x.dtype}


def _row_window(layer: Conv2D | DepthwiseConv2D, graph: Graph) -> conv.RowWindow:
    weights = graph.tensors[layer.weights]
    kh, kw = weights.shape[:2] if isinstance(layer, DepthwiseConv2D) else weights.shape[1:3]
    (_, height, width, _), (_, oh, ow, _) = graph.layer_inputs(layer)[0].shape, graph.layer_output(layer).shape
    bottom = (oh - 1) * layer.stride[0] + (kh - 1) * layer.dilation[0] - layer.padding.top >= height
    padded_rows = layer.padding.top > 0 or bottom
    return conv.RowWindow(width, ow, kh, kw, layer.stride[1], layer.dilation[1], layer.padding.left, padded_rows)


def _neon_convolution(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of an int8 convolution by AArch64's helpers; None where they cannot compute it."""
    rescaling = neon_int8.rescaling(layer, graph) if "neon" in context.target.instruction_set else None
    if rescaling is None:
        return None
    (x,), weights = graph.layer_inputs(layer), graph.constant(layer.weights)
    oc, kh, kw, ic = weights.shape
    form = neon_int8.NeonConvolution(_row_window(layer, graph), ic, oc, numerics.zero_point(x), rescaling)
    facts = _facts(layer, graph)
    space = tile_space(facts | {"m": form.window.ow, "n": oc, "k": form.k}, context.target)
    if space is None or not form.possible:
        return None
    chosen = context.choose(space)
    tile = tile_of(chosen.point, rescaling.kind)
    flat = np.pad(weights.reshape(oc, -1), ((0, 0), (0, form.k - kh * kw * ic)))
    return Prepared(
        "conv2d",
        form,
        f"direct {tile.form} {tile.mr} pixels x {tile.nr} channels, windows gathered",
        lambda: neon_int8.define_convolution(form, tile),
        _arrays(
            neon_tile.pack(panels(flat, tile.nr), tile.form),
            f"[{oc}][{form.k}] in panels of {tile.nr} output channels, as {tile.form} tiles read them",
            _bias(layer, graph, folded=True),
            rescaling.arrays,
            lambda values: panels(values, tile.nr),
        ),
        chosen.source,
    )


def _neon_row(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """An int8 depthwise row by AArch64's helpers; None where they cannot compute it."""
    space = row_space(_facts(layer, graph), context.target)
    rescaling = neon_int8.rescaling(layer, graph) if space is not None else None
    if space is None or rescaling is None:
        return None
    (x,), weights = graph.layer_inputs(layer), graph.constant(layer.weights)
    form = neon_int8.NeonRow(_row_window(layer, graph), x.shape[3], numerics.zero_point(x), rescaling)
    chosen = context.choose(space)
    row = form.helper(row_form(chosen.point))
    if row is None:
        return None
    panelled = panels(weights.transpose(2, 0, 1), neon_rows.LANES)
    return Prepared(
        "depthwise",
        form,
        f"depthwise {row.form}",
        lambda: neon_int8.define_row(form, row),
        _arrays(
            neon_rows.pack(panelled, row.form),
            f"[3][3][{x.shape[3]}] in panels of {neon_rows.LANES} channels, as {row.form} read them",
            _bias(layer, graph, folded=True),
            rescaling.arrays,
            lambda values: panels(values, neon_rows.LANES),
        ),
        chosen.source,
    )


def _taps_inside(layer: Conv2D | DepthwiseConv2D, graph: Graph) -> list[list[int]]:
    """For each row of the output, the rows of its window that are not padding."""
    rows = rows_of(layer, graph)
    assert rows is not None  # window layers always have
    places = [[oh * rows.stride + kh * rows.dilation - rows.top for kh in range(rows.kh)] for oh in range(rows.oh)]
    return [[kh for kh, row in enumerate(window) if 0 <= row < rows.height] for window in places]


def _micro_convolution(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a float32 convolution by the core's micro-kernels; None where they cannot compute it."""
    weights = graph.constant(layer.weights)
    oc, kh, kw, ic = weights.shape
    window = _row_window(layer, graph)
    form = micro.MicroConvolution(window, ic, oc, micro.Bounds(*layer.clamp))
    facts = {**_facts(layer, graph), "m": window.ow, "n": oc, "k": kh * kw * ic}
    space = micro_space(facts, context.target)
    if space is None or not form.possible or not all(_taps_inside(layer, graph)):
        return None
    chosen = context.choose(space)
    tiled = microtiles(chosen.point, facts, context.target)
    return Prepared(
        "conv2d",
        form,
        f"direct, gemm {tiled}",
        lambda: micro.define_convolution(form, tiled.nr, micro_costs(chosen.point, facts, context.target)),
        _arrays(
            conv.pack_direct(weights, tiled.nr),
            f"[{oc}][{kh}][{kw}][{ic}] in panels of {tiled.nr} output channels",
            _bias(layer, graph, folded=False),
            {},
            lambda values: panels(values, tiled.nr),
        ),
        chosen.source,
    )


def _depthwise_row(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a float32 depthwise convolution in the way of the core; None if it has none."""
    weights, bias = graph.constant(layer.weights), _bias(layer, graph, folded=False)
    kh, kw, oc = weights.shape
    window = _row_window(layer, graph)
    form = depthwise.DepthwiseRow(window, oc, micro.Bounds(*layer.clamp))
    space = columns_space(_facts(layer, graph), context.target)
    row = form.row

    def prepared(nr: int, schedule: str, function: Callable[[], Any], source: str) -> Prepared:
        packed = np.ascontiguousarray(panels(weights.transpose(2, 0, 1), nr).transpose(0, 2, 3, 1))
        packing = f"[{kh}][{kw}][{oc}] in panels of {nr} channels"
        return Prepared(
            "depthwise", form, schedule, function, _arrays(packed, packing, bias, {}, lambda a: panels(a, nr)), source
        )

    if space is not None:
        chosen = context.choose(space)
        columns = columns_of(chosen.point)
        nr = columns.lanes * columns.vectors
        return prepared(nr, f"depthwise {columns}", lambda: depthwise.define_columns(form, columns), chosen.source)
    centred = all(1 in taps for taps in _taps_inside(layer, graph))
    if row is not None and centred and "neon" in context.target.instruction_set:
        return prepared(neon_depthwise.LANES, "depthwise rows", lambda: depthwise.define_row(form, row), "default")
    return None


def _convolution(
    layer: Conv2D | DepthwiseConv2D, graph: Graph, tile: Tile, packed: Array, packing: str, source: str
) -> Prepared:
    form = _window_form(layer, graph)
    return Prepared(
        "depthwise" if form.kind == "depthwise" else "conv2d",
        form,
        f"{form.kind} {tile}",
        lambda: conv.schedule(conv.define(form, tile.nr), form, tile),
        _arrays(packed, packing, _window_bias(layer, graph, form), weighted_epilogue(layer, graph)[1], lambda v: v),
        source,
    )


def _window_form(layer: Conv2D | DepthwiseConv2D, graph: Graph) -> conv.Convolution:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    depthwise = isinstance(layer, DepthwiseConv2D)
    weights = graph.tensors[layer.weights]
    channels, oc = x.shape[3], output.shape[3]
    window = _row_window(layer, graph)
    # padded taps are skipped, so the zero point may be folded into the bias only where there are none
    zero_point = 0 if x.dtype == "float32" or not window.padded else numerics.zero_point(x)
    return conv.Convolution(
        "depthwise" if depthwise else "direct",
        window,
        channels,
        oc,
        x.dtype,
        weights.dtype,
        zero_point,
        _weight_zero_point(layer, graph),
        weighted_epilogue(layer, graph)[0],
    )


def _window_bias(layer: Conv2D | DepthwiseConv2D, graph: Graph, form: conv.Convolution) -> Array:
    return _bias(layer, graph, folded=form.dtype != "float32" and form.zero_point == 0)


def _pair_convolution(layer: Conv2D | DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A window layer on pairs of int16; None where the core has none, or the layer is not one that they serve."""
    form, weights = _window_form(layer, graph), graph.constant(layer.weights)
    if not _has_pairs(form.oc, form.weight_dtype, form.weight_zero_point, context.target) or form.window.dilation > 1:
        return None
    arrays, bias = weighted_epilogue(layer, graph)[1], _window_bias(layer, graph, form)
    if form.kind == "direct":
        chosen = context.choose(pair_direct_space(_facts(layer, graph), context.target))
        tile = row_tile(chosen.point)
        return Prepared(
            "conv2d",
            form,
            f"direct on pairs {tile}",
            lambda: pair_conv.schedule_direct(pair_conv.define_direct(form, tile), form, tile),
            _arrays(
                pair_conv.pack_direct(weights, tile.nr),
                f"{list(weights.shape)} in pairs of a row's elements, in panels of {tile.nr} output channels",
                bias,
                arrays,
                lambda values: panels(values, tile.nr),
            ),
            chosen.source,
        )
    if weights.shape[:2] != (3, 3) or form.multiplier > 1 or form.window.stride > 2:
        return None
    chosen = context.choose(pair_depthwise_space(_facts(layer, graph), context.target))
    tile = row_tile(chosen.point)
    return Prepared(
        "depthwise",
        form,
        f"depthwise on pairs {tile}",
        lambda: pair_conv.schedule_depthwise(pair_conv.define_depthwise(form, tile), form, tile),
        _arrays(pair_conv.pack_depthwise(weights), f"{list(weights.shape)} in pairs", bias, arrays, lambda v: v),
        chosen.source,
    )


# --- layers without weights ----------------------------------------------------------------------------------------


@prepare.register
def _(layer: AveragePool2D, graph: Graph, context: Context) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    _, height, width, channels = x.shape
    _, oh, ow, _ = output.shape
    window = pool.Window(height, width, oh, ow, *layer.kernel, layer.stride, layer.padding)
    epilogue = plain_epilogue(layer, graph, layer.clamp)
    if x.dtype == "float32":
        form = pool.AveragePool("float", window, channels, x.dtype, 0, (), epilogue)
        return _pool("average_pool", layer, form, context)
    if graph.numerics is Numerics.QDQ:
        scales = numerics.tensor_scale(x), numerics.tensor_scale(output)
        form = pool.AveragePool("scale", window, channels, x.dtype, numerics.zero_point(x), scales, epilogue)
        return _pool("average_pool", layer, form, context)
    stored = replace(epilogue, zero_point=0)  # input and output share one quantisation
    form = pool.AveragePool("average", window, channels, x.dtype, 0, (), stored)
    return _pool("average_pool", layer, form, context)


@prepare.register
def _(layer: Mean, graph: Graph, context: Context) -> Prepared:
    (x,) = graph.layer_inputs(layer)
    _, height, width, channels = x.shape
    window = pool.Window(height, width, 1, 1, height, width, (1, 1), NO_PADDING)
    scale = numerics.mean_scale(layer, graph)
    factor = int(scale.multiplier[0]), int(scale.shift[0])
    epilogue = plain_epilogue(layer, graph, NO_CLAMP)
    form = pool.AveragePool("fixed", window, channels, x.dtype, numerics.zero_point(x), factor, epilogue)
    return _pool("mean", layer, form, context)


def _pool(family: str, layer: Layer, form: pool.AveragePool, context: Context) -> Prepared:
    places = form.window.kh * form.window.kw
    if form.dtype != "float32" and places > MAX_POOL_PLACES:
        raise UnsupportedError(
            f"{layer.name}: averages {places:,} places; int32 holds the sum of at most {MAX_POOL_PLACES:,}"
        )
    portable = Prepared(family, form, "one channel at a time", lambda: pool.schedule(pool.define(form)), {})
    return helium.prepare_pool(family, form, context) or portable


@prepare.register
def _(layer: Add, graph: Graph, context: Context) -> Prepared:
    (a, b), output = graph.layer_inputs(layer), graph.layer_output(layer)
    quantized = output.dtype != "float32"
    form = elementwise.Sum(
        output.elements,
        a.dtype,
        (numerics.zero_point(a), numerics.zero_point(b)) if quantized else (0, 0),
        numerics.add_parameters(layer, graph) if quantized else None,
        plain_epilogue(layer, graph, layer.clamp),
    )
    return Prepared("add", form, "one element at a time", lambda: elementwise.define_sum(form), {})


@prepare.register
def _(layer: Softmax, graph: Graph, context: Context) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    classes = output.shape[-1]
    kind = {Numerics.TFLITE: "tflite", Numerics.QDQ: "qdq", Numerics.FLOAT32: "float"}[graph.numerics]
    if x.dtype == "float32":
        kind = "float"
    if kind == "tflite" and classes > softmax.MAX_CLASSES:
        raise UnsupportedError(
            f"{layer.name}: TFLite's int32 sum of exponentials holds {softmax.MAX_CLASSES:,} classes, "
            f"not {classes:,}; remove the last softmax from the model"
        )
    form = softmax.Rows(
        kind,  # type: ignore[arg-type]
        output.elements // classes,
        classes,
        x.dtype,
        layer.beta if kind == "float" else 1.0,
        numerics.tensor_scale(output) if kind == "qdq" else 1.0,
        plain_epilogue(layer, graph, NO_CLAMP),
    )
    constants = {}
    if kind != "float":
        constants["table"] = (numerics.softmax_table(layer, graph), "exponentials of the distance from the greatest")
    return Prepared("softmax", form, "row by row", lambda: softmax.schedule(softmax.define(form)), constants)


@prepare.register(Requantize)
def _table(layer: Layer, graph: Graph, context: Context) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    form = elementwise.Table(output.elements, x.dtype, INTEGER_RANGE[x.dtype][0], output.dtype)
    constants = {"table": (numerics.lookup_table(layer, graph), "output of each possible input")}
    return Prepared("table", form, "one element at a time", lambda: elementwise.define_table(form), constants)


def _map(layer: Layer, graph: Graph, kind: str, quantized: Tensor | None, epilogue: Epilogue) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    scale, zero_point = (1.0, 0)
    if quantized is not None:
        scale, zero_point = numerics.tensor_scale(quantized), numerics.zero_point(quantized)
    form = elementwise.Map(kind, output.elements, x.dtype, scale, zero_point, epilogue)
    return Prepared("map", form, "one element at a time", lambda: elementwise.define_map(form), {})


@prepare.register
def _(layer: Clip, graph: Graph, context: Context) -> Prepared:
    if graph.layer_output(layer).dtype != "float32":
        return _table(layer, graph, context)
    return _map(layer, graph, "clip", None, plain_epilogue(layer, graph, layer.clamp))


@prepare.register
def _(layer: Logistic, graph: Graph, context: Context) -> Prepared:
    if graph.layer_output(layer).dtype != "float32":
        return _table(layer, graph, context)
    return _map(layer, graph, "logistic", None, plain_epilogue(layer, graph, NO_CLAMP))


@prepare.register
def _(layer: Quantize, graph: Graph, context: Context) -> Prepared:
    kind = "quantize_even" if graph.numerics is Numerics.QDQ else "quantize_away"
    return _map(layer, graph, kind, graph.layer_output(layer), plain_epilogue(layer, graph, NO_CLAMP))


@prepare.register
def _(layer: Dequantize, graph: Graph, context: Context) -> Prepared:
    return _map(layer, graph, "dequantize", graph.layer_inputs(layer)[0], plain_epilogue(layer, graph, NO_CLAMP))


@prepare.register
def _(layer: Pad, graph: Graph, context: Context) -> Prepared:
    (x,) = graph.layer_inputs(layer)
    _, height, width, channels = x.shape
    value = 0 if x.dtype == "float32" else numerics.zero_point(x)
    form = elementwise.Border((height, width, channels), layer.padding, x.dtype, value)
    return Prepared("pad", form, "one element at a time", lambda: elementwise.define_border(form), {})


@prepare.register
def _(layer: Concat, graph: Graph, context: Context) -> Prepared:
    inputs, output = graph.layer_inputs(layer), graph.layer_output(layer)
    axis = layer.axis % len(output.shape)
    parts = tuple(math.prod(tensor.shape[axis:]) for tensor in inputs)
    form = elementwise.Joined(math.prod(output.shape[:axis]), parts, output.dtype)
    return Prepared("concat", form, "one element at a time", lambda: elementwise.define_joined(form), {})
