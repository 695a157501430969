"""Schedules of GEMMs whose tiles are helpers: which tile sizes there are, what they cost, and how they cover pixels.

May not know TVM, so that a schedule can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbgen.intrinsics import avx2_gemm, neon_gemm
from mbgen.schedules.space import Choice, Point, Space
from mbgen.schedules.tile import tiles
from mbgen.target import Target

FMA_LATENCY = 5  # cycles, Zen 2 (4 from Zen 3 and on Skylake); two independent FMAs start a cycle
EXACT = 64  # pixels that are covered at the least cost; searching for more takes long and gains nothing
TILE_OVERHEAD = 20  # instructions for addresses and loops


@dataclass(frozen=True)
class Microtiles:
    """Panels of `nr` channels; in each, runs of `count` tiles of `mr` pixels, which cover the pixels exactly."""

    nr: int
    runs: tuple[tuple[int, int], ...]  # (mr, count)

    def __str__(self) -> str:
        return f"{'+'.join(f'{count}*{mr}' for mr, count in self.runs)} pixels x {self.nr} channels"


def sizes(target: Target) -> tuple[tuple[int, int], ...]:
    """The tiles (pixels, vectors of channels) that the core has helpers for; none on cores without."""
    if "avx2" in target.instruction_set:
        return avx2_gemm.TILES
    return neon_gemm.TILES if "neon" in target.instruction_set else ()


def has_cuts(target: Target) -> bool:
    """Whether the core has tiles in whose rows the last pixel has fewer k."""
    return "avx2" in target.instruction_set


def lanes(target: Target) -> int:
    """Channels in one vector of `sizes`."""
    return avx2_gemm.LANES if "avx2" in target.instruction_set else neon_gemm.LANES


def cost(mr: int, vectors: int, k: int, target: Target) -> float:
    """What one tile takes: cycles on AVX2, where latency limits small tiles; instructions on AArch64."""
    sums = mr * vectors
    if "avx2" in target.instruction_set:
        return k * max(sums / 2, FMA_LATENCY, (mr + vectors) / 2) + 2 * sums + TILE_OVERHEAD / 2
    x = 1 / (4 * neon_gemm.x_registers(mr, vectors))  # loads for one k
    free = neon_gemm.REGISTERS - sums - mr * neon_gemm.x_registers(mr, vectors)
    return k * (sums + vectors / min(4, free // 2 * 2) + mr * x) + 2 * sums + 3 * mr + TILE_OVERHEAD


def cover(pixels: int, costs: Mapping[int, float]) -> tuple[tuple[int, int], ...]:
    """Runs of tiles that cover `pixels` exactly, highest tiles first; `costs` by height.

    The cheapest for the last EXACT pixels, before them tiles of the height that is cheapest for a pixel.
    """
    bulk = min(costs, key=lambda mr: costs[mr] / mr)
    heights = [bulk] * (max(pixels - EXACT, 0) // bulk)
    left = pixels - sum(heights)
    best: list[tuple[float, int]] = [(0.0, 0)]  # for so many pixels: the least cost, and the last tile's height
    for covered in range(1, left + 1):
        best.append(min((best[covered - mr][0] + price, mr) for mr, price in costs.items() if mr <= covered))
    while left:
        heights.append(best[left][1])
        left -= heights[-1]
    return tuple((mr, heights.count(mr)) for mr in sorted(set(heights), reverse=True))


def micro_space(facts: Mapping[str, Choice], target: Target) -> Space | None:
    """The highest tile and the vectors of channels for a GEMM `m` x `n` x `k`; None where no helper serves."""
    m, n, k = (int(facts[name]) for name in ("m", "n", "k"))
    fitting = [(mr, vectors) for mr, vectors in sizes(target) if mr <= m and vectors * lanes(target) <= n]
    if not fitting:
        return None

    def total(size: tuple[int, int]) -> float:
        mr, vectors = size
        runs = cover(m, _costs(mr, vectors, k, target))
        panel = sum(count * cost(height, vectors, k, target) for height, count in runs)
        return tiles(n, vectors * lanes(target)) * panel

    def illegal(point: Point) -> str | None:
        size = int(point["mr"]), int(point["vectors"])
        return None if size in fitting else f"there is no tile of {size[0]} pixels by {size[1]} vectors"

    mr, vectors = min(fitting, key=lambda size: (total(size), -size[0] * size[1], -size[0]))
    return Space(
        "gemm_micro",
        facts,
        {
            "mr": tuple(sorted({size[0] for size in fitting})),
            "vectors": tuple(sorted({size[1] for size in fitting})),
        },
        {"mr": mr, "vectors": vectors},
        illegal,
    )


def microtiles(point: Point, facts: Mapping[str, Choice], target: Target) -> Microtiles:
    """The tiles of a point of `micro_space`."""
    vectors = int(point["vectors"])
    return Microtiles(vectors * lanes(target), cover(int(facts["m"]), micro_costs(point, facts, target)))


def micro_costs(point: Point, facts: Mapping[str, Choice], target: Target) -> dict[int, float]:
    """The heights of tiles that a point of `micro_space` allows, and what each costs."""
    return _costs(int(point["mr"]), int(point["vectors"]), int(facts["k"]), target)


def _costs(highest: int, vectors: int, k: int, target: Target) -> dict[int, float]:
    heights: Sequence[int] = [mr for mr, count in sizes(target) if count == vectors and mr <= highest]
    return {mr: cost(mr, vectors, k, target) for mr in heights}
