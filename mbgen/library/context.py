"""What the templates are given: text and numbers ready to stand in C, in CMake and in Markdown.

Every decision is taken here, so that a template only loops and substitutes. Texts that came with the model pass
`text.comment`. May not know Jinja or paths.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from mbgen.graph import Array, Numerics, Tensor, macs
from mbgen.intrinsics import HELPERS, closure
from mbgen.kernel import Kernel, Parameter, Scalar, VectorType
from mbgen.library.image import ImageText, image_text
from mbgen.library.layout import layout
from mbgen.library.manifest import Json, operator
from mbgen.library.measured import predicted_rows
from mbgen.library.network import Network
from mbgen.library.program import Program, copy_helper, program
from mbgen.library.text import (
    C_TYPES,
    COLUMNS,
    VECTOR_ABBREVIATIONS,
    comment,
    float_literal,
    integer_macro,
    joined,
    wrapped_signatures,
)
from mbgen.library.text import shape as shape_text
from mbgen.library.weights import initializer

_ARENA = "struct {name}_arena *arena"
SELF_TEST_TOLERANCE = 1e-3  # float32 outputs, relative to the largest: another compiler may sum in another order

_SOURCES = MappingProxyType({"builtin": "built-in MobileNet V1", "onnx": "ONNX file", "tflite": "TFLite file"})
_CONTRACTS = MappingProxyType(
    {
        Numerics.TFLITE: "tflite: every layer equals TFLite's reference kernels, bit for bit",
        Numerics.QDQ: "qdq: every layer equals the ONNX operators' definition with int32 sums, bit for bit",
        Numerics.FLOAT32: "float32: the model's operations; sums may run in another order",
    }
)


@dataclass(frozen=True)
class Fact:
    """A line of provenance: `name` is padded so that the values line up."""

    name: str
    value: str


@dataclass(frozen=True)
class End:
    """The network's input or output as the caller sees it."""

    c_type: str
    elements: int
    row_elements: int
    nbytes: int
    height: int
    width: int
    channels: int
    shape: str
    scale: str | None  # None: float32
    zero_point: str | None


@dataclass(frozen=True)
class LayerText:
    """One layer as NAME.c and the README show it."""

    index: int
    name: str
    operator: str
    shapes: str
    macs: int
    streamed: bool
    by_layer: bool  # it runs on its own after all rows have come
    schedule: str  # empty where no kernel runs
    schedule_source: str


@dataclass(frozen=True)
class KernelText:
    """One function of NAME_kernels.c; `head` is its declaration without the semicolon."""

    comment: tuple[str, ...]
    head: str
    body: str


@dataclass(frozen=True)
class VectorText:
    """A vector type and the bytes of the whole and of one element."""

    name: str
    c_type: str
    nbytes: int
    element_bytes: int


@dataclass(frozen=True)
class ArrayText:
    """One constant array."""

    symbol: str
    c_type: str
    elements: int
    comment: str
    values: str


@dataclass(frozen=True)
class SelfTest:
    """The built-in input and output; `tolerance` is None where they must be equal."""

    input: ArrayText
    output: ArrayText
    tolerance: str | None


@dataclass(frozen=True)
class LibraryContext:
    """All that the templates of a library may use."""

    name: str
    macro: str  # the name in capitals
    build_id: str
    generator: str
    facts: tuple[Fact, ...]
    random_weights: bool
    numerics: str  # a value of graph.Numerics
    target: str
    target_description: str
    c_flags: tuple[str, ...]
    alignment: int
    arena_bytes: int
    constant_bytes: int
    macs: int
    parameters: int
    invoke: str  # the declarations without the semicolon
    begin: str
    push_rows: str
    finish: str
    input: End
    output: End
    layers: tuple[LayerText, ...]
    program: Program
    kernel_headers: tuple[str, ...]
    vectors: tuple[VectorText, ...]
    helpers: tuple[str, ...]
    takes_r7: bool  # assembly among them does: where Thumb code has its frame pointer, if it keeps one
    kernels: tuple[KernelText, ...]
    constants: tuple[ArrayText, ...]
    weights_headers: tuple[str, ...]
    self_test: SelfTest
    image: ImageText | None  # None: the input is float32
    links_math: bool
    predicted: Mapping[str, str]  # rows of the README that are measured later
    cycle_counter: bool  # the core has one that programs can read: Armv7-M and later
    tolerance_percent: str  # of the self-test, for float32

    @property
    def banner(self) -> tuple[str, ...]:
        """The facts as lines of a comment at the top of every file."""
        width = max(len(fact.name) for fact in self.facts) + 2
        lines: list[str] = []
        for fact in self.facts:
            lines += textwrap.wrap(
                f"{fact.name:{width}}{fact.value}",
                COLUMNS - len(" * "),
                subsequent_indent=" " * width,
                break_long_words=False,
                break_on_hyphens=False,
            )
        return tuple(lines)


def library_context(network: Network, described: Json) -> LibraryContext:
    """The context for a network whose manifest says `described`."""
    lowered = network.lowered
    kernels = (*lowered.kernels, *([] if lowered.packing is None else [lowered.packing]))
    copies = copy_helper(network)
    keys = {key for kernel in kernels for key in kernel.helpers} | ({copies} if copies is not None else set())
    helpers = [HELPERS[key] for key in closure(keys)]
    headers = tuple(sorted({"stdint.h"}.union(*(helper.headers for helper in helpers))))
    vectors = frozenset().union(*(kernel.vectors for kernel in kernels), *(helper.vectors for helper in helpers))
    constants = tuple(_array(constant.symbol, constant.data, constant.summary) for constant in lowered.constants)
    generator = described["generator"]
    return LibraryContext(
        name=network.name,
        macro=network.name.upper(),
        build_id=f"0x{_fingerprint(network, described)[:8].upper()}UL",
        generator=f"mbgen {generator['mbgen']} with Apache TVM {generator['tvm']}",
        facts=_facts(network),
        random_weights=network.model.random_weights,
        numerics=network.graph.numerics.value,
        target=network.target.name,
        target_description=comment(network.target.description),
        c_flags=network.target.c_flags,
        alignment=network.target.alignment,
        arena_bytes=network.arena_bytes,
        constant_bytes=network.constant_bytes,
        macs=described["macs_executed"],
        parameters=described["parameters"],
        invoke=_declared(network, "invoke", _ARENA, "const {input} *input", "{output} *output"),
        begin=_declared(network, "begin", _ARENA),
        push_rows=_declared(network, "push_rows", _ARENA, "const {input} *rows", "uint32_t row_count"),
        finish=_declared(network, "finish", _ARENA, "{output} *output"),
        input=_end(network.input),
        output=_end(network.output),
        layers=_layers(network),
        program=program(network),
        kernel_headers=headers,
        vectors=tuple(_vector(network.name, vector) for vector in sorted(vectors)),
        takes_r7=any('"r7"' in helper.source for helper in helpers),
        helpers=tuple(wrapped_signatures(helper.text(network.name)) for helper in helpers if helper.source),
        kernels=tuple(_kernel(network, kernel) for kernel in kernels),
        constants=constants,
        weights_headers=("math.h",) if any(np.isinf(constant.data).any() for constant in lowered.constants) else (),
        self_test=_self_test(network),
        image=image_text(network),
        links_math="math.h" in headers,
        predicted=predicted_rows(network.predicted, network.target.clock_hz),
        cycle_counter=network.target.triple.startswith(("thumbv7", "thumbv8")),
        tolerance_percent=f"{100 * SELF_TEST_TOLERANCE:g}",
    )


def _fingerprint(network: Network, described: Json) -> str:
    """A hash of all that the files are made of: it tells one run's files from another's."""
    content = hashlib.sha256(json.dumps(described, sort_keys=True).encode("ascii"))
    for kernel in network.lowered.kernels:
        content.update(kernel.body.encode("ascii"))
    for array in (*(constant.data for constant in network.lowered.constants), network.test_input, network.test_output):
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def _facts(network: Network) -> tuple[Fact, ...]:
    model, target = network.model, network.target
    known = [
        *([] if model.alpha is None else [f"alpha {model.alpha:g}"]),
        *([] if model.resolution is None else [f"resolution {model.resolution}"]),
        *([] if model.classes is None else [f"{model.classes} classes"]),
    ]
    given = [f"{key}={_option(value)}" for key, value in network.options.items() if value is not None]
    pairs = [
        ("Model", ", ".join([_SOURCES[model.source], *known])),
        *([] if model.sha256 is None else [("SHA-256", model.sha256)]),
        ("Weights", model.weights),
        *([] if model.calibration is None else [("Calibration", model.calibration)]),
        ("Target", " ".join([f"{target.name}:", *target.c_flags])),
        ("Options", ", ".join(given) or "none given"),
        ("Numerics", _CONTRACTS[network.graph.numerics]),
    ]
    return tuple(Fact(name, comment(value)) for name, value in pairs)


def _option(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _end(tensor: Tensor) -> End:
    height, width, channels = (1, 1, 1, *tensor.shape[1:])[-3:]
    quantization = tensor.quantization
    return End(
        c_type=C_TYPES[tensor.dtype],
        elements=tensor.elements,
        row_elements=tensor.elements // height,
        nbytes=tensor.nbytes,
        height=height,
        width=width,
        channels=channels,
        shape=shape_text(tensor.shape),
        scale=None if quantization is None else float_literal(quantization.scale[0]),
        zero_point=None if quantization is None else integer_macro(quantization.zero_point[0]),
    )


def _declared(network: Network, function: str, *parameters: str) -> str:
    types = {"name": network.name, "input": C_TYPES[network.input.dtype], "output": C_TYPES[network.output.dtype]}
    filled = [parameter.format(**types) for parameter in parameters]
    return joined(f"enum {network.name}_status {network.name}_{function}(", filled, ")")


def _layers(network: Network) -> tuple[LayerText, ...]:
    graph = network.graph
    kernels = {kernel.symbol: kernel for kernel in network.lowered.kernels}
    texts = []
    for index, layer in enumerate(graph.layers):
        call = network.calls.get(layer.name)
        kernel = None if call is None else kernels[call.kernel]
        inputs = " + ".join(shape_text(tensor.shape) for tensor in graph.layer_inputs(layer))
        texts.append(
            LayerText(
                index=index,
                name=layer.name,
                operator=operator(layer, graph),
                shapes=f"{inputs} -> {shape_text(graph.layer_output(layer).shape)}",
                macs=macs(layer, graph),
                streamed=layer.name in network.plan.streamed,
                by_layer=layer.name not in (*network.plan.streamed, *network.plan.banded),
                schedule="" if kernel is None else comment(kernel.schedule),
                schedule_source="" if kernel is None else comment(kernel.schedule_source),
            )
        )
    return tuple(texts)


def _kernel(network: Network, kernel: Kernel) -> KernelText:
    restrict = f"*{network.name.upper()}_RESTRICT"
    declarations = [
        f"int32_t {parameter.name}"
        if isinstance(parameter, Scalar)
        else f"{'const ' if parameter.const else ''}{C_TYPES[parameter.element]} {restrict} {parameter.name}"
        for parameter in kernel.parameters
    ]
    touched = f"Touches {', '.join(_extents(kernel))}, counted in elements."
    return KernelText(
        comment=(
            *map(comment, kernel.summary),
            *(line for text in (*_layouts(network, kernel), touched) for line in _comment_lines(text)),
        ),
        head=joined(f"void {kernel.symbol}(", declarations, ")"),
        body=kernel.body,
    )


def _comment_lines(text: str) -> list[str]:
    """A sentence in lines of a comment."""
    return textwrap.wrap(text, COLUMNS - len(" * "), subsequent_indent="  ", break_on_hyphens=False)


def _layouts(network: Network, kernel: Kernel) -> list[str]:
    """How the input and the output of a kernel of bands lie; nothing of others, whose tensors are NHWC."""
    storage, graph = network.plan.storage, network.graph
    if kernel is network.lowered.packing:
        return [layout("output", replace(storage[graph.input], slots=1))]  # one row at a time
    layers = {layer.name: layer for layer in graph.layers}
    first = next(layers[call.layer] for call in network.lowered.calls if call.kernel == kernel.symbol)
    ends = (("input", first.inputs[0]), ("output", first.output))
    return [layout(end, storage[tensor]) for end, tensor in ends if tensor in storage]


def _extents(kernel: Kernel) -> list[str]:
    """Which elements the kernel may touch; those of a window's input lie where `rows` says."""
    arrays = {parameter.name: parameter for parameter in kernel.parameters if isinstance(parameter, Parameter)}
    extents = {name: f"{name}[{parameter.elements}]" for name, parameter in arrays.items()}
    if any(isinstance(parameter, Scalar) for parameter in kernel.parameters):
        each = arrays["input"].elements // arrays["rows"].elements
        extents["input"] = f"{each} elements of input from each of {extents.pop('rows')}"
    return list(extents.values())


def _vector(name: str, vector: VectorType) -> VectorText:
    element_bytes = np.dtype(vector.element).itemsize
    return VectorText(
        name=f"{name}_{VECTOR_ABBREVIATIONS[vector.element]}x{vector.lanes}",
        c_type=C_TYPES[vector.element],
        nbytes=element_bytes * vector.lanes,
        element_bytes=element_bytes,
    )


def _array(symbol: str, values: Array, summary: str) -> ArrayText:
    flat = values.reshape(-1)
    return ArrayText(symbol, C_TYPES[flat.dtype.name], flat.size, comment(summary), initializer(flat))


def _self_test(network: Network) -> SelfTest:
    output = network.test_output
    tolerance = None
    if output.dtype == np.float32:
        tolerance = float_literal(SELF_TEST_TOLERANCE * float(np.abs(output).max()))
    return SelfTest(
        input=_array(f"{network.name}_test_input", network.test_input, "what goes in"),
        output=_array(f"{network.name}_test_output", output, "what must come out"),
        tolerance=tolerance,
    )
