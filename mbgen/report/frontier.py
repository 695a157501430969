"""The page of `mbgen explore`: the chart and the table of what it found."""

from __future__ import annotations

from collections.abc import Sequence

from mbgen.explore import Candidate, Choice, Exploration
from mbgen.report import charts
from mbgen.templates import environment

HEAD = ("alpha", "resolution", "MACs", "accuracy", "arena", "flash", "cost", "latency", "")


def render_exploration(found: Exploration, choice: Choice | None) -> bytes:
    """One self-contained HTML page; the same findings give the same bytes."""
    known = [one for one in found.candidates if one.accuracy is not None]
    networks = [
        charts.Network(f"{one.alpha:g}/{one.resolution}", one.cost or one.macs, one.accuracy, one.fits, one.frontier)
        for one in known
        if one.accuracy is not None
    ]
    text = (
        environment("report", escape_html=True)
        .get_template("explore.html.jinja")
        .render(
            target=found.target,
            subtitle=f"{found.dtype}, {found.classes} classes",
            line=None if choice is None else choice.line,
            note=note(found),
            chart=charts.frontier(networks, cost_unit(found)) if networks else None,
            head=HEAD,
            rows=[row(one) for one in found.candidates],
        )
    )
    return text.encode("utf-8")


def cost_unit(found: Exploration) -> str:
    """What the candidates' cost is counted in."""
    return next((one.unit for one in found.candidates if one.unit is not None), "multiply-accumulates")


def note(found: Exploration) -> str:
    """What the predictions are worth, in a sentence."""
    errors = [one.error for one in found.candidates if one.error is not None]
    if not errors:
        return f"No cost model has been fitted for {found.target}: cost is multiply-accumulates."
    return f"Cost is predicted in {cost_unit(found)}, to {max(errors):.0%} of what libraries were measured to take."


def row(one: Candidate) -> Sequence[str]:
    """A candidate's line in a table, in the order of HEAD."""
    return (
        f"{one.alpha:g}",
        f"{one.resolution}",
        f"{one.macs:,}",
        "" if one.accuracy is None else f"{one.accuracy:.1f} %",
        f"{one.arena:,}",
        f"{one.flash:,}",
        "" if one.cost is None else f"{one.cost:,.0f}",
        "" if one.latency is None else f"{one.latency * 1e3:,.1f} ms",
        "fits" if one.fits else "",
    )
