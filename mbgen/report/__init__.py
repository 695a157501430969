"""The report of a library: one self-contained page that says what the library costs and why."""

from mbgen.report.facts import Facts
from mbgen.report.page import render_report

__all__ = ["Facts", "render_report"]
