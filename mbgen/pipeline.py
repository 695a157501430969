"""The way from options to a network ready to be written: import, quantise, plan, lower, in this order and no other.

Knows the order of the stages and their defaults. May not know C, templates or the terminal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mbgen import mobilenet
from mbgen.costs import predict
from mbgen.errors import InputError, RefusedError
from mbgen.graph import INTEGER_RANGE, Array, Graph, Numerics, Tensor, macs
from mbgen.images import PREPROCESSING, load_samples, preprocess, quantize_pixels, synthetic_pixels
from mbgen.library import ModelInfo, Network, Rewrites, arena_bytes
from mbgen.library.identifiers import check_name, name_from_stem
from mbgen.mobilenet import MobileNetV1
from mbgen.onnx_export import to_onnx
from mbgen.options import CompileOptions, Optimize
from mbgen.passes.simplify import Simplified, simplify
from mbgen.planning import plan
from mbgen.planning.bands import packed_bytes, plan_bands
from mbgen.reference import execute
from mbgen.schedules.records import choose_from, read_records, shipped_records
from mbgen.target import Target, load_target

if TYPE_CHECKING:
    from mbgen.plan import Plan

Progress = Callable[[str, int, int], None]

DEFAULT_RESOLUTION = 224
DEFAULT_CLASSES = 1000
DEFAULT_PREPROCESSING = "x/127.5-1"  # the released MobileNets'
CALIBRATION_SAMPLES = 100
SYNTHETIC_SAMPLES = 16
STAGES = ("reading the model", "quantising", "simplifying", "planning", "lowering", "computing the self-test")


@dataclass(frozen=True, eq=False)
class Source:
    """A model as it came in: its graph, where it is from, and the file that `mbgen verify` compares with."""

    graph: Graph
    info: ModelInfo
    name: str
    reference: tuple[str, bytes]
    net: MobileNetV1 | None = None  # the description, if the model is the built-in one


@dataclass(frozen=True, eq=False)
class Planned:
    """A network that is ready to be lowered: in the type asked for, simplified, with every activation's place."""

    source: Source
    target: Target
    simplified: Simplified
    plan: Plan

    @property
    def graph(self) -> Graph:
        return self.simplified.graph


def plan_model(options: CompileOptions, progress: Progress) -> Planned:
    """The stages before lowering. Raises MbgenError with the layer or option that is wrong.

    RefusedError: the arena does not fit in `options.ram`, or the target's own.
    """

    def step(index: int) -> None:
        progress(STAGES[index], index, len(STAGES))

    target = load_target(options.target)
    if options.threads > 1 and target.is_microcontroller:
        raise InputError(
            f"--threads {options.threads}: {target.name} is a microcontroller, whose libraries run in one thread; "
            "leave --threads out"
        )
    if options.name is not None:
        check_name(options.name)
    if options.preprocess is not None and options.preprocess not in PREPROCESSING:
        raise InputError(
            f"there is no preprocessing named {options.preprocess!r}; choose one of {', '.join(PREPROCESSING)}"
        )
    step(0)
    source = read_builtin(options) if options.model is None else read_model(options.model)
    step(1)
    source = in_requested_type(source, options, target)
    step(2)
    simplified = simplify(source.graph)
    step(3)
    ram, flash = options.ram or target.ram, options.flash or target.flash
    planned = chosen_plan(simplified.graph, options.optimize, ram, flash, target, options.threads)
    check_ram(planned, source, ram, target)
    if options.threads > 1:
        target = replace(target, c_flags=(*target.c_flags, "-fopenmp"))
    return Planned(source, target, simplified, planned)


def compile_model(options: CompileOptions, progress: Progress) -> Network:
    """Everything that a library is written from. Raises MbgenError with the layer or option that is wrong.

    RefusedError: the arena or the weights do not fit in `options.ram` or `options.flash`, or the target's own.
    """

    def step(index: int) -> None:
        progress(STAGES[index], index, len(STAGES))

    records = read_records(options.records or shipped_records(), load_target(options.target))
    planned = plan_model(options, progress)
    source, target, graph = planned.source, planned.target, planned.graph
    step(4)
    from mbgen.lowering import lower, tuned_kernels  # TVM takes a second to import

    name = options.name or source.name
    flash, optimize = options.flash or target.flash, options.optimize
    lowered = lower(graph, planned.plan, target, name, choose_from(records), options.threads, optimize)
    if optimize != "flash" and flash is not None and lowered.constant_bytes > flash:
        optimize = "flash"  # of the same plan, the least constants
        lowered = lower(graph, planned.plan, target, name, choose_from(records), options.threads, optimize)
    check_flash(lowered.constant_bytes, source, flash, target)
    step(5)
    nominal = {layer.name: macs(layer, source.graph) for layer in source.graph.layers}
    tensor = graph.tensors[graph.input]
    preprocessing = options.preprocess or natural_preprocessing(tensor)
    image = sample_input(tensor, preprocessing)
    output = execute(graph, image)[graph.output]
    progress("done", len(STAGES), len(STAGES))
    return Network(
        name=name,
        graph=graph,
        rewrites=Rewrites(planned.simplified.removals, planned.simplified.kept, nominal),
        target=target,
        plan=planned.plan,
        lowered=lowered,
        model=source.info,
        options={
            "preprocess": preprocessing,
            "optimize": options.optimize,
            "ram": options.ram,
            "flash": options.flash,
            **({"threads": options.threads} if options.threads > 1 else {}),
        },
        test_input=image.reshape(-1),
        test_output=output.reshape(-1),
        reference=source.reference,
        predicted=predict(target.name, graph, planned.plan) if options.threads == 1 else None,
        tuned=tuned_kernels(lowered, records, graph, planned.plan, target, name, options.threads, optimize),
    )


# --- where models come from ----------------------------------------------------------------------------------------


def describe_builtin(
    alpha: float, resolution: int | None, rho: float | None, classes: int | None, softmax: bool
) -> MobileNetV1:
    """The built-in MobileNet V1 with the paper's size and ImageNet's classes where None is given."""
    if resolution is None:
        resolution = DEFAULT_RESOLUTION if rho is None else mobilenet.resolution_from_rho(rho)
    return MobileNetV1(alpha, resolution, DEFAULT_CLASSES if classes is None else classes, softmax)


def read_builtin(options: CompileOptions) -> Source:
    """The built-in MobileNet V1 with the weights given, or with seeded random ones."""
    net = describe_builtin(options.alpha, options.resolution, options.rho, options.classes, options.softmax)
    if options.weights is None:
        weights, digest = mobilenet.random_weights(net), None
    else:
        from mbgen.weights import load_weights

        weights = load_weights(options.weights, net)
        digest = hashlib.sha256(options.weights.read_bytes()).hexdigest()
    graph = mobilenet.build(net, weights)
    info = ModelInfo(
        source="builtin",
        sha256=digest,
        alpha=net.alpha,
        resolution=net.resolution,
        classes=net.classes,
        weights="seeded random" if options.weights is None else options.weights.name,
        random_weights=options.weights is None,
    )
    # to_onnx names values after tensors, which is how `verify` finds a layer's reference
    layers = tuple(replace(layer, source=layer.output) for layer in graph.layers)
    return Source(replace(graph, layers=layers), info, builtin_name(net), ("model.onnx", to_onnx(graph)), net)


def builtin_name(net: MobileNetV1) -> str:
    """`mobilenet_v1_025_224`: alpha in hundredths and the resolution."""
    hundredths = f"{net.alpha * 100:07.3f}".rstrip("0").rstrip(".").replace(".", "_")
    return f"mobilenet_v1_{hundredths}_{net.resolution}"


def read_model(path: Path) -> Source:
    """A TFLite or ONNX file; the reference is its content, with the weights that ONNX may keep in other files."""
    from mbgen import importers

    kind, content = importers.read_model(path)
    read = importers.import_tflite if kind == "tflite" else importers.import_onnx
    graph = read(content, str(path))
    shape = graph.tensors[graph.input].shape
    info = ModelInfo(
        source=kind,
        sha256=hashlib.sha256(content).hexdigest(),
        resolution=shape[1] if len(shape) == 4 and shape[1] == shape[2] else None,
        classes=graph.tensors[graph.output].shape[-1],
    )
    return Source(graph, info, name_from_stem(path.stem), (f"model.{kind}", content))


# --- type ----------------------------------------------------------------------------------------------------------


def in_requested_type(source: Source, options: CompileOptions, target: Target) -> Source:
    """The source as it is, or quantised to int8 where that is asked for or, for the built-in model, is the default."""
    graph = source.graph
    if graph.numerics is not Numerics.FLOAT32:
        if options.dtype is not None and options.dtype != graph.tensors[graph.input].dtype:
            raise InputError(
                f"the model is quantised to {graph.tensors[graph.input].dtype} and keeps its own type; "
                f"leave out --dtype {options.dtype}, or give the float model"
            )
        if options.calibration is not None:
            raise InputError("the model is quantised already; leave out --calibration, or give the float model")
        return source
    default = "int8" if source.net is not None and target.is_microcontroller else "float32"
    if (options.dtype or default) == "float32":
        if options.calibration is not None:
            raise InputError("--calibration is for int8, but the model stays float32; add --dtype int8")
        return source
    return quantized(source, calibration_samples(source, options), calibration_summary(source, options))


def calibration_samples(source: Source, options: CompileOptions) -> Array:
    """Real input values, float32 `[n, h, w, c]`, that the ranges of the activations are taken from."""
    shape = source.graph.tensors[source.graph.input].shape
    if len(shape) != 4:
        raise InputError(f"--dtype int8 calibrates with images, but the model's input has shape {list(shape)}")
    _, height, width, channels = shape
    preprocessing = options.preprocess or (None if source.net is None else DEFAULT_PREPROCESSING)
    if options.calibration is not None:
        return load_samples(options.calibration, height, width, channels, preprocessing, limit=CALIBRATION_SAMPLES)
    if source.info.random_weights:
        pixels = synthetic_pixels(SYNTHETIC_SAMPLES, height, width, channels)
        return preprocess(pixels, preprocessing or DEFAULT_PREPROCESSING)
    raise InputError(
        "--dtype int8 needs data to set the ranges of the activations; give --calibration with a folder of about "
        f"{CALIBRATION_SAMPLES} typical images, or a .npy or .npz array"
    )


def calibration_summary(source: Source, options: CompileOptions) -> str:
    """The calibration data in words, for people."""
    return "synthetic images" if options.calibration is None else options.calibration.name


def quantized(source: Source, samples: Array, calibration: str) -> Source:
    """Post-training quantisation, after which the network is what the QDQ file says, read like any other."""
    from mbgen.importers import import_onnx
    from mbgen.quantize import quantize

    model = quantize(to_onnx(source.graph), samples)
    info = replace(source.info, calibration=calibration)
    return replace(source, graph=import_onnx(model, "the quantised model"), info=info, reference=("model.onnx", model))


# --- limits --------------------------------------------------------------------------------------------------------


def chosen_plan(
    graph: Graph, optimize: Optimize, ram: int | None, flash: int | None, target: Target, threads: int = 1
) -> Plan:
    """The plan for what is asked: for speed bands, where the core has kernels for them, or layers that run whole.

    Neither is taken where it would not fit `ram`, nor are there more bands than whose packed weights fit `flash`. Rows
    are what makes a small arena, and one kernel serves them wherever they run, so flash takes the same plan as ram.
    """

    def fits(banded: Plan) -> bool:
        within_ram = ram is None or arena_bytes(banded, target) <= ram
        return within_ram and (flash is None or packed_bytes(banded, graph) <= flash)

    if optimize == "speed":
        banded = plan_bands(graph, fits) if target.instruction_set == {"scalar", "dsp"} else None
        if banded is not None:
            return banded
        made = plan(graph, "speed" if threads == 1 else "threads", _cache(graph, target))
        if ram is None or arena_bytes(made, target) <= ram:
            return made
    return plan(graph, "ram")


def _cache(graph: Graph, target: Target) -> int | None:
    """The cache beyond which streaming pays: where kernels of float32 rows keep up with those of whole tensors."""
    rows = graph.numerics is Numerics.FLOAT32 and "avx2" in target.instruction_set
    return target.l2_bytes if rows else None


def check_ram(planned: Plan, source: Source, ram: int | None, target: Target) -> None:
    """Refuse an arena that is larger than `ram`, naming the layer that sets the peak and what would fit."""
    needed = arena_bytes(planned, target)
    if ram is None or needed <= ram:
        return
    raise RefusedError(
        f"{planned.peak_layer}: the arena needs {needed:,} bytes; {target.name} has {ram:,}. "
        f"{_smaller(source, ram)}If your part has more memory, say so with --ram."
    )


def _smaller(source: Source, ram: int) -> str:
    """What would make the arena fit: the largest of the paper's resolutions, or MLPerf Tiny's 96, if one does."""
    item_bytes = 4 if source.graph.numerics is Numerics.FLOAT32 else 1
    for resolution in (192, 160, 128, 96):
        if source.net is not None and resolution < source.net.resolution:
            net = replace(source.net, resolution=resolution)
            zeros = {name: np.zeros(shape, np.float32) for name, shape in mobilenet.weight_shapes(net).items()}
            about = plan(mobilenet.build(net, zeros), "ram").arena_bytes * item_bytes // 4
            if about <= ram:
                return f"Try --resolution {resolution} (about {about:,} bytes). "
    return _lighter(source)


def _lighter(source: Source) -> str:
    """The options that make any network of this kind smaller; empty if it has none."""
    options = ["--dtype int8"] if source.graph.numerics is Numerics.FLOAT32 else []
    options += [] if source.net is None else ["a smaller --alpha"]
    return f"Try {' or '.join(options)}. " if options else ""


def check_flash(constant_bytes: int, source: Source, flash: int | None, target: Target) -> None:
    """Refuse weights that are larger than `flash`; the code comes on top and is known only after it is built."""
    if flash is not None and constant_bytes > flash:
        raise RefusedError(
            f"the constants need {constant_bytes:,} bytes without the code; {target.name} has {flash:,} of flash. "
            f"{_lighter(source)}If your part has more flash, say so with --flash."
        )


# --- the self-test -------------------------------------------------------------------------------------------------


def natural_preprocessing(tensor: Tensor) -> str:
    """The preprocessing under which a quantised input holds the pixel itself, shifted to its type's range.

    Networks trained on bytes have one; for others, and for float inputs, the released MobileNets' is assumed.
    """
    if tensor.quantization is not None:
        pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        low, _ = INTEGER_RANGE[tensor.dtype]
        for name, steps in PREPROCESSING.items():
            if len(steps.mean) == 1 and np.array_equal(
                quantize_pixels(pixels, tensor, name).astype(np.int32), pixels.astype(np.int32) + low
            ):
                return name
    return DEFAULT_PREPROCESSING


def sample_input(tensor: Tensor, preprocessing: str) -> Array:
    """A made-up picture as the network's input holds it; seeded random values where the input is no picture."""
    if len(tensor.shape) == 4:
        return quantize_pixels(synthetic_pixels(1, *tensor.shape[1:]), tensor, preprocessing)
    random = np.random.default_rng(0)
    if tensor.dtype == "float32":
        return random.uniform(-1.0, 1.0, tensor.shape).astype(np.float32)
    low, high = INTEGER_RANGE[tensor.dtype]
    return random.integers(low, high, tensor.shape, tensor.dtype, endpoint=True)
