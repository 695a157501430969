"""Depthwise and pointwise tiles with packed sums, for cores with the DSP extension.

A depthwise tile reads planes of 16-bit values and leaves triples: two words a channel for three pixels, which is how
the pointwise tile behind it, and the first convolution, read them. See `mbgen.intrinsics.dsp` for what the words mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import s_tir, tirx

from mbgen.graph import DType
from mbgen.intrinsics.dsp import CHANNELS, FIELD, PIXELS
from mbgen.lowering.builder import T, build, conditions, constant, grid, local, parameter, run, when
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.printer import ABBREVIATIONS
from mbgen.lowering.tiling import start

DEPTHWISE_WORDS = 7  # of a channel: start and six pairs of taps
START_WORDS = 8  # of a block: four sums to start from


@dataclass(frozen=True)
class Finish:
    """How a sum becomes a level where no multiplier and addend are exact: by the layer's epilogue.

    `least` is the output value of level 0.
    """

    exact: Epilogue
    least: int

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and element type of the per-channel arrays that it reads."""
        return (*self.exact.parameters, ("offset", "int32"))

    def level(self, total: Any, arrays: tuple[Any, ...]) -> Any:
        """The level of a sum that has its channel's offset added."""
        *scales, offset = arrays
        return self.exact.finish(total - offset, tuple(scales)).astype("int32") - constant(self.least, "int32")


@dataclass(frozen=True)
class PackRow:
    """Words of a first convolution's windows in one image row: output[t, k] holds tap k of pixels 3t to 3t + 2."""

    width: int  # elements of the row, padding included
    ow: int
    taps: int  # columns of a window times channels
    step: int  # elements from one window to the next
    dtype: DType


@dataclass(frozen=True)
class DepthwiseTile:
    """A tile of `outputs` columns of one row, 3x3; rows are `pitch` bytes apart and channels `channel` bytes."""

    channels: int
    outputs: int
    stride: int
    pitch: int
    channel: int

    @property
    def reach(self) -> int:
        """Elements of the input, from the first that is read on."""
        before = ((self.channels - 1) * self.channel + 2 * self.pitch) // 2
        return before + (self.outputs - 1) * self.stride + 3

    @property
    def words(self) -> int:
        """Of the output."""
        return self.outputs // PIXELS * self.channels * 2


@dataclass(frozen=True)
class ExactDepthwise:
    """A tile whose levels are by the exact form."""

    tile: DepthwiseTile
    finish: Finish


@dataclass(frozen=True)
class DepthwiseRun:
    """A tile whose levels are by multiplier, addend and `shift`; a stream of `words`, with patches if `patched`."""

    tile: DepthwiseTile
    words: int
    patched: bool
    shift: int
    single: bool  # loads, of one word


@dataclass(frozen=True)
class GemmTile:
    """output[i, n] = level of the sum over k of input[i, k] * weights[n, k], three pixels i in a pair of words.

    The k are in `parts` runs of as many each, which begin `pitch` words apart; triples begin `triple` words apart. With
    `ahead` loads are issued one step before their use. Places of the output are in elements: `pixel` from one column
    to the next, `plane` from one channel to the next.
    """

    m: int
    n: int
    k: int
    parts: int
    pitch: int
    triple: int
    ahead: bool
    pixel: int
    plane: int
    dtype: str

    @property
    def triples(self) -> int:
        return -(-self.m // PIXELS)

    @property
    def blocks(self) -> int:
        return -(-self.n // CHANNELS)

    @property
    def reach(self) -> int:
        """Words of the input."""
        return (self.triples - 1) * self.triple + (self.parts - 1) * self.pitch + 2 * self.k // self.parts

    @property
    def item(self) -> int:
        """Bytes of an element of the output."""
        return 2 if self.dtype == "uint16" else 1

    def extent(self, channels: int) -> int:
        """Elements from the first to the last that is written of so many channels."""
        return (self.m - 1) * self.pixel + (channels - 1) * self.plane + 1


@dataclass(frozen=True)
class ExactGemm:
    """A tile whose levels are by the exact form.

    `splits` cut k so that the fields of no cut overflow; in `wide` two fields next to each other may together.
    """

    tile: GemmTile
    splits: tuple[int, ...]
    wide: bool
    finish: Finish


@dataclass(frozen=True)
class Run:
    """Blocks of channels with k cut alike: `words` of the stream, `splits` parts of `size` k, the last of `last`."""

    words: int
    size: int
    last: int
    splits: int
    wide: bool
    patched: bool


@dataclass(frozen=True)
class PackedRuns:
    """A tile whose levels are by multiplier, addend and `shift`, plus `least`; as `runs` of blocks.

    Blocks are of neighbouring channels, the last one's rest being written too, or if `scattered` of any.
    """

    tile: GemmTile
    runs: tuple[Run, ...]
    scattered: bool
    least: int
    shift: int
    straight: int  # steps of k without a loop


def _address(buffer: Any, index: Any = 0) -> Any:
    return tirx.address_of(buffer[index])


def _all(buffer: Any) -> Any:
    return buffer[0 : buffer.shape[0]]


def schedule_pack(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """A triple of pixels at a time, its taps one after the other without a loop."""
    sch: Any = s_tir.Schedule(function)
    sch.unroll(sch.get_loops(sch.get_sblock("pack"))[1])
    return sch.mod["main"]


def define_pack(form: PackRow) -> tirx.PrimFunc:
    """The compute definition."""
    triples = -(-form.ow // 3)

    def body() -> None:
        x = parameter("input", (form.width,), form.dtype)
        y = parameter("output", (triples * form.taps * 2,), "int32")
        with grid("pack", {"t": triples, "k": form.taps}) as (t, k):
            first = start(t, form.ow, 3) * form.step + k
            T.reads(x[0 : form.width])
            T.writes(y[0 : triples * form.taps * 2])
            for word in range(2):
                low, high = (x[first + (word + i) * form.step].astype("int32") for i in range(2))
                T.buffer_store(y, low + high * constant(FIELD, "int32"), [(t * form.taps + k) * 2 + word])

    return build(body)


def define_exact_depthwise(form: ExactDepthwise) -> tirx.PrimFunc:
    """The compute definition."""
    tile, finish = form.tile, form.finish

    def body() -> None:
        x = parameter("input", (tile.reach,), "uint16")
        w = parameter("weights", (tile.channels * DEPTHWISE_WORDS,), "int32")
        arrays = [parameter(name, (tile.channels,), dtype) for name, dtype in finish.parameters]
        y = parameter("output", (tile.words,), "int32")
        level = local("level", (tile.outputs,), "int32")
        with grid("depthwise", {"c": tile.channels}) as (c,):
            T.reads(*(_all(buffer) for buffer in (x, w, *arrays)))
            T.writes(_all(y))
            source, weights = _address(x, c * (tile.channel // 2)), _address(w, c * DEPTHWISE_WORDS)
            run(f"depthwise_s{tile.stride}x{tile.outputs}", _address(level), source, weights, tile.pitch)
            for i in range(tile.outputs):
                T.buffer_store(level, finish.level(level[i], tuple(array[c] for array in arrays)), [i])
            for triple in range(tile.outputs // PIXELS):
                for word in range(2):
                    low, high = (level[PIXELS * triple + word + i] for i in range(2))
                    place = triple * tile.channels * 2 + c * 2 + word
                    T.buffer_store(y, low + high * constant(FIELD, "int32"), [place])

    return build(body)


def define_depthwise_run(form: DepthwiseRun) -> tirx.PrimFunc:
    """The compute definition."""
    tile = form.tile

    def body() -> None:
        x = parameter("input", (tile.reach,), "uint16")
        w = parameter("weights", (form.words,), "int32")
        y = parameter("output", (tile.words,), "int32")
        with grid("depthwise", {}):
            T.reads(_all(x), _all(w))
            T.writes(_all(y))
            given = tile.channels, tile.pitch, tile.channel, int(form.single), int(form.patched), form.shift
            run(f"depthwise_run_s{tile.stride}x{tile.outputs}", _address(y), _address(x), _address(w), *given)

    return build(body)


def define_exact_gemm(form: ExactGemm) -> tirx.PrimFunc:
    """The compute definition."""
    tile, finish = form.tile, form.finish
    block = len(form.splits) * START_WORDS + 2 * tile.k

    def body() -> None:
        x = parameter("input", (tile.reach,), "int32")
        w = parameter("weights", (tile.blocks * block,), "int32")
        arrays = [parameter(name, (tile.blocks * CHANNELS,), dtype) for name, dtype in finish.parameters]
        y = parameter("output", (tile.extent(tile.n),), tile.dtype)
        acc = local("acc", (4,), "int64")
        level = local("level", (12,), "int32")
        part = local("part", (6,), "int32") if len(form.splits) > 1 else level
        with grid("gemm", {"t": tile.triples, "n": tile.blocks}) as (t, n):
            T.reads(*(_all(buffer) for buffer in (x, w, *arrays)))
            T.writes(_all(y))
            at, first = n * block, 0
            for number, k in enumerate(form.splits):
                places = _address(acc), _address(x, t * tile.triple + 2 * first), _address(w, at)
                run(f"packed_sums{'_ahead' if tile.ahead else ''}", *places, k // tile.parts, tile.parts, tile.pitch)
                at, first = at + START_WORDS + 2 * k, first + k
                for pair in range(2):
                    fields, place = (level, 6 * pair) if number == 0 else (part, 0)
                    given = _address(fields, place), acc[2 * pair], acc[2 * pair + 1]
                    run(f"packed_fields{'_wide' if form.wide else ''}", *given)
                    for i in range(6 if number > 0 else 0):
                        T.buffer_store(level, level[6 * pair + i] + part[i], [6 * pair + i])
            for channel in range(CHANNELS):
                number, rest = n * CHANNELS + channel, tile.n % CHANNELS
                with when(conditions((0 < rest <= channel, number < tile.n))):
                    for j in range(PIXELS):
                        total = level[PIXELS * channel + j]
                        value = finish.level(total, tuple(array[number] for array in arrays))
                        if tile.dtype != "uint16":
                            value = value + constant(finish.least, "int32")
                        index = (start(t, tile.m, PIXELS) + j) * tile.pixel + number * tile.plane
                        T.buffer_store(y, value.astype(tile.dtype), [index])

    return build(body)


def define_runs(form: PackedRuns) -> tirx.PrimFunc:
    """The compute definition."""
    tile, words = form.tile, sum(one.words for one in form.runs)
    name = f"packed_run_{ABBREVIATIONS[tile.dtype]}{'_ahead' if tile.ahead else ''}"
    steps = tile.pixel * tile.item, tile.plane * tile.item

    def body() -> None:
        x = parameter("input", (tile.reach,), "int32")
        w = parameter("weights", (words,), "int32")
        channels = tile.n if form.scattered else tile.blocks * CHANNELS
        y = parameter("output", (tile.extent(channels),), tile.dtype)
        with grid("gemm", {"t": tile.triples}) as (t,):
            T.reads(_all(x), _all(w))
            T.writes(_all(y))
            first = 0
            for one in form.runs:
                places = _address(y, start(t, tile.m, PIXELS) * tile.pixel), _address(x, t * tile.triple)
                k = one.size // tile.parts, one.last // tile.parts, one.splits, tile.parts, tile.pitch, form.straight
                kind = int(one.wide), int(one.patched), int(form.scattered)
                run(name, *places, _address(w, first), one.words, *k, *kind, *steps, form.least, form.shift)
                first += one.words

    return build(body)
