"""The page itself: facts to numbers, charts and one HTML file that needs nothing beside it.

Knows facts and the template. May not know how anything was measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from mbgen.graph import INTEGER_RANGE, ITEM_BYTES
from mbgen.report import charts
from mbgen.report.facts import Code, Facts, Json
from mbgen.templates import environment

CHARTED = 6  # kernels whose trials are drawn
KINDS = ("convolution", "depthwise", "pointwise", "pool", "dense", "other")
_KIND_OF = {
    "conv2d": "convolution",
    "depthwise_conv2d": "depthwise",
    "pointwise": "pointwise",
    "average_pool2d": "pool",
    "mean": "pool",
    "dense": "dense",
}
_CONTRACTS = {
    "tflite": "Every layer equals TFLite's reference kernels, bit for bit.",
    "qdq": "Every layer equals the ONNX operators' definition with int32 sums, bit for bit.",
    "float32": "The model's operations in float32; sums may run in another order.",
}
_REASONS = {
    "constant": "one value for every input",
    "dead": "read by nobody",
    "duplicate": "equal to another channel",
    "clip": "never binds",
    "pad": "folded into its readers",
    "requantize": "changes nothing",
}


@dataclass(frozen=True)
class Figure:
    """One of the numbers at the head of the page."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """A chart or a table with what it shows in words."""

    anchor: str
    title: str
    text: str
    chart: str | None = None  # SVG that mbgen drew
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    folded: Sequence[tuple[str, str]] = ()  # summary and preformatted text
    listed: bool = True  # among the links at the top


def render_report(facts: Facts) -> bytes:
    """The whole page. The same facts give the same bytes; every text of the model is escaped."""
    manifest = facts.manifest
    sections = [section for section in _sections(facts) if section is not None]
    text = (
        environment("report", escape_html=True)
        .get_template("report.html.jinja")
        .render(
            name=manifest["name"],
            subtitle=_subtitle(manifest),
            figures=_figures(facts),
            sections=sections,
            provenance=_provenance(manifest),
            kinds=KINDS,
            data=_data(facts),
        )
    )
    return text.encode("utf-8")


def _data(facts: Facts) -> str:
    """The facts as JSON that may stand inside a script element."""
    document = asdict(facts) | {"manifest": dict(facts.manifest)}
    text = json.dumps(document, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _subtitle(manifest: Json) -> str:
    model = manifest["model"]
    source = {"builtin": "built-in MobileNet V1", "onnx": "ONNX model", "tflite": "TFLite model"}[model["source"]]
    width = "" if model["alpha"] is None else f", alpha {model['alpha']:g}"
    shape = "x".join(map(str, manifest["input"]["shape"][1:]))
    return f"{source}{width}, {manifest['input']['dtype']} {shape}, for {manifest['target']['name']}"


def _figures(facts: Facts) -> list[Figure]:
    manifest, costs = facts.manifest, facts.costs
    executed, nominal = manifest["macs_executed"], manifest["macs_nominal"]
    saved = "all of the model's" if executed == nominal else f"of the model's {nominal:,}"
    figures = [
        Figure("multiply-accumulates", f"{executed:,}", saved),
        Figure("arena", f"{manifest['arena_bytes']:,} B", f"peak at {manifest['peak_layer']}"),
        Figure("constants", f"{manifest['constant_bytes']:,} B", "weights and tables"),
    ]
    if facts.code_bytes is not None:
        figures.append(Figure("kernels' code", f"{sum(facts.code_bytes.values()):,} B", "in flash"))
    if manifest["stack_bytes"] is not None:
        figures.append(Figure("stack", f"{manifest['stack_bytes']:,} B", "of one inference"))
    if costs is not None:
        per_mac = f"{costs.total / executed:.3g} a MAC" if costs.unit != "seconds" and executed else costs.title
        figures.append(Figure(costs.unit, _amount(costs.total, costs.unit), per_mac))
    if facts.verification is not None:
        passed = facts.verification["passed"]
        note = f"{facts.verification['inputs']} inputs against {facts.verification['reference']}"
        figures.append(Figure("verification", "passed" if passed else "failed", note))
    return figures


def _amount(value: float, unit: str) -> str:
    return f"{value * 1e3:,.3f} ms" if unit == "seconds" else f"{value:,.0f}"


def _provenance(manifest: Json) -> list[tuple[str, str]]:
    model = manifest["model"]
    rows = [
        ("weights", model["weights"]),
        ("sha256", model["sha256"] or "none: made by mbgen"),
        ("calibration", model["calibration"] or "none"),
        ("options", ", ".join(f"{key} {value}" for key, value in manifest["options"].items() if value is not None)),
        ("C flags", " ".join(manifest["target"]["c_flags"])),
        ("generator", ", ".join(f"{name} {version}" for name, version in manifest["generator"].items())),
    ]
    return [(name, str(value)) for name, value in rows]


def _sections(facts: Facts) -> list[Section | None]:
    return [
        _network(facts.manifest),
        _memory(facts.manifest),
        _macs(facts.manifest),
        _removed(facts.manifest),
        _costs(facts),
        _roofline(facts),
        _flash(facts),
        *_tuning(facts),
        _loops(facts),
        _quantization(facts.manifest),
        _noise(facts),
        _numerics(facts),
        _layers(facts.manifest),
    ]


def _kind(layer: Json) -> int:
    return KINDS.index(_KIND_OF.get(layer["op"], "other"))


def _dimensions(shape: Sequence[int]) -> tuple[int, int]:
    """Height of the image, 1 where there is none, and channels."""
    return (shape[1] if len(shape) == 4 else 1), shape[-1]


def _network(manifest: Json) -> Section:
    blocks = [
        charts.Block(
            f"{layer['name']} {'x'.join(map(str, layer['output_shape'][1:]))}",
            _kind(layer),
            *_dimensions(layer["output_shape"]),
        )
        for layer in manifest["layers"]
    ]
    text = "Each box is a layer's output: its height is the image's, its width the logarithm of the channels."
    return Section("network", "The network", text, charts.network(blocks))


def _memory(manifest: Json) -> Section | None:
    buffers = manifest["buffers"]
    if not buffers:
        return None
    stretches = [
        charts.Stretch(
            buffer["name"],
            buffer["offset"],
            buffer["bytes"],
            buffer["first"],
            buffer["last"],
            1 if buffer["name"].startswith(("row", "ring")) else 2,
        )
        for buffer in buffers
    ]
    streamed = sum(layer["streamed"] for layer in manifest["layers"])
    rows = (
        f"The first {f'{streamed} layers run' if streamed > 1 else 'layer runs'} row by row: only a few rows of each "
        "output are kept. "
        if streamed
        else ""
    )
    text = (
        f"{rows}The arena has {manifest['arena_bytes']:,} bytes; at {manifest['peak_layer']}, its worst moment, "
        f"{manifest['arena_lower_bound']:,} are in use."
    )
    names = [layer["name"] for layer in manifest["layers"]]
    return Section("memory", "RAM over time", text, charts.memory(stretches, names, manifest["arena_bytes"]))


def _macs(manifest: Json) -> Section:
    rows = [
        charts.Bar(
            layer["name"],
            layer["macs_nominal"],
            layer["macs_executed"],
            f"{layer['macs_executed']:,}"
            + ("" if layer["macs_executed"] == layer["macs_nominal"] else f" of {layer['macs_nominal']:,}"),
        )
        for layer in manifest["layers"]
        if layer["macs_nominal"]
    ]
    text = "Executed (full) of the model's nominal (pale) multiply-accumulates."
    return Section("macs", "Work by layer", text, charts.bars(rows, "MACs", "multiply-accumulates by layer"))


def _removed(manifest: Json) -> Section | None:
    if not manifest["removed"]:
        return None
    rows = [
        (
            removal["layer"],
            f"{removal['channels']:,}" if removal["channels"] else "",
            _REASONS[removal["reason"]],
            f"{removal['macs']:,}" if removal["macs"] else "",
        )
        for removal in manifest["removed"]
    ]
    text = "Taken out by exact rewrites: the output is the same for every input."
    return Section("removed", "What was removed, and why", text, None, ("layer", "channels", "because", "MACs"), rows)


def _costs(facts: Facts) -> Section | None:
    costs = facts.costs
    if costs is None:
        return None
    rows = [
        charts.Bar(
            layer.name,
            layer.cost,
            layer.cost,
            _amount(layer.cost, costs.unit)
            + ("" if layer.share_of_peak is None else f" ({layer.share_of_peak:.0%} of peak)"),
        )
        for layer in costs.layers
    ]
    text = f"{_amount(costs.total, costs.unit)} in all: {costs.title}."
    return Section("time", "Time by layer", text, charts.bars(rows, costs.unit, f"{costs.unit} by layer"))


def _traffic(layer: Json) -> int:
    """Bytes that a layer reads and writes at least once: inputs, output, constants."""
    item: int = ITEM_BYTES[layer["dtype"]]
    tensors = [*layer["input_shapes"], layer["output_shape"]]
    elements: int = sum(math.prod(shape) for shape in tensors)
    return item * elements + int(layer["constant_bytes"])


def _roofline(facts: Facts) -> Section | None:
    costs, peak, width = facts.costs, facts.peak_macs, facts.bytes_per_cycle
    if costs is None or costs.unit != "cycles~" or peak is None or width is None:
        return None
    layers = {layer["name"]: layer for layer in facts.manifest["layers"]}
    points = [
        charts.Point(
            cost.name, _kind(layers[cost.name]), cost.macs / _traffic(layers[cost.name]), cost.macs / cost.cost
        )
        for cost in costs.layers
        if cost.macs and cost.cost
    ]
    if not points:
        return None
    text = (
        f"The core does {peak:g} MACs and moves {width:g} bytes a cycle at most; layers near a line are at its limit."
    )
    return Section("roofline", "Roofline", text, charts.roofline(points, peak, width, KINDS))


def _flash(facts: Facts) -> Section:
    code: Mapping[str, int] = facts.code_bytes or {}
    seen: set[str] = set()
    rows = []
    for layer in facts.manifest["layers"]:
        own = 0 if layer["kernel"] in seen else code.get(layer["kernel"], 0)
        seen.add(layer["kernel"])
        constants = layer["constant_bytes"]
        if own or constants:
            note = f"{constants:,}" + (f" and {own:,} of code" if own else "")
            rows.append(charts.Bar(layer["name"], constants + own, constants, note))
    text = "Bytes of constants (full)" + (
        " and code (pale); a shared kernel counts where it is first." if code else "."
    )
    return Section("flash", "Flash by layer", text, charts.bars(rows, "bytes", "flash by layer"))


def _tuning(facts: Facts) -> list[Section]:
    """A table of all tuned kernels; trials against the best of those with the most work."""
    if not facts.trials:
        return []
    layers = _first_layers(facts.manifest)
    rows = [
        (
            one.kernel.removeprefix(f"{facts.manifest['name']}_"),
            layers[one.kernel]["schedule"],
            one.source,
            f"{one.count:,}",
            _amount(one.default, one.unit),
            _amount(one.least, one.unit),
            f"{1 - one.least / one.default:.1%}",
        )
        for one in facts.trials
    ]
    text = (
        f"Kernels with schedules that were searched for this core, those with the most work first. Figures are "
        f"{facts.trials[0].unit} of one call, of the kernel that the record was measured for."
    )
    head = ("kernel", "schedule", "from", "trials", "default", "best", "saved")
    charted = [
        Section(
            f"tuning-{number}",
            f"Tuning of {one.kernel}",
            f"{one.count:,} trials in {one.unit}: the default schedule takes {_amount(one.default, one.unit)}, "
            f"the best {_amount(one.least, one.unit)}.",
            charts.search(one.figures, one.best, one.default, one.unit),
            listed=False,
        )
        for number, one in enumerate(facts.trials[:CHARTED], 1)
    ]
    return [Section("tuning", "Tuning", text, None, head, rows), *charted]


def _first_layers(manifest: Json) -> dict[str, Json]:
    """By kernel, the first layer that runs it."""
    layers: dict[str, Json] = {}
    for layer in manifest["layers"]:
        if layer["kernel"] is not None:
            layers.setdefault(layer["kernel"], layer)
    return layers


def _loops(facts: Facts) -> Section | None:
    if not facts.hot_loops:
        return None
    folded = []
    for loop in facts.hot_loops:
        folded += _code(f"{loop.kernel}: {loop.code.schedule} ({loop.source})", loop.code)
        if loop.default is not None:
            folded += _code(f"{loop.kernel} by default: {loop.default.schedule}", loop.default)
    text = "The kernels that the most work goes through, as they stand in the library and as the compiler makes them."
    if any(loop.default is not None for loop in facts.hot_loops):
        text += " Behind a tuned one stands what its default schedule gives."
    return Section("loops", "Schedules and hot loops", text, folded=folded)


def _code(words: str, code: Code) -> list[tuple[str, str]]:
    shown = [(f"{words}, C", code.c_text)]
    if code.assembly is not None:
        shown.append((f"{words}, assembly of its longest innermost loop", code.assembly))
    return shown


def _quantization(manifest: Json) -> Section | None:
    spans = []
    for layer in manifest["layers"]:
        quantization = layer["quantization"]
        if quantization is not None and layer["dtype"] != "float32":
            low, high = INTEGER_RANGE[layer["dtype"]]
            scale, zero = quantization["scale"][0], quantization["zero_point"][0]
            spans.append(charts.Span(layer["name"], (low - zero) * scale, (high - zero) * scale))
    if not spans:
        return None
    text = "The real values that each layer's output can hold."
    return Section("ranges", "Quantisation", text, charts.ranges(spans))


def _noise(facts: Facts) -> Section | None:
    if not facts.noise:
        return None
    rows = [charts.Bar(one.layer, one.decibels, one.decibels, f"{one.decibels:.1f}") for one in facts.noise]
    text = "Signal-to-noise ratio of each layer against the float model, in decibels."
    return Section("noise", "Quantisation noise", text, charts.bars(rows, "dB", "signal-to-noise ratio by layer"))


def _numerics(facts: Facts) -> Section:
    contract, found = _CONTRACTS[facts.manifest["numerics"]], facts.verification
    if found is None:
        return Section("numerics", "Numerics", f"{contract} To prove it: mbgen verify.")
    first = found["first_difference"]
    answer = "Every layer passed" if first is None else f"The first layer that differs is {first}"
    text = f"{contract} {answer}: {found['inputs']} inputs against {found['reference']}, runtime {found['runtime']}."
    rows = [(layer["name"], layer["op"], layer["verdict"]) for layer in found["layers"]]
    return Section("numerics", "Numerics", text, None, ("layer", "operation", "verdict"), rows)


def _layers(manifest: Json) -> Section:
    rows = [
        (
            layer["name"],
            layer["op"],
            "x".join(map(str, layer["output_shape"][1:])),
            layer["schedule"] or "",
            layer["schedule_source"] or "",
            "row by row" if layer["streamed"] else "",
        )
        for layer in manifest["layers"]
    ]
    head = ("layer", "operation", "output", "schedule", "from", "")
    return Section("layers", "Layers and schedules", "Every layer with the schedule of its kernel.", None, head, rows)
