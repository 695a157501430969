"""Schedules of int8 GEMMs by AArch64's helpers: the forms and sizes of tiles there are, and what they cost.

May not know TVM, so that a schedule can be compared, stored and replayed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mbgen.intrinsics import dotprod, neon_int8, neon_rows
from mbgen.intrinsics.neon_rescale import Kind
from mbgen.intrinsics.neon_tile import STEPS, Form, Tile
from mbgen.schedules.micro import cover
from mbgen.schedules.space import Choice, Point, Space
from mbgen.schedules.tile import tiles
from mbgen.target import Target

LANES = 4  # int32 sums in a register
RESCALE = 4.25  # instructions for a register of sums
KNOBS = ("form", "nr", "mr")
TILE_OVERHEAD = 10  # instructions for addresses and loops of a tile


@dataclass(frozen=True)
class Runs:
    """Panels of `nr` channels; in each, runs of `count` tiles of `mr` pixels, which cover the pixels exactly."""

    form: Form
    nr: int
    runs: tuple[tuple[int, int], ...]  # (mr, count)

    def __str__(self) -> str:
        return f"{self.form} {'+'.join(f'{count}*{mr}' for mr, count in self.runs)} pixels x {self.nr} channels"


def sizes(target: Target) -> dict[tuple[Form, int], range]:
    """The heights that the core's helpers have, by form and channels; none on cores without."""
    if "neon-dotprod" in target.instruction_set:
        return {("dot", nr): heights for nr, heights in dotprod.SIZES.items()}
    if "neon" not in target.instruction_set:
        return {}
    trees: dict[tuple[Form, int], range] = {("tree", 4): neon_int8.SIZES[4]}
    return trees | {("lanes", nr): heights for nr, heights in neon_int8.SIZES.items() if nr != 4}


def cost(form: Form, mr: int, nr: int, k: int) -> float:
    """Instructions of one tile."""
    vectors = nr // LANES
    if form == "tree":
        step = mr + nr + 3 * 2 * nr * mr
        return k / 32 * step + 4 * mr + RESCALE * mr + mr + 5 + TILE_OVERHEAD
    end = vectors / 2 * mr + vectors / 2 + RESCALE * vectors * mr + mr + TILE_OVERHEAD
    if form == "dot":
        return k / 4 * (vectors / 4 + vectors * mr + mr / 4 / dotprod.width(mr, vectors)) + end
    return k / 4 * (mr / 4 + 2 * mr + vectors / 2 + 3 * vectors * mr) + end


def runs_space(facts: Mapping[str, Choice], target: Target) -> Space | None:
    """The form, the channels and the highest tile for an int8 GEMM `m` x `n` x `k`; None where no helper serves."""
    m, k = int(facts["m"]), int(facts["k"])

    def total(form: Form, nr: int, highest: int) -> float:
        costs = _costs(form, nr, highest, k, target)
        return sum(count * costs[mr] for mr, count in cover(m, costs))

    return _sizes_space("gemm_neon_int8", facts, sizes(target), total)


def _sizes_space(
    family: str,
    facts: Mapping[str, Choice],
    offered: Mapping[tuple[Form, int], range],
    total: Callable[[Form, int, int], float],
) -> Space | None:
    """The space of the `offered` tiles that fit a GEMM; the default has the least `total` (form, nr, mr) a panel."""
    m, n, k = (int(facts[name]) for name in ("m", "n", "k"))
    costs = {
        (form, nr, mr): tiles(n, nr) * total(form, nr, mr)
        for (form, nr), heights in offered.items()
        for mr in heights
        if nr <= n and mr <= m and k % STEPS[form] == 0
    }
    if not costs:
        return None

    def illegal(point: Point) -> str | None:
        form, nr, mr = (point[knob] for knob in KNOBS)
        return None if (form, nr, mr) in costs else f"there is no {form} tile of {mr} pixels by {nr} channels for {k} k"

    least = min(costs, key=lambda size: (costs[size], -size[2]))
    knobs = {knob: tuple(sorted(set(options))) for knob, options in zip(KNOBS, zip(*costs, strict=True), strict=True)}
    return Space(family, facts, knobs, dict(zip(KNOBS, least, strict=True)), illegal)


def runs_of(point: Point, facts: Mapping[str, Choice], target: Target) -> Runs:
    """The runs of a point of `runs_space`."""
    nr, mr = int(point["nr"]), int(point["mr"])
    form = next(form for form, _ in sizes(target) if form == point["form"])
    return Runs(form, nr, cover(int(facts["m"]), _costs(form, nr, mr, int(facts["k"]), target)))


def _costs(form: Form, nr: int, highest: int, k: int, target: Target) -> dict[int, float]:
    return {mr: cost(form, mr, nr, k) for mr in itertools.takewhile(lambda mr: mr <= highest, sizes(target)[form, nr])}


def row_space(facts: Mapping[str, Choice], target: Target) -> Space | None:
    """The form of an int8 depthwise row; None on cores without helpers."""
    if "neon" not in target.instruction_set:
        return None
    forms = ("dot", "taps") if "neon-dotprod" in target.instruction_set else ("taps",)
    return Space("depthwise_neon_int8", facts, {"form": forms}, {"form": forms[0]})


def row_form(point: Point) -> neon_rows.Form:
    """The form of a point of `row_space`."""
    return next(form for form in neon_rows.ROWS if form == point["form"])


def tile_space(facts: Mapping[str, Choice], target: Target) -> Space | None:
    """The tile of a row of an int8 convolution that is a GEMM `m` x `n` x `k` once its windows are gathered."""
    m, k = int(facts["m"]), int(facts["k"])

    def total(form: Form, nr: int, mr: int) -> float:
        return m // mr * cost(form, mr, nr, k) + m % mr * cost(form, 1, nr, k)

    offered = {size: heights for size, heights in sizes(target).items() if size[0] != "tree"}
    return _sizes_space("conv_neon_int8", facts, offered, total)


def tile_of(point: Point, kind: Kind) -> Tile:
    """The tile of a point of `tile_space`."""
    form: Form = next(form for form in STEPS if form == point["form"])
    return Tile(form, int(point["mr"]), int(point["nr"]), kind)
