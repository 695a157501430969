"""The report's charts as SVG, drawn by Matplotlib. Colours are CSS variables, so that a page decides how it looks.

Knows numbers and labels. May not know the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib draws in these colours, which stand for the page's variables
_INK, _GRID = "#010101", "#020202"
SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306")
_VARIABLES = {_INK: "var(--ink)", _GRID: "var(--grid)"} | {
    color: f"var(--series-{number})" for number, color in enumerate(SERIES, 1)
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mbgen",  # the same chart gives the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart; `part` of `value` is drawn full, the rest pale."""

    label: str
    value: float
    part: float
    text: str


@dataclass(frozen=True)
class Stretch:
    """A buffer: where it lies, and from which layer to which."""

    label: str
    offset: int
    size: int
    first: int
    last: int
    kind: int  # its colour


@dataclass(frozen=True)
class Block:
    """A layer's output as a box of the network's drawing."""

    label: str
    kind: int
    height: int
    channels: int


@dataclass(frozen=True)
class Point:
    """A layer in the roofline: MACs a byte, MACs a cycle."""

    label: str
    kind: int
    intensity: float
    speed: float


@dataclass(frozen=True)
class Span:
    """The real values that a layer's output can hold."""

    label: str
    low: float
    high: float


def _draw(width: float, height: float, paint: Callable[[Axes], None], title: str) -> str:
    """An inline SVG element of that many inches, described by `title`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        paint(axes)
        stream = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns:xlink="[^"]*"', ' xmlns:xlink="http://www.w3.org/1999/xlink"', text)
    return text.replace("<svg ", f'<svg class="chart" role="img" aria-label="{title}" ', 1)


def network(blocks: Sequence[Block]) -> str:
    """Each layer's output as a box: as high as its image, as wide as the logarithm of its channels."""
    import math

    from matplotlib.patches import Rectangle

    def paint(axes: Axes) -> None:
        left, tallest = 0.0, max(block.height for block in blocks)
        for block in blocks:
            width = 1 + math.log2(max(block.channels, 1))
            height = max(block.height / tallest, 0.02)
            axes.add_patch(Rectangle((left, -height / 2), width, height, color=SERIES[block.kind], linewidth=0))
            axes.text(left + width / 2, -0.56, block.label, rotation=90, ha="center", va="top", fontsize=7)
            left += width + 1.5
        axes.set_xlim(0, left)
        axes.set_ylim(-1.35, 0.55)
        axes.axis("off")

    return _draw(max(6.0, 0.42 * len(blocks)), 3.4, paint, "the network layer by layer")


def memory(stretches: Sequence[Stretch], layers: Sequence[str], total: int) -> str:
    """The arena over time: each buffer from the layer that writes it to the last that reads it."""
    from matplotlib.patches import Rectangle

    def paint(axes: Axes) -> None:
        for one in stretches:
            box = (one.first - 0.5, one.offset)
            width = one.last - one.first + 1
            axes.add_patch(
                Rectangle(box, width, one.size, facecolor=SERIES[one.kind], edgecolor=_INK, linewidth=0.4, alpha=0.75)
            )
            if one.size > total / 28:
                middle = (one.first + one.last) / 2, one.offset + one.size / 2
                turned = 90 if width < 3 and one.size > total / 6 else 0
                axes.text(*middle, one.label, ha="center", va="center", fontsize=6, rotation=turned, clip_on=True)
        axes.set_xlim(-0.5, len(layers) - 0.5)
        axes.set_ylim(0, total * 1.02)
        axes.axhline(total, color=_INK, linewidth=0.8, linestyle="--")
        axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
        axes.set_ylabel("byte of the arena")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")

    return _draw(max(6.5, 0.3 * len(layers)), 4.2, paint, "what lies where in the arena, layer by layer")


def bars(rows: Sequence[Bar], label: str, title: str) -> str:
    """Horizontal bars, the first row on top."""
    from matplotlib.ticker import MaxNLocator

    def paint(axes: Axes) -> None:
        places = range(len(rows))
        axes.barh(places, [row.value for row in rows], color=SERIES[0], alpha=0.28, height=0.72)
        axes.barh(places, [row.part for row in rows], color=SERIES[0], height=0.72)
        greatest = max((row.value for row in rows), default=1) or 1
        for place, row in zip(places, rows, strict=True):
            axes.text(row.value + greatest * 0.01, place, row.text, va="center", fontsize=7)
        axes.set_yticks(places, [row.label for row in rows], fontsize=7)
        axes.set_xlim(0, greatest * 1.22)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(6))  # more of the long numbers would run into each other
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if greatest >= 10 else f"{value:g}")
        axes.grid(axis="x")

    return _draw(6.5, 0.9 + 0.17 * len(rows), paint, title)


def roofline(points: Sequence[Point], peak: float, bytes_per_cycle: float, kinds: Sequence[str]) -> str:
    """Each layer's speed by its MACs a byte, under the core's two limits."""

    def paint(axes: Axes) -> None:
        for kind, name in enumerate(kinds):
            chosen = [point for point in points if point.kind == kind]
            if chosen:
                xs, ys = [point.intensity for point in chosen], [point.speed for point in chosen]
                axes.scatter(xs, ys, color=SERIES[kind], s=18, label=name, linewidth=0)
        low = min(point.intensity for point in points) / 2
        high = max(*(point.intensity for point in points), peak / bytes_per_cycle) * 2
        ridge = peak / bytes_per_cycle
        axes.plot([low, ridge, high], [low * bytes_per_cycle, peak, peak], color=_INK, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xlabel("MACs for each byte loaded or stored")
        axes.set_ylabel("MACs a cycle")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid()
        axes.legend(loc="lower right")

    return _draw(6.5, 3.8, paint, "each layer under the core's roofline")


def search(figures: Sequence[tuple[int, float]], best: Sequence[tuple[int, float]], default: float, unit: str) -> str:
    """A tuning run: figures by the number of their trial, the best so far, and the default schedule's."""

    from matplotlib.ticker import MaxNLocator

    def paint(axes: Axes) -> None:
        axes.scatter([n for n, _ in figures], [f for _, f in figures], color=SERIES[1], s=8, linewidth=0)
        axes.step([n for n, _ in best], [f for _, f in best], color=SERIES[0], where="post", label="best so far")
        axes.axhline(default, color=_INK, linestyle="--", linewidth=0.8, label="default schedule")
        axes.set_xlabel("trial")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=default >= 1000))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:,.4g}")
        axes.grid()
        axes.legend()

    return _draw(6.5, 2.6, paint, "trials against the best so far")


def ranges(spans: Sequence[Span]) -> str:
    """The values that each quantised tensor can hold."""

    def paint(axes: Axes) -> None:
        places = range(len(spans))
        lows, widths = [span.low for span in spans], [span.high - span.low for span in spans]
        axes.barh(places, widths, left=lows, color=SERIES[0], height=0.6)
        axes.axvline(0, color=_INK, linewidth=0.6)
        axes.set_yticks(places, [span.label for span in spans], fontsize=7)
        axes.set_ylim(len(spans) - 0.4, -0.6)
        axes.set_xlabel("real value")
        axes.grid(axis="x")

    return _draw(6.5, 0.9 + 0.17 * len(spans), paint, "the range of each quantised tensor")


@dataclass(frozen=True)
class Network:
    """A network in the chart of a frontier."""

    label: str
    cost: float
    accuracy: float
    fits: bool
    frontier: bool


def frontier(networks: Sequence[Network], unit: str) -> str:
    """Accuracy against cost: what fits is full, what does not pale, and the best for each cost on a line."""

    def paint(axes: Axes) -> None:
        best = sorted((one.cost, one.accuracy) for one in networks if one.frontier)
        axes.plot([cost for cost, _ in best], [accuracy for _, accuracy in best], color=_GRID, linewidth=1, zorder=0)
        for fits, alpha, label in ((True, 1.0, "fits"), (False, 0.3, "does not fit")):
            chosen = [one for one in networks if one.fits == fits]
            xs, ys = [one.cost for one in chosen], [one.accuracy for one in chosen]
            axes.scatter(xs, ys, color=SERIES[0], alpha=alpha, s=26, linewidth=0, label=label)
        for one in networks:
            axes.annotate(one.label, (one.cost, one.accuracy), (4, -8), textcoords="offset points", fontsize=6)
        axes.set_xscale("log")
        axes.set_xlabel(unit)
        axes.set_ylabel("top-1 accuracy, %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axes.grid()
        axes.legend(loc="lower right")

    return _draw(7.5, 4.4, paint, "accuracy against cost")
