"""Building a generated library into a test program and running it on its target: this machine, or QEMU.

Knows a library by its manifest and public header only. May not know the graph, or what a layer's output should be.
"""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mbgen.data import data_folder
from mbgen.errors import InputError, RefusedError
from mbgen.graph import Array
from mbgen.target import Target, load_target
from mbgen.templates import environment
from mbgen.toolchain import build, run

Json = Mapping[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_INPUTS = 16  # in one run of the program: few enough that progress shows
BATCH_BYTES = 64 * 2**20  # of layer outputs in one run, unless one inference alone has more
STACK_BYTES = 64 * 1024  # on bare metal, beside the output that a self-test holds there
PAINTED_BYTES = 48 * 1024  # of the stack, to see how much of it is used
START_SECONDS = 60.0  # that a run may take beside its MACs
SECONDS_PER_MAC = 2e-6  # ten times what soft float takes in QEMU

RECORD_HEAD = struct.Struct("<I")  # before each piece of output: the layer's index

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}


def read_manifest(directory: Path) -> Json:
    """The manifest of a generated library; InputError if there is none."""
    try:
        manifest: Json = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{directory} holds no library of mbgen: its manifest.json cannot be read ({error})"
        ) from error
    return manifest


def run_layers(directory: Path, inputs: Array) -> Iterator[dict[str, Array]]:
    """Run the library on its target and give, for each input, every layer's output by the layer's name.

    `inputs` is `[n, h, w, c]` in the type of the network's input. The library is built once, with the flags in its
    manifest, and runs in as many processes at a time as this machine has cores. Before each inference the arena and the
    output are filled with 0xA5, and after each layer what the plan is done with: a layer that reads what nothing has
    written, or what need not be there any more, gives itself away.

    InputError if `inputs` does not fit the network; MissingToolError without compiler or emulator; RefusedError if the
    library does not fit the emulated board, crashes, hangs or leaves a layer out.
    """
    manifest = read_manifest(directory)
    target = load_target(manifest["target"]["name"])
    layers = manifest["layers"]
    _check_inputs(manifest, inputs)
    batch_inputs = max(
        1, min(BATCH_INPUTS, BATCH_BYTES // sum(_records(layer) * _record_bytes(layer) for layer in layers))
    )
    seconds = START_SECONDS + SECONDS_PER_MAC * manifest["macs_executed"] * batch_inputs

    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        folder = Path(name)
        program = _build_layers_program(directory, manifest, target, inputs, folder)

        def run_batch(batch: Array) -> list[dict[str, Array]]:
            with tempfile.TemporaryDirectory(dir=folder) as run_name:
                run_folder = Path(run_name)
                batch.tofile(run_folder / "inputs.bin")
                run(target, program, run_folder, seconds)
                return _read_dump(run_folder / "outputs.bin", layers, len(batch))

        batches = [inputs[start : start + batch_inputs] for start in range(0, len(inputs), batch_inputs)]
        for dumps in _map_in_order(run_batch, batches):
            yield from dumps


def self_test(directory: Path) -> None:
    """Build the library and run its self-test on its target; RefusedError if it does not pass."""
    manifest = read_manifest(directory)
    target = load_target(manifest["target"]["name"])
    _check_board(manifest, target, manifest["arena_bytes"])
    run_program([directory], _render("self_test.c.jinja", name=manifest["name"]))


def stack_bytes(directory: Path) -> int:
    """How many bytes of stack NAME_invoke takes on the library's target, built with the flags in its manifest.

    The stack below the caller is painted, and the deepest byte that is not found so afterwards counts; the caller's own
    frame does not. Errors as `run_layers`.
    """
    manifest = read_manifest(directory)
    target = load_target(manifest["target"]["name"])
    ends = [_tensor_bytes(manifest[end]["shape"], manifest[end]["dtype"]) for end in ("input", "output")]
    _check_board(manifest, target, manifest["arena_bytes"] + sum(ends))
    main = _render(
        "stack.c.jinja",
        name=manifest["name"],
        input_type=_C_TYPES[manifest["input"]["dtype"]],
        output_type=_C_TYPES[manifest["output"]["dtype"]],
        painted_bytes=PAINTED_BYTES,
    )
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        folder = Path(name)
        seconds = START_SECONDS + 2 * SECONDS_PER_MAC * manifest["macs_executed"]
        run(target, build_program([directory], main, folder), folder, seconds)
        (taken,) = struct.unpack("<I", (folder / "outputs.bin").read_bytes())
    return int(taken)


def run_program(directories: Sequence[Path], main: str, c_flags: Sequence[str] = (), seconds: float = 600) -> str:
    """Build a C program from its `main` and libraries of one target, run it there, and return what it printed.

    `main` may include `harness.h`, which prints and exits on bare metal too. `c_flags` come after the libraries' own.
    Errors as `run_layers`; an exit code other than 0 is a RefusedError.
    """
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        folder = Path(name)
        target = load_target(read_manifest(directories[0])["target"]["name"])
        return run(target, build_program(directories, main, folder, c_flags), folder, seconds)


def build_program(
    directories: Sequence[Path],
    main: str,
    folder: Path,
    c_flags: Sequence[str] = (),
    more_sources: Sequence[Path] = (),
) -> Path:
    """As `run_program`, but only build, in `folder` and from more C sources; returns the executable."""
    manifest = read_manifest(directories[0])
    target = load_target(manifest["target"]["name"])
    harness = data_folder("templates") / "harness"
    source, executable = folder / "main.c", folder / str(manifest["name"])
    source.write_text(main, encoding="ascii")
    sources = [source, *(path for directory in directories for path in sorted((directory / "src").glob("*.c")))]
    sources += more_sources
    includes = [path for directory in directories for path in (directory / "include", directory / "src")]
    link_flags: list[str] = []
    if target.memory is not None:
        script = folder / "cortex_m.ld"
        stack = max(_board_stack(read_manifest(directory)) for directory in directories)
        script.write_text(_render("cortex_m.ld.jinja", memory=target.memory, stack_bytes=stack), encoding="ascii")
        sources += [harness / "startup.c", harness / "semihosting.c"]
        link_flags = ["-nostartfiles", "-Wl,--gc-sections", "-T", str(script)]
    else:
        sources.append(harness / "linux.c")
        if target.runner == "qemu-user":
            link_flags = ["-static"]  # the emulated program finds no shared libraries of its own on this machine
    include_flags = [flag for path in (*includes, harness) for flag in ("-I", str(path.resolve()))]
    flags = [*manifest["target"]["c_flags"], *include_flags, *c_flags]
    build(target, sources, executable, flags, link_flags)
    return executable


def _board_stack(manifest: Json) -> int:
    """In multiples of 8 bytes; a library of helpers alone has no output."""
    output = manifest.get("output")
    room = 0 if output is None else _tensor_bytes(output["shape"], output["dtype"])
    return STACK_BYTES + -(-room // 8) * 8


def _build_layers_program(directory: Path, manifest: Json, target: Target, inputs: Array, folder: Path) -> Path:
    layers = manifest["layers"]
    input_bytes = math.prod(inputs.shape[1:]) * inputs.itemsize
    _check_board(manifest, target, manifest["arena_bytes"] + input_bytes + _output_bytes(layers[-1]))
    hooks = folder / "hooks.h"
    hooks.write_text(_render("hooks.h.jinja", name=manifest["name"]), encoding="ascii")
    main = _render(
        "layers.c.jinja",
        name=manifest["name"],
        input_type=_C_TYPES[str(inputs.dtype)],
        output_type=_C_TYPES[layers[-1]["dtype"]],
        layers=[
            {
                "name": layer["name"],
                "start": _address(layer),
                "bytes": _record_bytes(layer),
                "slots": layer["output"].get("slots", 1),
                "ends": _ends(layer),
                "total": _ends(layer) * _records(layer),
            }
            for layer in layers
        ],
        dead=_dead(manifest),
    )
    return build_program([directory], main, folder, ["-include", str(hooks)])


def _dead(manifest: Json) -> Iterator[dict[str, int]]:
    """The stretches of the arena that hold nothing of use when a layer has ended, once all rows have come."""
    streamed = sum(layer["streamed"] for layer in manifest["layers"])
    for index in range(max(streamed, 1), len(manifest["layers"])):
        needed = [buffer for buffer in manifest["buffers"] if buffer["first"] < index <= buffer["last"]]
        start = 0
        for buffer in sorted(needed, key=lambda one: int(one["offset"])):
            if buffer["offset"] > start:
                yield {"after": index - 1, "start": start, "bytes": buffer["offset"] - start}
            start = max(start, buffer["offset"] + buffer["bytes"])
        if manifest["arena_bytes"] > start:
            yield {"after": index - 1, "start": start, "bytes": manifest["arena_bytes"] - start}


def _check_inputs(manifest: Json, inputs: Array) -> None:
    first = next(layer for layer in manifest["layers"] if "input" in layer["inputs"])
    expected = first["input_shapes"][first["inputs"].index("input")]
    if list(inputs.shape[1:]) != expected[1:] or str(inputs.dtype) not in _C_TYPES:
        raise InputError(
            f"{manifest['name']}: each input must be {'x'.join(map(str, expected[1:]))} of int8, uint8 or float32; "
            f"these are {'x'.join(map(str, inputs.shape[1:]))} of {inputs.dtype}"
        )


def _check_board(manifest: Json, target: Target, ram: int) -> None:
    """Refuse what the emulated board has no room for; the linker would say so too, in its own words."""
    if target.memory is None:
        return
    for what, needed, region in (
        ("RAM", ram + _board_stack(manifest), target.memory.data),
        ("constants", manifest["constant_bytes"], target.memory.constants),
    ):
        if needed > region.size:
            raise RefusedError(
                f"{manifest['name']}: running it takes {needed:,} bytes of {what}; {target.machine}, the board that "
                f"QEMU emulates for {target.name}, has {region.size:,}. Compile it for another target to run it here."
            )


def _read_dump(path: Path, layers: Sequence[Json], inputs: int) -> list[dict[str, Array]]:
    """Every layer's output for each input, put together from the records that templates/harness/layers.c writes."""
    content = path.read_bytes() if path.exists() else b""
    expected = inputs * sum(_records(layer) * (_record_bytes(layer) + RECORD_HEAD.size) for layer in layers)
    if len(content) != expected:
        raise RefusedError(
            f"the library reported {len(content):,} bytes of layer outputs for {inputs} inputs; its manifest promises "
            f"{expected:,}. Were its sources edited? Compile it again."
        )
    records: list[list[bytes]] = [[] for _ in layers]
    place = 0
    while place < len(content):
        (index,) = RECORD_HEAD.unpack_from(content, place)
        start, place = place + RECORD_HEAD.size, place + RECORD_HEAD.size + _record_bytes(layers[index])
        records[index].append(content[start:place])
    outputs: list[list[Array]] = []
    for layer, pieces in zip(layers, records, strict=True):
        each = _records(layer)
        outputs.append([_tensor(layer, pieces[number * each : (number + 1) * each]) for number in range(inputs)])
    return [
        {layer["name"]: values[number] for layer, values in zip(layers, outputs, strict=True)}
        for number in range(inputs)
    ]


def _tensor(layer: Json, records: Sequence[bytes]) -> Array:
    """A layer's output, NHWC without the batch, from its records of one inference."""
    shape, storage = layer["output_shape"], layer["storage"]
    if storage is None:
        return np.frombuffer(b"".join(records), layer["dtype"]).reshape(shape)
    rows = []
    for oh in range(shape[1]):
        if layer["output"]["place"] == "tile":
            tiles, row = layer["tiles"], np.zeros((1, *shape[2:]), np.int64)
            count = len(tiles["starts"])
            for start, record in zip(tiles["starts"], records[oh * count : (oh + 1) * count], strict=True):
                row[0, start : start + tiles["columns"]] = stored_row(storage, record, 0, tiles["columns"], shape[3])
        else:
            record = records[oh if len(records) > 1 else 0]
            row = stored_row(storage, record, oh, shape[2], shape[3])[np.newaxis]
        rows.append(row)
    return np.stack(rows, axis=1).astype(layer["dtype"])


def stored_row(storage: Json, memory: bytes, oh: int, width: int, channels: int) -> Array:
    """Row `oh` of a tensor as int64 `[width, channels]`, from memory that holds it as the manifest's `storage` says."""
    item = np.dtype(storage["item"])
    start = storage["origin"] + (oh + storage["border"]) % storage["slots"] * storage["row"]
    columns, each = (-(-width // 3), 2) if storage["triples"] else (width, 1)
    items = np.frombuffer(memory, item, (len(memory) - start) // item.itemsize, start)
    values = np.lib.stride_tricks.as_strided(
        items,
        (columns, channels, each),
        (storage["column"], storage["channel"], item.itemsize),
    ).astype(np.int64)
    if storage["triples"]:
        mask = (1 << 21) - 1
        first, second = values[..., 0], values[..., 1]
        pixels = np.stack([first & mask, second & mask, second >> 21], axis=1)  # [columns, 3, channels]
        values = pixels.reshape(-1, channels)[:width, :, np.newaxis]
    row: Array = values[..., 0] - storage["add"]
    return row


def _records(layer: Json) -> int:
    """In how many records the layer's output comes: as often as another row or tile of it is in memory."""
    place, rows = layer["output"]["place"], int(layer["output_shape"][1]) if len(layer["output_shape"]) > 1 else 1
    if place == "tile":
        return rows * len(layer["tiles"]["starts"])
    return rows if place == "row" else 1


def _record_bytes(layer: Json) -> int:
    storage = layer["storage"]
    if storage is not None:
        return int(storage["nbytes"])
    return _output_bytes(layer) // _records(layer)


def _ends(layer: Json) -> int:
    """How often the layer ends until a record of it is there: in the pipeline for each row, in bands for each tile."""
    if layer["tiles"] is not None:
        return int(layer["output_shape"][1]) * len(layer["tiles"]["starts"]) // _records(layer)
    return int(layer["output_shape"][1]) // _records(layer) if layer["streamed"] else 1


def _output_bytes(layer: Json) -> int:
    return _tensor_bytes(layer["output_shape"], layer["dtype"])


def _tensor_bytes(shape: Sequence[int], dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _address(layer: Json) -> str:
    """Where the layer's output is, as C."""
    output = layer["output"]
    return "output" if output["place"] == "output" else f"arena.bytes + {output['offset']}"


def _map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """As `map`, working on as many items at a time as there are cores, and no further ahead than that."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _render(template: str, **values: object) -> str:
    return environment("harness").get_template(template).render(values)
