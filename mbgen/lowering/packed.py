"""Depthwise and pointwise tiles with packed sums, for cores with the DSP extension.

A depthwise tile reads planes of 16-bit values and leaves triples: two words a channel for three pixels, which is how
the pointwise tile behind it, and the first convolution, read them. See `mbgen.intrinsics.dsp` for what the words mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import s_tir, tirx

from mbgen.graph import DType
from mbgen.lowering.builder import T, build, conditions, constant, grid, local, parameter, when
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tiling import start
from mbgen.lowering.tir import helper_statement
from mbgen.schedules.packed import PackedLoops

FIELD = 1 << 21
BLOCK = 4  # output channels of a pointwise tile
DEPTHWISE_WORDS = 9  # of a channel: start, six pairs of taps, multiplier and addend
START_WORDS = 8  # of a block: four sums to start from


@dataclass(frozen=True)
class Finish:
    """How a sum becomes a level: by multiplier, addend and `shift`, or where that is not exact by the layer's epilogue.

    `least` is the output value of level 0. A channel's level may be off at `patches` sums.
    """

    shift: int
    exact: Epilogue | None
    least: int
    patches: int = 0

    @property
    def kind(self) -> str:
        """Of code: "line", "patched" or "exact"."""
        return "exact" if self.exact is not None else "patched" if self.patches else "line"

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and element type of the per-channel arrays that only the exact form reads."""
        return () if self.exact is None else (*self.exact.parameters, ("offset", "int32"))

    def level(self, total: Any, arrays: tuple[Any, ...]) -> Any:
        """The exact form: the level of a sum that has its channel's offset added."""
        assert self.exact is not None
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
class PackedDepthwise:
    """A tile of `outputs` columns of one row, 3x3; rows are `pitch` bytes apart and channels `channel` bytes."""

    channels: int
    outputs: int
    stride: int
    pitch: int
    channel: int
    finish: Finish


@dataclass(frozen=True)
class PackedGemm:
    """output[i, n] = level of the sum over k of input[i, k] * weights[n, k], three pixels i in a pair of words.

    The k are in `parts` runs of as many each, which begin `pitch` words apart; triples begin `triple` words apart.
    `splits` cut k so that the fields of no cut overflow; in `wide` two fields next to each other may together. With
    `ahead` loads are issued one step before their use. Places of the output are in elements: `pixel` from one column
    to the next, `plane` from one channel to the next.
    """

    m: int
    n: int
    k: int
    parts: int
    pitch: int
    triple: int
    splits: tuple[int, ...]
    wide: bool
    ahead: bool
    pixel: int
    plane: int
    dtype: str
    finish: Finish


def _run(name: str, *arguments: Any) -> None:
    """Statement: a call of a tile of mbgen.intrinsics.dsp."""
    T.evaluate(helper_statement(name, *arguments))


def _address(buffer: Any, index: Any = 0) -> Any:
    return tirx.address_of(buffer[index])


def _all(buffer: Any) -> Any:
    return buffer[0 : buffer.shape[0]]


def schedule_pack(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """A triple of pixels at a time, its taps one after the other without a loop."""
    sch: Any = s_tir.Schedule(function)
    sch.unroll(sch.get_loops(sch.get_sblock("pack"))[1])
    return sch.mod["main"]


def schedule_gemm(function: tirx.PrimFunc, loops: PackedLoops) -> tirx.PrimFunc:
    """The order of the loops over tiles, and some turns of the inner one written out."""
    sch: Any = s_tir.Schedule(function)
    outer, inner = sch.get_loops(sch.get_sblock("gemm"))
    if loops.inner == "pixels":
        sch.reorder(inner, outer)
        inner = outer
    _write_out(sch, inner, loops.unroll)
    return sch.mod["main"]


def schedule_depthwise(function: tirx.PrimFunc, unroll: int) -> tirx.PrimFunc:
    """`unroll` channels in one turn of the loop."""
    sch: Any = s_tir.Schedule(function)
    (channel,) = sch.get_loops(sch.get_sblock("depthwise"))
    _write_out(sch, channel, unroll)
    return sch.mod["main"]


def _write_out(sch: Any, loop: Any, count: int) -> None:
    if count > 1:
        _, turns = sch.split(loop, [None, count])
        sch.unroll(turns)


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


def define_depthwise(form: PackedDepthwise) -> tirx.PrimFunc:
    """The compute definition."""
    words = form.channels * 2
    reach = ((form.channels - 1) * form.channel + 2 * form.pitch) // 2 + (form.outputs - 1) * form.stride + 3

    def body() -> None:
        x = parameter("input", (reach,), "uint16")
        w = parameter("weights", (form.channels * DEPTHWISE_WORDS,), "int32")
        arrays = [parameter(name, (form.channels,), dtype) for name, dtype in form.finish.parameters]
        patches = (
            parameter("patches", (form.channels * form.finish.patches * 2,), "int32") if form.finish.patches else None
        )
        y = parameter("output", (form.outputs // 3 * words,), "int32")
        level = local("level", (form.outputs,), "int32")
        with grid("depthwise", {"c": form.channels}) as (c,):
            tables = [*arrays, *([] if patches is None else [patches])]
            T.reads(x[0:reach], w[0 : form.channels * DEPTHWISE_WORDS], *(_all(table) for table in tables))
            T.writes(y[0 : form.outputs // 3 * words])
            _run(
                f"depthwise_s{form.stride}x{form.outputs}",
                _address(level),
                _address(x, c * (form.channel // 2)),
                _address(w, c * DEPTHWISE_WORDS),
                form.pitch,
            )
            scale = c * DEPTHWISE_WORDS + DEPTHWISE_WORDS - 2

            def rescale() -> None:
                _run(f"levels_x{form.outputs}", _address(level), _address(w, scale), form.finish.shift)

            if patches is not None:
                with T.If(patches[c * form.finish.patches * 2 + 1] != 0):
                    with T.Then():
                        given = _address(w, scale), form.finish.shift, _address(patches, c * form.finish.patches * 2)
                        _run("patched_levels", _address(level), form.outputs, *given, form.finish.patches)
                    with T.Else():
                        rescale()
            elif form.finish.exact is None:
                rescale()
            else:
                for i in range(form.outputs):
                    value = form.finish.level(level[i], tuple(array[c] for array in arrays))
                    T.buffer_store(level, value, [i])
            for triple in range(form.outputs // 3):
                for word in range(2):
                    low, high = (level[3 * triple + word + i] for i in range(2))
                    place = triple * words + c * 2 + word
                    T.buffer_store(y, low + high * constant(FIELD, "int32"), [place])

    return build(body)


def define_gemm(form: PackedGemm) -> tirx.PrimFunc:
    """The compute definition."""
    triples, blocks = -(-form.m // 3), -(-form.n // BLOCK)
    block_words = len(form.splits) * START_WORDS + 2 * form.k + 2 * BLOCK
    reach = (triples - 1) * form.triple + (form.parts - 1) * form.pitch + 2 * form.k // form.parts
    extent = (form.m - 1) * form.pixel + (form.n - 1) * form.plane + 1
    suffix = "_wide" if form.wide else ""
    ahead = "_ahead" if form.ahead else ""
    whole = len(form.splits) == 1 and form.finish.exact is None

    def body() -> None:
        x = parameter("input", (reach,), "int32")
        w = parameter("weights", (blocks * block_words,), "int32")
        arrays = [parameter(name, (blocks * BLOCK,), dtype) for name, dtype in form.finish.parameters]
        patches = (
            parameter("patches", (blocks * BLOCK * form.finish.patches * 2,), "int32") if form.finish.patches else None
        )
        flags = parameter("patched", (blocks,), "int8") if form.finish.patches else None
        y = parameter("output", (extent,), form.dtype)
        acc = local("acc", (4,), "int64")
        level = local("level", (6 if whole and patches is None else 12,), "int32")
        part = local("part", (6,), "int32") if len(form.splits) > 1 else level

        def store(t: Any, n: Any, pair: int, place: int) -> None:
            """Both channels of a pair, whose levels begin at `place`."""
            for channel in range(2):
                number = n * BLOCK + 2 * pair + channel
                rest = form.n % BLOCK
                with when(conditions((0 < rest <= 2 * pair + channel, number < form.n))):
                    for j in range(3):
                        value = level[place + 3 * channel + j]
                        if form.dtype != "uint16":
                            value = value + constant(form.finish.least, "int32")
                        index = (start(t, form.m, 3) + j) * form.pixel + number * form.plane
                        T.buffer_store(y, value.astype(form.dtype), [index])

        with grid("gemm", {"t": triples, "n": blocks}) as (t, n):
            tables = [*arrays, *(table for table in (patches, flags) if table is not None)]
            T.reads(x[0:reach], w[0 : blocks * block_words], *(_all(table) for table in tables))
            T.writes(y[0:extent])
            at, first = n * block_words, 0
            for number, k in enumerate(form.splits):
                steps = k // form.parts
                source = _address(x, t * form.triple + 2 * first)
                _run(f"packed_sums{ahead}", _address(acc), source, _address(w, at), steps, form.parts, form.pitch)
                at, first = at + START_WORDS + 2 * k, first + k
                if whole:
                    break
                for pair in range(2):
                    fields = level if number == 0 else part
                    place = 6 * pair if number == 0 else 0
                    _run(f"packed_fields{suffix}", _address(fields, place), acc[2 * pair], acc[2 * pair + 1])
                    for i in range(6 if number > 0 else 0):
                        T.buffer_store(level, level[6 * pair + i] + part[i], [6 * pair + i])

            def rescaled() -> None:
                """Levels by multiplier and addend, straight from the accumulators."""
                for pair in range(2):
                    pixels, scale = (acc[2 * pair], acc[2 * pair + 1]), _address(w, at + 4 * pair)
                    _run(f"packed_levels{suffix}", _address(level), *pixels, scale, form.finish.shift)
                    store(t, n, pair, 0)

            def finished(patched: bool) -> None:
                """Levels from sums that are out of their fields."""
                for channel in range(BLOCK):
                    place, scale, number = 3 * channel, at + 2 * channel, n * BLOCK + channel
                    if patched:
                        assert patches is not None
                        first = number * form.finish.patches * 2
                        with T.If(patches[first + 1] != 0):
                            with T.Then():
                                given = _address(w, scale), form.finish.shift, _address(patches, first)
                                _run("patched_levels", _address(level, place), 3, *given, form.finish.patches)
                            with T.Else():
                                _run("levels_x3", _address(level, place), _address(w, scale), form.finish.shift)
                    elif form.finish.exact is None:
                        _run("levels_x3", _address(level, place), _address(w, scale), form.finish.shift)
                    else:
                        for j in range(place, place + 3):
                            value = form.finish.level(level[j], tuple(array[number] for array in arrays))
                            T.buffer_store(level, value, [j])
                for pair in range(2):
                    store(t, n, pair, 6 * pair)

            if flags is None:
                if whole:
                    rescaled()
                else:
                    finished(patched=False)
                return
            with T.If(flags[n] != 0):
                with T.Then():
                    for pair in range(2 if whole else 0):
                        pixels = acc[2 * pair], acc[2 * pair + 1]
                        _run(f"packed_fields{suffix}", _address(level, 6 * pair), *pixels)
                    finished(patched=True)
                with T.Else():
                    if whole:
                        rescaled()
                    else:
                        finished(patched=False)

    return build(body)
